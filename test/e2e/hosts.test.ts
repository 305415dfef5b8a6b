/** Containers on several hosts resolve each other's names and connect, with every common resolver. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { dig } from '../support/dig.ts';
import { type Host, LEASE_TTL_SECONDS } from '../support/host.ts';
import { useHosts } from '../support/hosts.ts';
import { askMany } from '../support/manyQuestions.ts';
import { reportMs } from '../support/measurement.ts';
import { assertNeverWrong, nowMs, startProber } from '../support/prober.ts';
import { until } from '../support/until.ts';
import { question } from '../support/zone.ts';

const hosts = useHosts({ later: ['c'] });
const RAILS = 'rails.production.east.skydns.local';
const NAME = `1.${RAILS}`;
const NETWORKS = ['bridge', 'backend'];

/** This client looks up SRV records with BusyBox's own resolver. */
const BUSYBOX_SRV = `
  set -- $(nslookup -type=srv ${NAME} | sed -n 's/.*service = //p')
  echo hello | nc "$4" "$3"`;

/** Clients that resolve NAME by SRV or by A, send a line to its container, and print the reply last. */
const CLIENTS: readonly (readonly [string, ...string[]])[] = [
  ['peer-glibc', 'srv', NAME, 'hello'],
  ['peer-glibc', 'a', NAME, '8080', 'hello'],
  ['peer-musl', 'srv', NAME, 'hello'],
  ['peer-musl', 'a', NAME, '8080', 'hello'],
  ['sh', '-c', BUSYBOX_SRV],
  ['sh', '-c', `echo hello | nc ${NAME} 8080`],
];

/** Whether a container on the host resolves the name and gets a reply; otherwise the client exits with 1. */
function connects(host: Host, name: string): Promise<boolean> {
  const connecting = host.inContainer({}, 'peer-musl', 'srv', name, 'hi');
  return connecting.then(
    () => true,
    () => false,
  );
}

/** Waits until the host's soradns gives this answer for the name. */
async function waitForAnswer(host: Host, name: string, answer: string): Promise<void> {
  const prober = await startProber(host.dns, name);
  await prober.waitFor(answer, nowMs()).finally(prober.stop);
}

for (const network of NETWORKS) {
  test(
    `Containers on host A's network ${network} resolve a container on host B by SRV and by A and exchange a line with it`,
    hosts.options,
    hosts.on(async ({ a, b }) => {
      await b.serve({ name: NAME, port: 8080 });
      await waitForAnswer(a, NAME, b.address);
      if (network !== 'bridge') await a.dockerd.docker('network', 'create', network);
      const resolver = await a.inContainer({ network }, 'cat', '/etc/resolv.conf');
      assert.match(
        resolver,
        network === 'bridge' ? /^nameserver 172\.17\.0\.1$/m : /127\.0\.0\.11/,
      );
      for (const client of CLIENTS) {
        const output = await a.inContainer({ network }, ...client);
        const endpoint = client[0] === 'sh' ? '' : `${b.address} 8080 `;
        assert.equal(output, `${endpoint}b got hello`, client.join(' '));
      }
    }),
  );
}

test(
  'Containers on a third host that joins reach every other host’s containers, and all hosts reach them',
  hosts.options,
  hosts.on(async ({ a, b, c }) => {
    for (const host of [a, b]) await host.serve({ name: `${host.name}.${RAILS}`, port: 8080 });
    await c.startPlainSoradns();
    await c.serve({ name: `c.${RAILS}`, port: 8080 });
    const all = [a, b, c];
    const addresses = all.map(({ address }) => address).sort();
    for (const host of [a, b]) await waitForAnswer(host, RAILS, addresses.join(' '));
    // C's soradns listens only on C's bridge, which the test cannot reach.
    await until(
      'a container on C reaches another one on C',
      () => connects(c, `c.${RAILS}`),
      20_000,
    );
    for (const from of all) {
      for (const to of all) {
        const output = await from.inContainer({}, 'peer-musl', 'srv', `${to.name}.${RAILS}`, 'hi');
        assert.equal(output, `${to.address} 8080 ${to.name} got hi`, `${from.name} to ${to.name}`);
      }
    }
  }),
);

