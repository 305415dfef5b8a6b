/**
 * A successor replaces a server under 20,000 queries a second, and every query that the kernel delivers gets its
 * answer. Other work on the machine can delay the servers so long that they shed queries; such an attempt is repeated.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Changes } from '../../bench/soak/changes.ts';
import { DropWatch } from '../../bench/soak/kernelDrops.ts';
import { Ledger, SOAK_NAMES } from '../../bench/soak/ledger.ts';
import { startQueryThread } from '../../bench/soak/startQueryThread.ts';
import { callCli } from '../support/cli.ts';
import { type CliProcess, startCli } from '../support/cliProcess.ts';
import { type Etcd, startEtcd } from '../support/etcd.ts';
import { FakeDocker } from '../support/fakeDocker.ts';
import { query } from '../support/server.ts';
import { withTempDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';
import { question } from '../support/zone.ts';

const MOST_ATTEMPTS = 4;
const QUERIES_PER_SECOND = Number(process.env.SORADNS_TEST_TAKEOVER_RATE ?? 20_000);

let etcd: Etcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd?.stop());

interface Running {
  readonly process: CliProcess;
  readonly address: string;
  readonly port: number;
}

async function serve(addr: string, http: string, ...args: string[]): Promise<Running> {
  const process = startCli([
    ...['serve', '--store', `etcd://${etcd.endpoint}`, '--no-rec'],
    ...['--addr', addr, '--http', http, '--workers', '2', ...args],
  ]);
  const { dns } = await process.logged('serving');
  const [address = '', port = ''] = String((dns as string[])[0]).split(':');
  return { process, address, port: Number(port) };
}

/** The number of packets that the process dropped unread, from its last log line. */
function shedBy(process: CliProcess): number {
  const { udp } = process.lines().find(({ msg }) => msg === 'stopped') ?? {};
  return (udp as { shed: number }).shed;
}

async function isReady(http: string): Promise<boolean> {
  const reply = await fetch(`http://${http}/readyz`).catch(() => undefined);
  return reply?.status === 200;
}

/**
 * Replaces a server three times under load. Each query must be answered or counted as dropped or shed. Returns how many the
 * servers shed.
 */
async function takeOverThrice(t: TestContext): Promise<number> {
  const ledger = new Ledger();
  const changes = new Changes(ledger, etcd, new FakeDocker('/nonexistent'));
  await changes.fill();
  let running = await serve('127.0.0.1:0', '127.0.0.1:0');
  const all = [running];
  const addr = `127.0.0.1:${running.port}`;
  const http = String((await running.process.logged('serving')).http);
  await until('the server is ready', () => isReady(http), 20_000);
  // A successor starts with its answers computed; the first server computes each answer at the first query for it.
  for (const { name } of SOAK_NAMES) await query(running, question(`${name}.`, 'A'));
  const drops = new DropWatch(running.port);
  const queries = startQueryThread(running.port, QUERIES_PER_SECOND, ledger);
  const overTcp: Promise<unknown>[] = [];
  let shed = 0;
  const firstName = question(`${SOAK_NAMES[0]?.name}.`, 'A');
  const tcp = setInterval(() => {
    const one = query(running, firstName, { transport: 'tcp' });
    overTcp.push(one.then(({ answer }) => assert.equal(answer.length, 1)));
  }, 10);
  try {
    for (let i = 0; i < 3; i++) {
      await sleep(500);
      const successor = await serve(addr, http, '--takeover');
      await sleep(500);
      assert.equal(await running.process.end('SIGTERM'), 0);
      assert.ok(running.process.lines().some(({ msg }) => /successor answers/.test(String(msg))));
      running = successor;
      all.push(successor);
      await running.process.logged('HTTP started');
      assert.ok(await isReady(http));
    }
    await sleep(500);
  } finally {
    clearInterval(tcp);
    const result = await queries.stop();
    const dropped = drops.stop() + result.drops;
    await running.process.end('SIGTERM');
    await changes.stop();
    shed = all.reduce((sum, { process }) => sum + shedBy(process), 0);
    const figures = `${result.answered} answered, ${result.lost} lost, the kernel dropped ${dropped}, the servers shed ${shed}`;
    t.diagnostic(figures);
    assert.deepEqual(result.examples, []);
    assert.ok(result.lost <= dropped + shed, figures);
    assert.ok(result.answered > 10_000, figures);
  }
  assert.ok(overTcp.length > 100);
  await Promise.all(overTcp);
  return shed;
}

