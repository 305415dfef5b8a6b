/** The whole point: containers of several hosts find each other by name and connect, whatever they ask with. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Host } from '../support/host.ts';
import { useHosts } from '../support/hosts.ts';
import { nowMs, startProber } from '../support/prober.ts';
import { until } from '../support/until.ts';

const hosts = useHosts({ later: ['c'] });
const RAILS = 'rails.production.east.skydns.local';
const NAME = `1.${RAILS}`;
const NETWORKS = ['bridge', 'backend'];

/** Busybox has a resolver of its own for this. */
const BUSYBOX_SRV = `
  set -- $(nslookup -type=srv ${NAME} | sed -n 's/.*service = //p')
  echo hello | nc "$4" "$3"`;

/** Clients that find NAME by SRV or by A and exchange a line, of which they print the reply last. */
const CLIENTS: readonly (readonly [string, ...string[]])[] = [
  ['peer-glibc', 'srv', NAME, 'hello'],
  ['peer-glibc', 'a', NAME, '8080', 'hello'],
  ['peer-musl', 'srv', NAME, 'hello'],
  ['peer-musl', 'a', NAME, '8080', 'hello'],
  ['sh', '-c', BUSYBOX_SRV],
  ['sh', '-c', `echo hello | nc ${NAME} 8080`],
];

/** Whether a container there finds the name and is answered: a client that is not exits with 1. */
function finds(host: Host, name: string): Promise<boolean> {
  const connecting = host.inContainer({}, 'peer-musl', 'srv', name, 'hi');
  return connecting.then(
    () => true,
    () => false,
  );
}

/** Waits until a host's soradns answers so. */
async function knows(host: Host, name: string, answer: string): Promise<void> {
  const prober = await startProber(host.dns, name);
  await prober.sees(answer, nowMs()).finally(prober.stop);
}

for (const network of NETWORKS) {
  test(
    `on ${network}: containers on A find one on B by SRV and by A, and exchange a line with it`,
    hosts.options,
    hosts.on(async ({ a, b }) => {
      await b.serve({ name: NAME, port: 8080 });
      await knows(a, NAME, b.address);
      if (network !== 'bridge') await a.dockerd.docker('network', 'create', network);
      const resolver = await a.inContainer({ network }, 'cat', '/etc/resolv.conf');
      assert.match(
        resolver,
        network === 'bridge' ? /^nameserver 172\.17\.0\.1$/m : /127\.0\.0\.11/,
      );
      for (const client of CLIENTS) {
        const said = await a.inContainer({ network }, ...client);
        const place = client[0] === 'sh' ? '' : `${b.address} 8080 `;
        assert.equal(said, `${place}b got hello`, client.join(' '));
      }
    }),
  );
}

test(
  'a third host joins: its containers find all others, all others find them, and each host its own',
  hosts.options,
  hosts.on(async ({ a, b, c }) => {
    for (const host of [a, b]) await host.serve({ name: `${host.name}.${RAILS}`, port: 8080 });
    await c.startPlainSoradns();
    await c.serve({ name: `c.${RAILS}`, port: 8080 });
    const all = [a, b, c];
    const addresses = all.map(({ address }) => address).sort();
    for (const host of [a, b]) await knows(host, RAILS, addresses.join(' '));
    // It has no address that the test could ask.
    await until('C knows its own', () => finds(c, `c.${RAILS}`), 20_000);
    for (const from of all) {
      for (const to of all) {
        const said = await from.inContainer({}, 'peer-musl', 'srv', `${to.name}.${RAILS}`, 'hi');
        assert.equal(said, `${to.address} 8080 ${to.name} got hi`, `${from.name} to ${to.name}`);
      }
    }
  }),
);

test(
  'replicas on several hosts, at ports of their own, share a name: clients come to all of them',
  hosts.options,
  hosts.on(async ({ a, b, c }) => {
    await b.serve({ name: `1.${RAILS}`, port: 8081 });
    await c.serve({ name: `2.${RAILS}`, port: 8082 });
    await knows(a, RAILS, [b.address, c.address].sort().join(' '));
    const client = `for i in 1 2 3 4 5 6 7 8 9 10 11 12; do peer-glibc srv ${RAILS} hi || exit; done`;
    const said = await a.inContainer({}, 'sh', '-c', client);
    const places = [...new Set(said.split('\n'))].sort();
    const expected = [`${b.address} 8081 b got hi`, `${c.address} 8082 c got hi`];
    assert.deepEqual(places, expected.sort());
  }),
);