test(
  'Clients reach every replica of a name on different hosts and ports',
  hosts.options,
  hosts.on(async ({ a, b, c }) => {
    await b.serve({ name: `1.${RAILS}`, port: 8081 });
    await c.serve({ name: `2.${RAILS}`, port: 8082 });
    await waitForAnswer(a, RAILS, [b.address, c.address].sort().join(' '));
    const client = `for i in 1 2 3 4 5 6 7 8 9 10 11 12; do peer-glibc srv ${RAILS} hi || exit; done`;
    const output = await a.inContainer({}, 'sh', '-c', client);
    const endpoints = [...new Set(output.split('\n'))].sort();
    const expected = [`${b.address} 8081 b got hi`, `${c.address} 8082 c got hi`];
    assert.deepEqual(endpoints, expected.sort());
  }),
);

/** The addresses in each of 1,000 replies, in their order, and how often they came. */
async function repliesOf({ dns }: Host, qname: string): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  for (const { answer } of await askMany(dns, Array(1_000).fill(question(`${qname}.`, 'A')))) {
    const addresses = answer.map(({ rdata }) => (rdata.kind === 'address' ? rdata.address : ''));
    counts.set(addresses.join(' '), (counts.get(addresses.join(' ')) ?? 0) + 1);
  }
  return counts;
}

const NEAR = { first: 'first.skydns.local', only: 'only.skydns.local' } as const;
/** Only the records of a host that fails stay until their lease ends; the end of a container is noticed at once. */
const MOST_FALLBACK_MS = (LEASE_TTL_SECONDS * 1_000) / 2;

test(
  'Each host’s server prefers its own container, and gives the others at once when that one ends',
  hosts.options,
  hosts.on(async ({ a, b, c }) => {
    const all = [a, b, c];
    await c.soradns.end();
    await c.startSoradns();
    const serving = all.flatMap((host) =>
      (['first', 'only'] as const).map((how, i) => {
        const name = `${host.name}.${NEAR[how]}`;
        return host.serve({ name, port: 8081 + i, args: ['--env', `DNS_NEAR=${how}`] });
      }),
    );
    const onlyOfA = (await Promise.all(serving))[1] as string;
    const addresses = all.map(({ address }) => address).sort();
    for (const host of all) {
      const others = addresses.filter((address) => address !== host.address);
      await waitForAnswer(host, NEAR.first, addresses.join(' '));
      await waitForAnswer(host, NEAR.only, host.address);
      const first = await repliesOf(host, NEAR.first);
      const orders = [others, [...others].reverse()].map((rest) =>
        [host.address, ...rest].join(' '),
      );
      assert.deepEqual([...first.keys()].sort(), orders.sort(), host.name);
      assert.deepEqual([...(await repliesOf(host, NEAR.only))], [[host.address, 1_000]], host.name);
      const overTcp = await dig(host.dns, NEAR.first, 'A', '+tcp', '+short');
      assert.equal(overTcp.text.split('\n')[0], host.address, `${host.name} over TCP`);
    }
    const rest = [b.address, c.address].sort().join(' ');
    const prober = await startProber(a.dns, NEAR.only);
    try {
      await prober.waitFor(a.address, 0);
      await a.dockerd.docker('kill', onlyOfA);
      const endedMs = await a.timeOf('FinishedAt', onlyOfA);
      const tookMs = await prober.waitFor(rest, endedMs);
      reportMs('from the end of a container to the answers with the others', tookMs);
      assert.ok(tookMs < MOST_FALLBACK_MS, `${tookMs} ms: ${prober.history(endedMs)}`);
      assertNeverWrong(prober, rest, endedMs + tookMs, 'the fall-back of a name with near only');
      const others = [a.address, rest];
      const seen = prober
        .history(0)
        .replace(/\+\d+ ms /g, '')
        .split(', ');
      assert.deepEqual(seen, others, 'no look-up failed in between');
    } finally {
      prober.stop();
    }
  }),
);
