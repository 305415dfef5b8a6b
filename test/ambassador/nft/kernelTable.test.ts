/** The kernel carries connections as a table says, between network namespaces of the test. */
import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import type { KernelMatch, KernelRoute } from '../../../src/ambassador/nft/kernelRoute.ts';
import { KernelTable } from '../../../src/ambassador/nft/kernelTable.ts';
import { openConntrack } from '../../../src/kernel/conntrack.ts';
import { openNft } from '../../../src/kernel/libnftables.ts';
import { openNftRuleset } from '../../../src/kernel/nftRuleset.ts';
import { command, noOwnNetwork } from '../../support/ownNetwork.ts';
import { ThreeHosts } from '../../support/threeHosts.ts';

const options = noOwnNetwork === undefined ? {} : { skip: noOwnNetwork };
const VIP = '198.18.0.1';
const RANGE = { address: '198.18.0.0', prefixLength: 16 };
const CLIENT = 1;
const [A, B] = ['10.77.2.2', '10.77.3.2'];

let hosts: ThreeHosts;
let nowMs = 0;

before(async () => {
  if (noOwnNetwork !== undefined) return;
  hosts = new ThreeHosts();
  for (const number of [CLIENT, 2, 3]) hosts.addNeighbour(number);
  await hosts.serve(2, 'a', 8080, 5300);
  await hosts.serve(3, 'b', 8080, 5300);
});
after(() => hosts?.stop());

function openTable({ drainSeconds = 30, balance = 'random' as 'random' | 'source' } = {}) {
  const [nft, ruleset, conntrack] = [openNft(), openNftRuleset(), openConntrack()];
  assert.ok(nft.kind === 'nft' && ruleset.kind === 'ruleset' && conntrack.kind === 'conntrack');
  const counters = { updates: 0, failures: 0, rebuilt: 0, flowsDeleted: { tcp: 0, udp: 0 } };
  const table = new KernelTable({
    nft: nft.nft,
    ruleset: ruleset.ruleset,
    conntrack: conntrack.conntrack,
    form: { family: 4, range: RANGE, balance },
    drainSeconds,
    monotonicMs: () => nowMs,
    counters,
  });
  const networks = [1, 2, 3].map((n) => ({ address: `10.77.${n}.0`, prefixLength: 24 }));
  const addresses = [1, 2, 3].map((n) => `10.77.${n}.1`);
  return { table, counters, hostNetworks: { networks, addresses } };
}

const TCP: KernelMatch = { kind: 'virtual', address: VIP, port: 80, protocol: 'tcp' };
const UDP: KernelMatch = { kind: 'virtual', address: VIP, port: 53, protocol: 'udp' };

/** A route whose slots take turns among the backends. */
function route(match: KernelMatch, ...addresses: readonly string[]): KernelRoute {
  const port = match.protocol === 'udp' ? 5300 : 8080;
  const slots = Array.from({ length: addresses.length === 0 ? 0 : 16 }, (_, i) => ({
    address: addresses[i % addresses.length] as string,
    port,
    isPrivate: false,
  }));
  return { match, slots };
}

function set(...routes: readonly KernelRoute[]) {
  return routes.map((one) => ({ kind: 'set', route: one }) as const);
}

function connects(count = 200) {
  return hosts.connects(CLIENT, VIP, 80, count);
}

test('A virtual address leads to all backends of its route', options, async () => {
  const { table } = openTable();
  assert.equal(table.change(set(route(TCP, A, B))), undefined);
  const { failed, error, replies } = await connects();
  assert.equal(failed, 0, error);
  assert.ok((replies.a ?? 0) > 50 && (replies.b ?? 0) > 50, JSON.stringify(replies));
  table.clear();
});

test('Connections from one source reach one backend with the balance source', options, async () => {
  const { table } = openTable({ balance: 'source' });
  table.change(set(route(TCP, A, B)));
  const { failed, replies } = await connects();
  assert.deepEqual([failed, Object.keys(replies).length], [0, 1]);
  table.clear();
});

