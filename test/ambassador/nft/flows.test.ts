/** What becomes of connections and UDP sockets when their backend leaves, between network namespaces of the test. */
import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KernelMatch } from '../../../src/ambassador/nft/kernelRoute.ts';
import { openConntrack } from '../../../src/kernel/conntrack.ts';
import {
  consumer,
  openTable,
  routeTo,
  setting,
  type TableScene,
  virtual,
} from '../../support/kernelTableScene.ts';
import { noOwnNetwork } from '../../support/ownNetwork.ts';
import { ThreeHosts } from '../../support/threeHosts.ts';

const options = noOwnNetwork === undefined ? {} : { skip: noOwnNetwork };
const VIP = '198.18.0.1';
const CLIENT = 1;
const [A, B] = ['10.77.2.2', '10.77.3.2'];
/** A neighbour that has no such backend. */
const GONE = '10.77.2.99';
const TCP = virtual(VIP, 80, 'tcp');

let hosts: ThreeHosts;

before(async () => {
  if (noOwnNetwork !== undefined) return;
  hosts = new ThreeHosts();
  for (const number of [CLIENT, 2, 3]) await hosts.addNeighbour(number);
  await hosts.serve(2, 'a', 8080, 5300);
  await hosts.serve(3, 'b', 8080, 5300);
});
after(() => hosts?.stop());

/** Does what is due, and then what becomes due in so many milliseconds. */
function pass({ sweeper, clock }: TableScene, ms: number): void {
  sweeper.sweep();
  clock.nowMs += ms;
  sweeper.sweep();
}

/** The backends of the flows to the match that are not closed. */
function backendsOfFlows(match: KernelMatch): readonly string[] {
  const opened = openConntrack();
  assert.ok(opened.kind === 'conntrack');
  const listed = opened.conntrack.list({
    family: 4,
    port: { protocol: match.protocol, number: match.port },
  });
  opened.conntrack.close();
  assert.ok(listed.kind === 'complete');
  return listed.entries
    .filter(({ tcpState }) => tcpState !== 'close' && tcpState !== 'timeWait')
    .map(({ reply }) => reply.source);
}

async function openStream() {
  const stream = hosts.client(CLIENT, 'stream', VIP, '80', '20', '30');
  await stream.saw('a reply', ({ reply }) => reply?.startsWith('a ') === true);
  return stream;
}

test(
  'A connection goes on for the drain time after its backend has left, and is then reset',
  options,
  async () => {
    const scene = openTable({ drainSeconds: 30 });
    const { table, counters } = scene;
    table.begin([routeTo(TCP, A)]);
    const stream = await openStream();
    table.change(setting(routeTo(TCP, B)));
    assert.deepEqual((await hosts.connects(CLIENT, VIP, 80, 5)).replies, { b: 5 });
    pass(scene, 29_900);
    assert.equal(counters.flowsDeleted.tcp, 0);
    assert.ok(!stream.seen().some(({ error }) => error !== undefined));
    pass(scene, 200);
    assert.equal(counters.flowsDeleted.tcp, 1);
    const { error } = await stream.saw('the end', (change) => change.error !== undefined);
    assert.equal(error, 'Connection reset by peer');
    assert.deepEqual(backendsOfFlows(TCP), []);
    table.clear();
  },
);

for (const [next, what] of [
  [routeTo(TCP, B), 'another backend'],
  [routeTo(TCP), 'no backend'],
] as const)
  test(
    `A connection is reset at once when its backend dies and its route has ${what}`,
    options,
    async () => {
      const scene = openTable({ drainSeconds: 30 });
      scene.table.begin([routeTo(TCP, A)]);
      const stream = await openStream();
      scene.table.change(setting(next));
      pass(scene, 1_000);
      scene.sweeper.noteDeath([A]);
      pass(scene, 100);
      const { error } = await stream.saw('the end', (change) => change.error !== undefined);
      assert.equal(error, 'Connection reset by peer');
      scene.table.clear();
    },
  );

test('A connection is reset at once without a drain time, as for leaders', options, async () => {
  const scene = openTable({ drainSeconds: 30 });
  scene.table.begin([{ ...routeTo(TCP, A), drainSeconds: 0 }]);
  const stream = await openStream();
  scene.table.change(setting({ ...routeTo(TCP, B), drainSeconds: 0 }));
  pass(scene, 0);
  await stream.saw('the end', ({ error }) => error === 'Connection reset by peer');
  scene.table.clear();
});