describe('--takeover', () => {
  it('Three takeovers in a row lose no query over UDP or TCP', async (t) => {
    let shed = await takeOverThrice(t);
    for (let attempt = 2; shed > 0 && attempt <= MOST_ATTEMPTS; attempt++)
      shed = await takeOverThrice(t);
    assert.equal(shed, 0, `the servers shed queries in each of ${MOST_ATTEMPTS} attempts`);
  });

  it('A server with --takeover waits for the store, and a server without it fails on an address in use', async () => {
    const first = await serve('127.0.0.1:0', 'off');
    const addr = `127.0.0.1:${first.port}`;
    try {
      const store = `etcd://${etcd.endpoint}`;
      const second = await callCli(['serve', '--addr', addr, '--http', 'off', '--store', store]);
      assert.equal(second.code, 4);
      assert.match(second.stderr, /is in use/);
      const late = startCli([
        ...['serve', '--takeover', '--addr', addr, '--http', 'off', '--no-rec'],
        ...['--store', 'etcd://127.0.0.1:1'],
      ]);
      await late.logged('the store is unreachable');
      await sleep(300);
      assert.ok(!late.lines().some(({ msg }) => msg === 'serving'));
      await late.end('SIGKILL');
    } finally {
      await first.process.end('SIGINT');
    }
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`A server with --takeover that waits for the store exits with 0 at ${signal}`, async () => {
      const waiting = startCli([
        ...['serve', '--takeover', '--addr', '127.0.0.1:0', '--http', 'off', '--no-rec'],
        ...['--store', 'etcd://127.0.0.1:1'],
      ]);
      await waiting.logged('the store is unreachable');
      process.kill(waiting.pid, 'SIGHUP'); // a reload during the start has to wait
      const ended = waiting.end(signal);
      try {
        await until('the process has exited', () => !waiting.isRunning, 20_000);
      } finally {
        await waiting.end('SIGKILL');
      }
      assert.equal(await ended, 0, waiting.stderr());
      assert.ok(!waiting.lines().some(({ msg }) => msg === 'serving'));
    });
  }

  it('A successor that waits for the HTTP port logs once what it has prepared', async () => {
    await withTempDir(async (folder) => {
      const first = await serve('127.0.0.1:0', '127.0.0.1:0');
      const { http } = await first.process.logged('serving');
      const successor = startCli(
        [
          ...['serve', '--takeover', '--store', `etcd://${etcd.endpoint}`, '--no-rec'],
          ...['--addr', `127.0.0.1:${first.port}`, '--http', String(http)],
          ...['--workers', '2', '--http-writers', 'token'],
        ],
        { STATE_DIRECTORY: folder },
      );
      try {
        await successor.logged('HTTP starts once the previous server has stopped');
        await sleep(500); // several attempts
        await first.process.end('SIGTERM');
        await successor.logged('HTTP started');
        const prepared = successor.lines().filter(({ msg }) => /contains the token/.test(`${msg}`));
        assert.equal(prepared.length, 1);
      } finally {
        await first.process.end('SIGKILL');
        await successor.end('SIGTERM');
      }
    });
  });

  it('serve refuses --takeover with a store that only one server can use', async () => {
    const { code, stderr } = await callCli(['serve', '--takeover', '--store', 'memory:']);
    assert.equal(code, 2);
    assert.match(
      stderr,
      /--takeover: only one server at a time can open this store; use --store etcd/,
    );
  });
});
