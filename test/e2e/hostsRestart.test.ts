/** A host's soradns restarts under load: no lookup fails in containers that have a second `--dns` server. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from '../support/host.ts';
import { useHosts } from '../support/hosts.ts';
import { reportMs } from '../support/measurement.ts';
import { nowMs, startProber } from '../support/prober.ts';

const hosts = useHosts();
const NAME = 'web.skydns.local';
const LOAD_SECONDS = 16;
const BEFORE_MS = 3_000;

interface Client {
  readonly libc: 'glibc' | 'musl';
  readonly network?: string;
  /** Whether the client also has another host's server. */
  readonly second: boolean;
  readonly args?: readonly string[];
}

/** Each client looks the name up about a hundred times a second. */
const CLIENTS: readonly Client[] = [
  { libc: 'glibc', second: true },
  { libc: 'glibc', second: true, args: ['--dns-opt', 'timeout:1'] },
  { libc: 'glibc', second: true, network: 'backend' },
  { libc: 'musl', second: true },
  { libc: 'musl', second: true, network: 'backend' },
  { libc: 'musl', second: false },
];

/** Looks the name up for LOAD_SECONDS; returns the number of lookups and of failures. */
async function lookUp(host: Host, other: Host, what: string, client: Client) {
  const { libc, second, network, args } = client;
  const dns = second ? [host.bridge, other.address] : [host.bridge];
  const command = [`peer-${libc}`, 'lookups', NAME, String(LOAD_SECONDS)];
  const output = await host.inContainer({ dns, network, args }, ...command);
  const [count = 0, failed = 0, slowestMs = 0] = output.split(' ').map(Number);
  const servers = second ? '2 servers' : '1 server';
  const label = [libc, network ?? 'bridge', servers, ...(args ?? [])].join(' ');
  reportMs(`${what}: ${label}: ${failed} of ${count} lookups failed, slowest`, slowestMs);
  return { client, count, failed };
}

/**
 * Asserts that no lookup fails in clients with a second server while the body runs. Returns the number of failed
 * lookups in clients without one.
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
    assert.ok(count > LOAD_SECONDS, `${JSON.stringify(client)} made only ${count} lookups`);
  }
  return failedAlone;
}

for (const { signal, awayMs } of [
  { signal: 'SIGTERM', awayMs: 0 },
  { signal: 'SIGKILL', awayMs: 7_000 },
] as const) {
  const what = `soradns is ended by ${signal} and restarted after ${awayMs / 1000} s`;
  test(
    `No lookup of a client with a second server fails when a host's ${what}`,
    hosts.options,
    hosts.on(async ({ a, b }) => {
      await b.serve({ name: NAME, port: 8080 });
      const fromA = await startProber(a.dns, NAME);
      try {
        await fromA.waitFor(b.address, 0);
        const signalMs = nowMs();
        const failedAlone = await underLoad(a, b, what, async () => {
          await a.soradns.end(signal);
          await sleep(awayMs);
          await a.startSoradns();
        });
        reportMs(`${what}: does not answer`, fromA.wrongMs(b.address, signalMs));
        await fromA.waitFor(b.address, nowMs());
        if (awayMs > 5_000)
          assert.ok(failedAlone > 0, 'no lookup failed in the clients with one server');
      } finally {
        fromA.stop();
      }
    }),
  );
}