test(
  'A connection attempt to a vanished backend succeeds once the route changes',
  options,
  async () => {
    const scene = openTable();
    scene.table.begin([routeTo(TCP, GONE)]);
    const stream = hosts.client(CLIENT, 'stream', VIP, '80', '20', '1');
    await sleep(200);
    assert.deepEqual(stream.seen(), []);
    scene.table.change(setting(routeTo(TCP, B)));
    pass(scene, 0);
    const { atMs } = await stream.saw('a reply', ({ reply }) => reply?.startsWith('b ') === true);
    // The kernel repeats the first SYN after a second. The old entry would have led it to the vanished backend.
    assert.ok(atMs < 4_000, `${atMs} ms`);
    await stream.ended();
    scene.table.clear();
  },
);

/** The backends before and after, and what the client then sees. Undefined: there is no route. */
const UDP_CASES: readonly {
  readonly what: string;
  readonly former?: readonly string[];
  readonly next?: readonly string[];
  readonly expected: string;
}[] = [
  { what: 'one of two backends leaves', former: [A, B], next: [A], expected: 'a' },
  { what: 'another backend takes over', former: [A], next: [B], expected: 'b' },
  { what: 'the only backend leaves', former: [A], next: [], expected: 'Connection refused' },
  { what: 'the first backend comes', former: [], next: [B], expected: 'b' },
  { what: 'the route comes', next: [B], expected: 'b' },
  { what: 'the route ends', former: [A], expected: 'Connection refused' },
];

let nextPort = 5_000;

for (const { what, former, next, expected } of UDP_CASES)
  for (const kind of ['virtual address', 'link'])
    test(`A UDP socket to a ${kind} follows when ${what}`, options, async () => {
      // Each case has its own port: the flows of a former case may not have ended yet.
      const [port, address] = [nextPort++, kind === 'link' ? '10.77.1.1' : VIP];
      const match =
        kind === 'link' ? consumer('10.77.1.2', port, 'udp') : virtual(VIP, port, 'udp');
      const scene = openTable();
      const { table } = scene;
      table.begin(former === undefined ? [] : [routeTo(match, ...former)]);
      const datagrams = hosts.client(CLIENT, 'datagrams', address, `${port}`, '20', '4');
      await datagrams.saw('the first answer', () => true);
      if (next === undefined) table.change([{ kind: 'remove', match }]);
      else table.change(setting(routeTo(match, ...next)));
      const changedAfter = datagrams.seen().length;
      pass(scene, 0);
      // The kernel tells a client once a second at most that a port is unreachable.
      const isExpected = (text = ''): boolean => text.startsWith(expected);
      await datagrams.saw(expected, (seen) => isExpected(seen.reply ?? seen.error));
      const stale = backendsOfFlows(match).filter(
        (each) => next !== undefined && !next.includes(each),
      );
      assert.deepEqual(stale, []);
      await datagrams.ended();
      const last = datagrams
        .seen()
        .slice(changedAfter)
        .filter(({ end }) => !end)
        .at(-1);
      assert.ok(
        last === undefined || isExpected(last.reply) || last.error !== undefined,
        JSON.stringify(datagrams.seen()),
      );
      table.clear();
    });

test(
  'The next process ends the flows of backends and routes that went meanwhile',
  options,
  async () => {
    const [kept, ended] = [virtual(VIP, 4_000, 'udp'), virtual(VIP, 4_001, 'udp')];
    const first = openTable();
    first.table.begin([routeTo(kept, A), routeTo(ended, A)]);
    const clients = [4_000, 4_001].map((port) =>
      hosts.client(CLIENT, 'datagrams', VIP, `${port}`, '20', '1'),
    );
    for (const client of clients) await client.saw('a', ({ reply }) => reply !== undefined);
    for (const client of clients) await client.ended();
    const next = openTable();
    next.table.begin([routeTo(kept, B)]);
    pass(next, 0);
    assert.deepEqual([...backendsOfFlows(kept), ...backendsOfFlows(ended)], []);
    assert.equal(next.counters.flowsDeleted.udp, 2);
    next.table.clear();
  },
);

test('An idle connection keeps the timeout of the kernel', options, async () => {
  const scene = openTable();
  scene.table.begin([routeTo(TCP, A)]);
  const seconds = () =>
    hosts.run(0, 'sysctl', '-n', 'net.netfilter.nf_conntrack_tcp_timeout_established');
  assert.equal(seconds().trim(), '432000');
  scene.table.clear();
});
