/** How long connections to virtual addresses fail, on real Docker hosts, when part of a host fails. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { compile } from '../support/dockerImages.ts';
import { output } from '../support/engineCommands.ts';
import { assertFailedFor } from '../support/flowClients.ts';
import { type ClientPlace, connectOften, serveFlows, watchFlow } from '../support/flows.ts';
import { type Host, LEASE_TTL_SECONDS } from '../support/host.ts';
import { environment } from '../support/hostCleaner.ts';
import { type Hosts, useHosts } from '../support/hosts.ts';
import { reportMs } from '../support/measurement.ts';
import { until } from '../support/until.ts';
import { virtualAddress } from '../support/virtualAddress.ts';

const DRAIN_SECONDS = 2;
/** `c` connects to each backend every second. */
const hosts = useHosts({
  options: ['--vip', '--ambassador-drain', String(DRAIN_SECONDS)],
  optionsOf: { c: ['--ambassador-probe', '1'] },
});
const folder = mkdtempSync(join(tmpdir(), 'soradns-flow-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const WEB = 'web.skydns.local';
const EVERY_MS = 250;
/** What a loaded machine may add to each time. */
const SLACK_MS = 5_000;

interface Scene extends Hosts {
  readonly vip: string;
  /** A program of the host, which needs no rules of Docker. */
  readonly onHost: ClientPlace;
  /** In a container, without Docker, so that it goes on while Docker does not run. */
  inside(host: Host, network?: string): Promise<ClientPlace>;
  attempts(host: Host, place: ClientPlace, seconds: number): ReturnType<typeof watchFlow>;
  stream(host: Host, place: ClientPlace, seconds: number): ReturnType<typeof watchFlow>;
}

/** Runs the body when instances on these hosts serve at the virtual address. */
function serving(on: readonly ('a' | 'b' | 'c')[], body: (scene: Scene) => Promise<void>) {
  return hosts.on(async (all) => {
    for (const name of on)
      await serveFlows(all[name], {
        ...{ text: name, ports: [80], publish: ['80/tcp'] },
        env: { DNS_NAME: `${name}.${WEB}`, DNS_VIP: 'auto' },
      });
    const vip = await virtualAddress(all.a, WEB);
    const onHost = {
      kind: 'host',
      program: compile(folder, 'musl-gcc', 'flow', 'flow.c', '-static'),
    } as const;
    for (const host of [all.a, all.c])
      await until('every instance is reached', async () => {
        const { replies } = await connectOften(host, onHost, [vip, 80], { count: 40 });
        return Object.keys(replies).length === on.length;
      });
    await body({
      ...{ ...all, vip, onHost },
      inside: async (host, network = 'bridge') => {
        const id = await host.dockerd.run({ image: 'peer', network });
        const pid = await host.dockerd.docker('inspect', '--format', '{{.State.Pid}}', id);
        return { kind: 'process', pid };
      },
      attempts: (host, place, seconds) =>
        watchFlow(host, place, 'attempts', [vip, 80], { everyMs: EVERY_MS, seconds }),
      stream: (host, place, seconds) =>
        watchFlow(host, place, 'stream', [vip, 80], { everyMs: 50, seconds }),
    });
  });
}

const run = (host: Host, ...command: readonly string[]) =>
  output(host.dockerd.onHost(...command), environment());

/** The lines about our tables that `nft monitor` prints while the body runs, without what packets add. */
async function changesDuring(host: Host, body: () => Promise<void>): Promise<readonly string[]> {
  const [command, ...args] = host.dockerd.onHost('nft', 'monitor');
  const monitor = spawn(command, args, {
    env: environment(),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  monitor.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  try {
    await body();
  } finally {
    const ended = once(monitor, 'close');
    monitor.kill();
    await ended;
  }
  return text
    .split('\n')
    .filter((line) => / ip6? soradns /.test(line) && !/ (near|gateways) /.test(line));
}

test(
  'Connections and new connects go on while soradns is killed, and its restart changes nothing in the kernel',
  hosts.options,
  // In this order, so that the slots do not have the order of the addresses.
  serving(['c', 'b'], async ({ a, onHost, attempts, stream }) => {
    const [tries, open] = [attempts(a, onHost, 8), stream(a, onHost, 8)];
    await open.saw('a reply', ({ reply }) => reply !== undefined);
    await a.soradns.end('SIGKILL');
    await sleep(1_000);
    const changes = await changesDuring(a, async () => {
      await sleep(500);
      await a.startSoradns();
      await virtualAddress(a, WEB);
      await sleep(1_000);
    });
    assert.deepEqual(changes, []);
    await assertFailedFor(tries, 'soradns killed and started again', { atMostMs: 0 });
    await open.ended();
    assert.deepEqual(
      open.seen().filter(({ error }) => error !== undefined),
      [],
    );
  }),
);

test(
  'A host’s routes are back soon after another program has flushed all tables',
  hosts.options,
  serving(['b'], async ({ a, onHost, attempts, stream, inside, vip }) => {
    const [tries, open] = [attempts(a, onHost, 5), stream(a, onHost, 5)];
    await open.saw('a reply', ({ reply }) => reply !== undefined);
    await run(a, 'nft', 'flush', 'ruleset');
    await assertFailedFor(tries, 'nft flush ruleset', { atMostMs: 1_000 + SLACK_MS });
    await open.ended();
    // Without any table the kernel translates no packet, so a reply in that moment shows the client an unknown sender.
    const errors = open.seen().flatMap(({ error }) => error ?? []);
    assert.deepEqual(
      errors.filter((error) => error !== 'Connection reset by peer'),
      [],
    );
    // The flush has taken Docker's rules too, which only dockerd writes anew.
    await a.dockerd.terminate();
    await a.dockerd.start();
    const seen = await connectOften(a, await inside(a), [vip, 80], { count: 5 });
    assert.deepEqual(seen.replies, { b: 5 }, seen.error);
  }),
);

test(
  'Connections across bridges go on when Docker’s translations are flushed, and work again after dockerd has restarted',
  hosts.options,
  serving(['c'], async ({ c, inside, attempts, stream }) => {
    await c.dockerd.docker('network', 'create', 'other');
    const place = await inside(c, 'other');
    const open = stream(c, place, 60);
    await open.saw('a reply', ({ reply }) => reply !== undefined);
    const flushed = attempts(c, place, 2);
    await run(c, 'iptables', '-t', 'nat', '-F');
    await assertFailedFor(flushed, 'iptables -t nat -F', { atMostMs: 0 });
    const restarted = attempts(c, place, 60);
    await c.dockerd.terminate();
    await c.dockerd.start();
    // dockerd puts its isolation before DOCKER-USER.
    const isFirst = async (): Promise<boolean> =>
      /-j DOCKER-\S+/.exec(await run(c, 'iptables', '-S', 'FORWARD'))?.[0] === '-j DOCKER-USER';
    await until('DOCKER-USER comes first', isFirst);
    await until('connections succeed', () => restarted.seen().at(-1)?.reply !== undefined);
    restarted.end();
    await assertFailedFor(restarted, 'dockerd restarted with live-restore', {
      atMostMs: 2 * SLACK_MS,
    });
    open.end();
    await open.ended();
    assert.deepEqual(
      open.seen().filter(({ error }) => error !== undefined),
      [],
    );
  }),
);

test(
  'When all of etcd fails, connections to every instance go on',
  hosts.options,
  serving(['b', 'c'], async ({ a, b, c, onHost, attempts }) => {
    const tries = attempts(a, onHost, 9);
    await Promise.all([a, b, c].map(({ etcd }) => etcd.kill()));
    await sleep((LEASE_TTL_SECONDS + 2) * 1_000);
    await Promise.all([a, b, c].map(({ etcd }) => etcd.restart()));
    await assertFailedFor(tries, 'etcd lost', { atMostMs: 0 });
  }),
);

test(
  'When a host loses power, connections fail until a probe or the lease says so, and established ones are reset',
  hosts.options,
  serving(['b', 'c'], async ({ a, b, c, onHost, attempts, stream }) => {
    // Streams of both hosts to the one that fails: a connection keeps its backend.
    const streams = await Promise.all(
      [a, c].map((host) => streamTo('b', () => stream(host, onHost, 60))),
    );
    const [leased, probed] = [attempts(a, onHost, 18), attempts(c, onHost, 12)];
    await sleep(500);
    const crashMs = performance.now();
    await b.crash();
    const resets = streams.map(async (open) => {
      const { error } = await open.saw('the end', (change) => change.error !== undefined);
      return [error, performance.now() - crashMs] as const;
    });
    await assertFailedFor(probed, 'host lost power, --ambassador-probe 1', {
      atMostMs: 3_000 + SLACK_MS,
    });
    await assertFailedFor(leased, 'host lost power', {
      atMostMs: LEASE_TTL_SECONDS * 1_000 + 1_100 + 2 * SLACK_MS,
    });
    for (const [i, [error, ms]] of (await Promise.all(resets)).entries()) {
      reportMs(
        `host lost power${i === 1 ? ', --ambassador-probe 1' : ''}: established connections are reset after`,
        ms,
      );
      assert.equal(error, 'Connection reset by peer');
    }
  }),
);

/** Opens streams until one is served by the host. */
async function streamTo(text: string, open: () => ReturnType<typeof watchFlow>) {
  for (;;) {
    const stream = open();
    const { reply } = await stream.saw('a reply', (change) => change.reply !== undefined);
    if (reply?.startsWith(`${text} `)) return stream;
    stream.end();
  }
}
