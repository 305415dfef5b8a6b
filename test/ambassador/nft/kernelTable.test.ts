/** The kernel carries connections as a table says, between network namespaces of the test. */
import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import type { KernelRoute } from '../../../src/ambassador/nft/kernelRoute.ts';
import { consumer, openTable, routeTo, setting, virtual } from '../../support/kernelTableScene.ts';
import { command, noOwnNetwork } from '../../support/ownNetwork.ts';
import { ThreeHosts } from '../../support/threeHosts.ts';

const options = noOwnNetwork === undefined ? {} : { skip: noOwnNetwork };
const VIP = '198.18.0.1';
const CLIENT = 1;
const [A, B] = ['10.77.2.2', '10.77.3.2'];
const TCP = virtual(VIP, 80, 'tcp');
const UDP = virtual(VIP, 53, 'udp');

let hosts: ThreeHosts;

before(async () => {
  if (noOwnNetwork !== undefined) return;
  hosts = new ThreeHosts();
  for (const number of [CLIENT, 2, 3]) await hosts.addNeighbour(number);
  await hosts.serve(2, 'a', 8080, 5300);
  await hosts.serve(3, 'b', 8080, 5300);
  await hosts.serve(0, 'host', 6379);
});
after(() => hosts?.stop());

function connects(count = 200) {
  return hosts.connects(CLIENT, VIP, 80, count);
}

test('A virtual address leads to all backends of its route', options, async () => {
  const { table } = openTable();
  table.begin([routeTo(TCP, A, B)]);
  assert.equal(table.trouble, undefined);
  const { failed, replies } = await connects();
  assert.equal(failed, 0);
  assert.ok((replies.a ?? 0) > 50 && (replies.b ?? 0) > 50, JSON.stringify(replies));
  table.clear();
});

test('Connections from one source reach one backend with the balance source', options, async () => {
  const { table } = openTable({ balance: 'source' });
  table.begin([routeTo(TCP, A, B)]);
  const first = await connects();
  assert.deepEqual([first.failed, Object.keys(first.replies).length], [0, 1]);
  command('nft', 'delete', 'table', 'ip', 'soradns');
  table.repair();
  assert.deepEqual((await connects()).replies, first.replies, 'the same one in a new table');
  table.clear();
});

test('Programs of the host reach virtual addresses too', options, async () => {
  const { table } = openTable();
  table.begin([routeTo(TCP, A), routeTo(virtual(VIP, 81, 'tcp'))]);
  command('ip', 'route', 'add', 'default', 'via', '10.77.3.2');
  assert.deepEqual((await hosts.connects(0, VIP, 80, 5)).replies, { a: 5 });
  for (const port of [81, 82])
    assert.match((await hosts.connects(0, VIP, port, 1)).error, /Connection refused/);
  command('ip', 'route', 'delete', 'default');
  table.clear();
});

for (const hasRoute of [false, true])
  test(
    `A port without a backend or route refuses connections at once, on a host ${hasRoute ? 'with' : 'without'} a default route`,
    options,
    async () => {
      const { table } = openTable();
      if (hasRoute) command('ip', 'route', 'add', 'default', 'via', '10.77.3.2');
      table.begin([routeTo(TCP), routeTo(UDP)]);
      for (const [address, port] of [
        [VIP, 80],
        [VIP, 81],
        ['198.18.9.9', 80],
      ] as const) {
        const seen = await hosts.connects(CLIENT, address, port, 5);
        assert.equal(seen.failed, 5);
        assert.match(seen.error, /Connection refused at 0 after [0-9]{1,3} ms/);
      }
      const datagrams = hosts.client(CLIENT, 'datagrams', VIP, '53', '1200', '3');
      await datagrams.saw('a refusal', ({ error }) => error === 'Connection refused');
      await datagrams.ended();
      if (hasRoute) command('ip', 'route', 'delete', 'default');
      table.clear();
    },
  );