test(
  'A port without a backend, and one without a route, refuse connections at once',
  options,
  async () => {
    const { table } = openTable();
    table.change(set(route(TCP)));
    for (const port of [80, 81]) {
      const seen = await hosts.connects(CLIENT, VIP, port, 5);
      assert.equal(seen.failed, 5);
      assert.match(seen.error, /Connection refused at 0 after [0-9]{1,3} ms/);
    }
    const datagrams = hosts.client(CLIENT, 'datagrams', VIP, '53', '50', '0.2');
    await datagrams.saw('a refusal', ({ error }) => error === 'Connection refused');
    await datagrams.ended();
    table.clear();
  },
);

test('No connection fails while the slots of a route change all the time', options, async () => {
  const { table } = openTable();
  table.change(set(route(TCP, A, B)));
  let isDone = false;
  const connecting = connects(10_000).finally(() => {
    isDone = true;
  });
  let changes = 0;
  while (!isDone) {
    const change = set(changes % 2 === 0 ? route(TCP, B) : route(TCP, A));
    assert.equal(table.change(change), undefined);
    changes++;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const { failed, error, replies } = await connecting;
  assert.equal(failed, 0, error);
  assert.ok(changes > 20 && Object.keys(replies).length === 2, `${changes} changes`);
  table.clear();
});

test(
  'A connection stays with its backend for the drain time after that has left, and is then reset',
  options,
  async () => {
    const { table, counters } = openTable({ drainSeconds: 30 });
    table.change(set(route(TCP, A)));
    const stream = hosts.client(CLIENT, 'stream', VIP, '80', '20', '20');
    await stream.saw('a reply', ({ reply }) => reply?.startsWith('a ') === true);
    table.change(set(route(TCP, B)));
    assert.equal(table.sweep(), nowMs + 30_000);
    nowMs += 29_000;
    table.sweep();
    assert.equal(counters.flowsDeleted.tcp, 0);
    nowMs += 1_001;
    assert.equal(table.sweep(), undefined);
    assert.equal(counters.flowsDeleted.tcp, 1);
    const { error } = await stream.saw('the end', ({ error }) => error !== undefined);
    assert.equal(error, 'Connection reset by peer');
    table.clear();
  },
);

/** The UDP cases: the backends before and after, and what the client sees. */
const UDP_CASES: readonly (readonly [string, readonly string[], readonly string[], string])[] = [
  ['one of two backends leaves', [A, B], [A], 'a'],
  ['another backend takes over', [A], [B], 'b'],
  ['the only backend leaves', [A], [], 'Connection refused'],
  ['the first backend comes', [], [B], 'b'],
];

for (const [what, former, next, expected] of UDP_CASES) {
  test(`A UDP socket follows its route when ${what}`, options, async () => {
    const { table } = openTable();
    table.change(set(route(UDP, ...former)));
    const datagrams = hosts.client(CLIENT, 'datagrams', VIP, '53', '50', '3');
    await datagrams.saw('the first answer', () => true);
    table.change(set(route(UDP, ...next)));
    table.sweep();
    await datagrams.saw(expected, ({ reply, error }) =>
      (reply ?? error ?? '').startsWith(expected),
    );
    await datagrams.ended();
    const last = datagrams.seen().at(-2);
    // The kernel limits how often it says that a port is unreachable.
    const isSilent = next.length === 0 && last?.error === 'timeout';
    const text = last?.reply ?? last?.error ?? '';
    assert.ok(isSilent || text.startsWith(expected), JSON.stringify(last));
    table.clear();
  });
}

test('The next process adopts the table, and changes nothing in the kernel', options, async () => {
  const first = openTable();
  first.table.noteNetworks(first.hostNetworks);
  const routes = set(route(TCP, A, B), route(UDP, A), consumerRoute(A));
  first.table.change(routes);
  const listed = command('nft', '-a', 'list', 'ruleset');
  const next = openTable();
  next.table.noteNetworks(next.hostNetworks);
  assert.equal(next.table.adopt().length, 3);
  assert.equal(next.table.change(routes), undefined);
  assert.equal(next.table.correctSets(), undefined);
  assert.equal(next.counters.updates, 0);
  assert.equal(command('nft', '-a', 'list', 'ruleset'), listed);
  next.table.clear();
});

test('A table that another program has flushed is written anew', options, async () => {
  const { table, counters } = openTable();
  table.change(set(route(TCP, A)));
  for (const damage of [
    ['flush', 'ruleset'],
    ['flush', 'chain', 'ip', 'soradns', 'virtual'],
    ['flush', 'map', 'ip', 'soradns', 'virtual16'],
  ]) {
    command('nft', ...damage);
    table.verify();
    assert.equal((await connects(3)).failed, 0, damage.join(' '));
  }
  assert.equal(counters.rebuilt, 3);
  assert.equal(table.verify(), undefined);
  assert.equal(counters.rebuilt, 3);
  table.clear();
});

test('A change after another program has deleted the table writes it anew', options, async () => {
  const { table } = openTable();
  table.change(set(route(TCP, A)));
  command('nft', 'delete', 'table', 'ip', 'soradns');
  assert.equal(table.change(set(route(TCP, B))), undefined);
  assert.deepEqual(Object.keys((await connects(5)).replies), ['b']);
  table.clear();
});

function consumerRoute(...addresses: readonly string[]): KernelRoute {
  const match = { kind: 'consumer', source: '10.77.1.2', port: 6379, protocol: 'tcp' } as const;
  return route(match, ...addresses);
}

test(
  'A consumer reaches its own service at any address of the host, and its route wins over a listener there',
  options,
  async () => {
    const { table, hostNetworks } = openTable();
    table.noteNetworks(hostNetworks);
    table.change(set(consumerRoute(A)));
    for (const host of ['10.77.1.1', '10.77.3.1']) {
      const seen = await hosts.connects(CLIENT, host, 6379, 20);
      assert.deepEqual(seen.replies, { a: 20 }, seen.error);
    }
    const other = await hosts.connects(3, '10.77.3.1', 6379, 5);
    assert.equal(other.failed, 5, 'another source has no route');
    table.change(set(consumerRoute()));
    const refused = await hosts.connects(CLIENT, '10.77.1.1', 6379, 5);
    assert.match(refused.error, /Connection refused/);
    table.clear();
  },
);

test(
  'A backend reaches itself and its neighbour through the virtual address',
  options,
  async () => {
    const { table, hostNetworks } = openTable();
    table.noteNetworks(hostNetworks);
    table.change(set(route(TCP, A)));
    const seen = await hosts.connects(2, VIP, 80, 10);
    assert.deepEqual(seen.replies, { a: 10 }, seen.error);
    table.clear();
  },
);

test(
  'A private backend is refused to consumers of other networks, and serves those of its own',
  options,
  async () => {
    const { table, hostNetworks } = openTable();
    table.noteNetworks(hostNetworks);
    const slots = route(TCP, A).slots.map((slot) => ({ ...slot, isPrivate: true }));
    table.change(set({ match: TCP, slots }));
    const other = await connects(5);
    assert.deepEqual([other.failed, /refused/.test(other.error)], [5, true], other.error);
    const own = await hosts.connects(2, VIP, 80, 5);
    assert.equal(own.failed, 0, own.error);
    table.clear();
  },
);

test('A route with more backends than sixteen has more slots', options, async () => {
  const { table } = openTable();
  const slots = Array.from({ length: 32 }, (_, i) => ({
    ...{ address: i === 31 ? B : A, port: 8080, isPrivate: false },
  }));
  table.change(set(route(TCP, A)));
  assert.equal(table.change(set({ match: TCP, slots })), undefined);
  const { failed, replies } = await connects(400);
  assert.equal(failed, 0);
  assert.deepEqual(Object.keys(replies).sort(), ['a', 'b']);
  assert.equal(table.change(set(route(TCP, B))), undefined);
  assert.deepEqual(Object.keys((await connects(20)).replies), ['b']);
  table.clear();
});
