/**
 * Consumers and backends on one bridge, as containers on one network of a Docker host: the backend would answer the
 * consumer directly. Also backends that only their own network may reach.
 */
import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import type { KernelRoute } from '../../../src/ambassador/nft/kernelRoute.ts';
import { consumer, openTable, routeTo, setting, virtual } from '../../support/kernelTableScene.ts';
import { command, noOwnNetwork } from '../../support/ownNetwork.ts';
import { ThreeHosts } from '../../support/threeHosts.ts';

const options = noOwnNetwork === undefined ? {} : { skip: noOwnNetwork };
/** Members of the bridge, and a neighbour with a link of its own. */
const [CONSUMER, BACKEND, OTHER] = [11, 12, 1];

const ADDRESSES = {
  4: {
    vip: '198.18.0.1',
    gateway: '10.77.200.1',
    consumer: '10.77.200.11',
    backend: '10.77.200.12',
    other: '10.77.1.2',
  },
  6: {
    vip: 'fd53:6f72::1',
    gateway: 'fd77:200::1',
    consumer: 'fd77:200::11',
    backend: 'fd77:200::12',
    other: 'fd77:1::2',
  },
} as const;

let hosts: ThreeHosts;

before(async () => {
  if (noOwnNetwork !== undefined) return;
  hosts = new ThreeHosts();
  await hosts.addNeighbour(OTHER);
  hosts.addBridge();
  for (const member of [CONSUMER, BACKEND]) await hosts.addMember(member);
  await hosts.serve(CONSUMER, 'consumer', 8080, 5300);
  await hosts.serve(BACKEND, 'backend', 8080, 5300);
  await hosts.serve(OTHER, 'other', 8080, 5300);
});
after(() => hosts?.stop());

/** The text of the server that answers, and the client's address as it sees it. */
async function answerTo(number: number, address: string, protocol: 'tcp' | 'udp') {
  const kind = protocol === 'tcp' ? 'stream' : 'datagrams';
  const client = hosts.client(number, kind, address, protocol === 'tcp' ? '80' : '53', '1500', '0');
  const { reply, error } = await client.saw('an answer', () => true);
  await client.ended();
  const [text, , source] = reply?.split(' ') ?? [];
  return reply === undefined ? error : `${text} sees ${source}`;
}

/** Sets br_netfilter: whether packets that a bridge passes on itself pass the tables too. */
function filterBridges(isFiltered: boolean): void {
  const names = ['iptables', 'ip6tables'].map((name) => `net.bridge.bridge-nf-call-${name}`);
  command('sysctl', '-qw', ...names.map((name) => `${name}=${isFiltered ? 1 : 0}`));
}

function privately({ match, slots }: KernelRoute): KernelRoute {
  return { match, slots: slots.map((slot) => ({ ...slot, access: 'private' as const })) };
}

for (const family of [4, 6] as const)
  for (const isFiltered of [false, true])
    for (const protocol of ['tcp', 'udp'] as const) {
      const at = ADDRESSES[family];
      const where = `with ${protocol} over IPv${family}, ${isFiltered ? 'with' : 'without'} br_netfilter`;
      const begin = (...backends: readonly string[]) => {
        filterBridges(isFiltered);
        const { table } = openTable({ family });
        const port = protocol === 'tcp' ? 80 : 53;
        const routes = [
          routeTo(virtual(at.vip, port, protocol), ...backends),
          routeTo(consumer(at.consumer, port, protocol), ...backends),
        ];
        table.begin(routes);
        assert.equal(table.trouble, undefined);
        return { table, routes };
      };

      test(`A consumer reaches its neighbour on the bridge ${where}`, options, async () => {
        const { table } = begin(at.backend);
        // Where the bridge itself passes packets on, it also translates the answer, and the address stays.
        const seen = isFiltered ? at.consumer : at.gateway;
        assert.equal(await answerTo(CONSUMER, at.vip, protocol), `backend sees ${seen}`);
        assert.equal(await answerTo(CONSUMER, at.gateway, protocol), `backend sees ${seen}`);
        table.clear();
      });

      test(
        `A backend keeps the address of consumers on other links ${where}`,
        options,
        async () => {
          const { table } = begin(at.backend);
          assert.equal(await answerTo(OTHER, at.vip, protocol), `backend sees ${at.other}`);
          table.change(
            setting(routeTo(virtual(at.vip, protocol === 'tcp' ? 80 : 53, protocol), at.other)),
          );
          assert.equal(await answerTo(CONSUMER, at.vip, protocol), `other sees ${at.consumer}`);
          table.clear();
        },
      );

      test(`A backend reaches itself ${where}`, options, async () => {
        const { table } = begin(at.consumer);
        // A bridge that passes the packet on itself does not send it back to where it came from, unless told so.
        command(
          'bridge',
          'link',
          'set',
          'dev',
          `m${CONSUMER}`,
          'hairpin',
          isFiltered ? 'on' : 'off',
        );
        assert.equal(await answerTo(CONSUMER, at.vip, protocol), `consumer sees ${at.gateway}`);
        command('bridge', 'link', 'set', 'dev', `m${CONSUMER}`, 'hairpin', 'off');
        table.clear();
      });

      test(`A private backend serves its own network alone ${where}`, options, async () => {
        const { table, routes } = begin(at.backend);
        table.change(setting(...routes.map(privately)));
        const refusal = await answerTo(OTHER, at.vip, protocol);
        assert.equal(refusal, 'Connection refused');
        assert.match((await answerTo(CONSUMER, at.vip, protocol)) ?? '', /^backend sees /);
        assert.match((await answerTo(CONSUMER, at.gateway, protocol)) ?? '', /^backend sees /);
        table.change(setting(...routes));
        assert.match((await answerTo(OTHER, at.vip, protocol)) ?? '', /^backend sees /);
        table.clear();
      });
    }

test('A network that was made after the table is treated like older ones', options, async () => {
  filterBridges(false);
  const { table } = openTable();
  table.begin([routeTo(virtual('198.18.0.1', 80, 'tcp'), '10.99.0.2')]);
  command('ip', 'link', 'add', 'late', 'type', 'bridge');
  command('ip', 'address', 'add', '10.99.0.1/24', 'dev', 'late');
  command('ip', 'link', 'set', 'late', 'up');
  command('ip', 'link', 'set', `m${BACKEND}`, 'master', 'late');
  command('ip', 'link', 'set', `m${CONSUMER}`, 'master', 'late');
  for (const [number, last] of [
    [CONSUMER, 3],
    [BACKEND, 2],
  ] as const)
    hosts.run(number, 'ip', 'address', 'add', `10.99.0.${last}/24`, 'dev', 'eth0');
  hosts.run(CONSUMER, 'ip', 'route', 'replace', 'default', 'via', '10.99.0.1');
  assert.equal(await answerTo(CONSUMER, '198.18.0.1', 'tcp'), 'backend sees 10.99.0.1');
  table.clear();
});