test('No connection fails while the slots of a route change all the time', options, async () => {
  const { table, sweeper, clock } = openTable();
  table.begin([routeTo(TCP, A, B)]);
  let isDone = false;
  const connecting = connects(40_000).finally(() => {
    isDone = true;
  });
  let changes = 0;
  while (!isDone) {
    table.change(setting(routeTo(TCP, changes % 2 === 0 ? B : A)));
    clock.nowMs += 5;
    sweeper.sweep();
    assert.equal(table.trouble, undefined);
    changes++;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const { failed, error, replies } = await connecting;
  assert.equal(failed, 0, error);
  assert.ok(changes > 20 && Object.keys(replies).length === 2, `${changes} changes`);
  table.clear();
});

test('A route with more backends than sixteen has more slots', options, async () => {
  const { table } = openTable();
  const slots = Array.from({ length: 32 }, (_, i) => ({
    ...{ address: i === 31 ? B : A, port: 8080 },
  }));
  table.begin([routeTo(TCP, A)]);
  table.change(setting({ match: TCP, slots }));
  assert.equal(table.trouble, undefined);
  const { failed, replies } = await connects(400);
  assert.equal(failed, 0);
  assert.deepEqual(Object.keys(replies).sort(), ['a', 'b']);
  table.change(setting(routeTo(TCP, B)));
  assert.deepEqual((await connects(20)).replies, { b: 20 });
  table.clear();
});

test('The next process adopts the table, and changes nothing in the kernel', options, () => {
  const first = openTable();
  const routes = [routeTo(TCP, A, B), routeTo(UDP, A), linkTo(A), routeTo(virtual(VIP, 81, 'tcp'))];
  first.table.begin(routes);
  const listed = command('nft', '-a', 'list', 'ruleset');
  const next = openTable();
  next.table.begin(routes);
  assert.deepEqual([next.table.trouble, next.counters.updates], [undefined, 0]);
  assert.equal(command('nft', '-a', 'list', 'ruleset'), listed);
  next.table.clear();
});

test('The next process writes only what differs', options, async () => {
  const first = openTable();
  first.table.begin([routeTo(TCP, A, B), routeTo(UDP, A), linkTo()]);
  const next = openTable();
  next.table.begin([routeTo(TCP, A), linkTo(B)]);
  assert.deepEqual([next.table.trouble, next.counters.updates], [undefined, 1]);
  const third = openTable();
  third.table.begin([routeTo(TCP, A), linkTo(B)]);
  assert.equal(third.counters.updates, 0);
  assert.deepEqual((await connects(20)).replies, { a: 20 });
  assert.deepEqual((await hosts.connects(CLIENT, '10.77.1.1', 6379, 5)).replies, { b: 5 });
  third.table.clear();
});

/** What another program may do to the table. */
const DAMAGE = [
  'flush ruleset',
  'delete table ip soradns',
  'flush chain ip soradns virtual',
  'flush map ip soradns virtual16',
  'flush set ip soradns links',
  'add table ip soradns { flags dormant; }',
  'delete element ip soradns virtual16 { 198.18.0.1 . tcp . 80 . 3 }',
  'add element ip soradns virtual32 { 198.18.0.1 . tcp . 80 . 3 : 10.0.0.1 . 80 }',
  'insert rule ip soradns before_routing accept',
];

for (const damage of DAMAGE)
  test(`The table is as before after another program's "${damage}"`, options, async () => {
    const { table, transactions, counters } = openTable();
    table.begin([routeTo(TCP, A), linkTo(A)]);
    const listed = command('nft', 'list', 'ruleset');
    assert.equal(transactions.foreignChanges(), undefined);
    command('nft', damage);
    const foreign = transactions.foreignChanges();
    assert.deepEqual([...(foreign?.programs ?? [])], ['nft']);
    assert.ok(foreign?.tables.some(({ family, name }) => family === 4 && name === 'soradns'));
    table.repair();
    assert.equal(counters.rebuilt, 1);
    assert.equal(command('nft', 'list', 'ruleset'), listed);
    assert.equal(transactions.foreignChanges(), undefined);
    table.repair();
    assert.equal(counters.rebuilt, 1);
    table.clear();
  });

test('The next process does not adopt a table that another program has damaged', options, () => {
  const first = openTable();
  first.table.begin([routeTo(TCP, A)]);
  const listed = command('nft', 'list', 'ruleset');
  command('nft', 'flush chain ip soradns before_routing');
  const next = openTable();
  next.table.begin([routeTo(TCP, A)]);
  assert.equal(command('nft', 'list', 'ruleset'), listed);
  next.table.clear();
});

test('A table of another form is replaced without a refused connection', options, async () => {
  const { table } = openTable();
  table.begin([routeTo(TCP, A)]);
  const connecting = connects(3_000);
  for (const balance of ['source', 'random', 'source'] as const) {
    const next = openTable({ balance });
    next.table.begin([routeTo(TCP, A)]);
    assert.deepEqual([next.table.trouble, next.counters.updates], [undefined, 1]);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const { failed, error } = await connecting;
  assert.equal(failed, 0, error);
  table.clear();
});

test('A change after another program has deleted the table writes it anew', options, async () => {
  const { table, counters } = openTable();
  table.begin([routeTo(TCP, A)]);
  command('nft', 'delete', 'table', 'ip', 'soradns');
  table.change(setting(routeTo(TCP, B)));
  assert.deepEqual([table.trouble, counters.rebuilt], [undefined, 1]);
  assert.deepEqual((await connects(5)).replies, { b: 5 });
  table.clear();
});

function linkTo(...addresses: readonly string[]): KernelRoute {
  return routeTo(consumer('10.77.1.2', 6379, 'tcp'), ...addresses);
}

test(
  'A consumer reaches its own service at any address of the host, and its route wins over a listener there',
  options,
  async () => {
    const { table } = openTable();
    table.begin([linkTo(A)]);
    for (const host of ['10.77.1.1', '10.77.3.1']) {
      const seen = await hosts.connects(CLIENT, host, 6379, 20);
      assert.deepEqual(seen.replies, { a: 20 }, seen.error);
    }
    assert.deepEqual((await hosts.connects(3, '10.77.3.1', 6379, 5)).replies, { host: 5 });
    table.change([{ kind: 'remove', match: linkTo().match }]);
    assert.deepEqual((await hosts.connects(CLIENT, '10.77.1.1', 6379, 5)).replies, { host: 5 });
    table.clear();
  },
);

test(
  'A link without a backend is refused, also where another program translates the port',
  options,
  async () => {
    const { table } = openTable();
    table.begin([linkTo()]);
    command('nft', 'add table ip docker');
    command('nft', 'add chain ip docker d { type nat hook prerouting priority dstnat; }');
    command('nft', 'add rule ip docker d tcp dport 6379 dnat to 10.77.3.2:8080');
    const refused = await hosts.connects(CLIENT, '10.77.1.1', 6379, 5);
    assert.match(refused.error, /Connection refused at 0 after [0-9]{1,3} ms/);
    command('nft', 'delete table ip docker');
    table.clear();
  },
);

test(
  'A link without a backend does not refuse another route that leads to its port of the host',
  options,
  async () => {
    const { table } = openTable();
    const slots = routeTo(TCP, '10.77.1.1').slots.map((slot) => ({ ...slot, port: 6379 }));
    table.begin([linkTo(), { match: TCP, slots }]);
    const { replies, error } = await connects(5);
    assert.deepEqual(replies, { host: 5 }, error);
    table.clear();
  },
);

test('A consumer reaches other hosts at the port of its link as before', options, async () => {
  const { table } = openTable();
  table.begin([routeTo(consumer('10.77.1.2', 8080, 'tcp'), A)]);
  assert.deepEqual((await hosts.connects(CLIENT, B, 8080, 5)).replies, { b: 5 });
  assert.deepEqual((await hosts.connects(CLIENT, '10.77.1.1', 8080, 5)).replies, { a: 5 });
  table.clear();
});
