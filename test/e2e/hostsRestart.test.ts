/** A host's soradns restarted while its containers ask: those with another server as a second `--dns` notice nothing. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { report } from '../support/figure.ts';
import type { Host } from '../support/host.ts';
import { useHosts } from '../support/hosts.ts';
import { nowMs, startProber } from '../support/prober.ts';

const hosts = useHosts();
const NAME = 'web.skydns.local';
const LOAD_SECONDS = 16;
const BEFORE_MS = 3_000;

interface Client {
  readonly libc: 'glibc' | 'musl';
  readonly network?: string;
  /** Besides its own host's. */
  readonly second: boolean;
  readonly args?: readonly string[];
}

/** Each looks the name up a hundred times a second or so. */
const CLIENTS: readonly Client[] = [
  { libc: 'glibc', second: true },
  { libc: 'glibc', second: true, args: ['--dns-opt', 'timeout:1'] },
  { libc: 'glibc', second: true, network: 'backend' },
  { libc: 'musl', second: true },
  { libc: 'musl', second: true, network: 'backend' },
  { libc: 'musl', second: false },
];

/** Looks the name up until the time is over; gives what came of it. */
async function lookUp(host: Host, other: Host, what: string, client: Client) {
  const { libc, second, network, args } = client;
  const dns = second ? [host.bridge, other.address] : [host.bridge];
  const command = [`peer-${libc}`, 'lookups', NAME, String(LOAD_SECONDS)];
  const said = await host.inContainer({ dns, network, args }, ...command);
  const [count = 0, failed = 0, slowestMs = 0] = said.split(' ').map(Number);
  const servers = second ? '2 servers' : '1 server';
  const who = [libc, network ?? 'bridge', servers, ...(args ?? [])].join(' ');
  report(`${what}: ${who}: ${failed} of ${count} lookups failed, slowest`, slowestMs);
  return { client, count, failed };
}

/**
 * Who has a second server has an answer to each lookup, whatever the body does to the host's soradns. Gives how many
 * lookups failed of those who have none.
 */
async function underLoad(host: Host, other: Host, what: string, body: () => Promise<void>) {
  await host.dockerd.docker('network', 'create', 'backend');
  const lookups = Promise.all(CLIENTS.map((client) => lookUp(host, other, what, client)));
  await sleep(BEFORE_MS);
  await body();
  let failedAlone = 0;
  for (const { client, count, failed } of await lookups) {
    if (!client.second) failedAlone += failed;
    else assert.equal(failed, 0, JSON.stringify(client));
    assert.ok(count > LOAD_SECONDS, `${JSON.stringify(client)} asked ${count} times only`);
  }
  return failedAlone;
}

for (const { signal, awayMs } of [
  { signal: 'SIGTERM', awayMs: 0 },
  { signal: 'SIGKILL', awayMs: 7_000 },
] as const) {
  const what = `soradns ended by ${signal}, started again after ${awayMs / 1000} s`;
  test(
    `${what}: no lookup fails with a second server`,
    hosts.options,
    hosts.on(async ({ a, b }) => {
      await b.serve({ name: NAME, port: 8080 });
      const fromA = await startProber(a.dns, NAME);
      try {
        await fromA.sees(b.address, 0);
        const signalMs = nowMs();
        const failedAlone = await underLoad(a, b, what, async () => {
          await a.soradns.end(signal);
          await sleep(awayMs);
          await a.startSoradns();
        });
        report(`${what}: does not answer`, fromA.wrongMs(b.address, signalMs));
        await fromA.sees(b.address, nowMs());
        if (awayMs > 5_000) assert.ok(failedAlone > 0, 'the others would not have failed either');
      } finally {
        fromA.stop();
      }
    }),
  );
}
