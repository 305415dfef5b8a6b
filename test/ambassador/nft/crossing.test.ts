/** What may pass a filter that drops packets between networks, as Docker's isolation does, between namespaces of the test. */
import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import type { KernelRoute } from '../../../src/ambassador/nft/kernelRoute.ts';
import { CROSSING_MARK } from '../../../src/ambassador/nft/tableText.ts';
import type { BackendAccess } from '../../../src/ambassador/route.ts';
import { consumer, openTable, routeTo, setting, virtual } from '../../support/kernelTableScene.ts';
import { command, noOwnNetwork } from '../../support/ownNetwork.ts';
import { ThreeHosts } from '../../support/threeHosts.ts';

const options = noOwnNetwork === undefined ? {} : { skip: noOwnNetwork };
const VIP = '198.18.0.1';
const [CLIENT, GATEWAY] = [1, '10.77.1.1'];
const [A, B] = ['10.77.2.2', '10.77.3.2'];
const TCP = virtual(VIP, 80, 'tcp');
const ISOLATION = `table ip isolation {
  chain forward {
    type filter hook forward priority filter; policy drop;
    meta mark and ${CROSSING_MARK} == ${CROSSING_MARK} ct status dnat accept
  }
  chain leaving {
    type filter hook postrouting priority filter; policy accept;
    meta mark != 0 counter comment "marked"
  }
}`;

let hosts: ThreeHosts;

before(async () => {
  if (noOwnNetwork !== undefined) return;
  hosts = new ThreeHosts();
  for (const number of [CLIENT, 2, 3]) await hosts.addNeighbour(number);
  await hosts.serve(2, 'a', 8080, 5300);
  await hosts.serve(3, 'b', 8080, 5300);
  command('nft', ISOLATION);
});
after(() => hosts?.stop());

function withAccess(route: KernelRoute, access: BackendAccess): KernelRoute {
  return { ...route, slots: route.slots.map((slot) => ({ ...slot, access })) };
}

/** The texts of the servers that answer one connection, or its error. */
async function seenAt(address: string, port: number): Promise<string> {
  const { replies, error } = await hosts.connects(CLIENT, address, port, 1);
  return Object.keys(replies)[0] ?? error.replace(/ at .*/, '');
}

for (const [what, match, address] of [
  ['virtual address', TCP, VIP],
  ['link', consumer('10.77.1.2', 80, 'tcp'), GATEWAY],
] as const)
  test(
    `Only published backends of a ${what} are reached across the isolation`,
    options,
    async () => {
      const { table } = openTable();
      table.begin([withAccess(routeTo(match, A), 'published')]);
      const published = await seenAt(address, 80);
      table.change(setting(withAccess(routeTo(match, A), 'private')));
      const hidden = await seenAt(address, 80);
      table.change(setting(routeTo(match, A)));
      const [routed, plain] = await Promise.all([seenAt(address, 80), seenAt(A, 8080)]);
      assert.deepEqual(
        { published, hidden, routed, plain },
        {
          ...{ published: 'a', hidden: 'Connection refused' },
          ...{ routed: 'Operation in progress', plain: 'Operation in progress' },
        },
      );
      table.clear();
    },
  );

test('A connection across the isolation goes on while its backend drains', options, async () => {
  const scene = openTable();
  scene.table.begin([withAccess(routeTo(TCP, A), 'published')]);
  const stream = hosts.client(CLIENT, 'stream', VIP, '80', '50', '3');
  await stream.saw('a reply', ({ reply }) => reply?.startsWith('a ') === true);
  scene.table.change(setting(withAccess(routeTo(TCP, B), 'published')));
  assert.equal(await seenAt(VIP, 80), 'b');
  await stream.ended();
  assert.deepEqual(
    stream.seen().filter(({ error }) => error !== undefined),
    [],
  );
  scene.table.clear();
});

test('A UDP client across the isolation learns that a port is closed', options, async () => {
  const { table } = openTable();
  const match = virtual(VIP, 53, 'udp');
  const route = routeTo(match, A);
  const slots = route.slots.map((slot) => ({ ...slot, port: 5399, access: 'published' as const }));
  table.begin([{ match, slots }]);
  const datagrams = hosts.client(CLIENT, 'datagrams', VIP, '53', '1200', '3');
  await datagrams.saw('a refusal', ({ error }) => error === 'Connection refused');
  await datagrams.ended();
  table.clear();
});

test('No packet leaves with the mark', options, () => {
  assert.match(command('nft', 'list', 'chain', 'ip', 'isolation', 'leaving'), /packets 0 bytes 0/);
});
