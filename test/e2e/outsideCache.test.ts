/** Other servers' answers in the workers' cache: which questions they answer, and what withdraws an answer. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseSocketAddress, type SocketAddress } from '../../src/dns/address.ts';
import { Rcode } from '../../src/dns/rr.ts';
import { type CliProcess, startCli } from '../support/cliProcess.ts';
import { dig } from '../support/dig.ts';
import { Exposition } from '../support/prometheus.ts';
import { query } from '../support/server.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';
import { startUpstream, type TestUpstream } from '../support/upstream.ts';
import { NO_WORKERS } from '../support/workerListeners.ts';
import { question, text } from '../support/zone.ts';

const RECORDS = [
  'outside.test 300 SOA ns.outside.test hostmaster.outside.test 1 3600 600 86400 60',
  'www.outside.test 300 A 192.0.2.1',
  'alias.outside.test 200 CNAME www.outside.test',
  'short.outside.test 20 A 192.0.2.2',
  'zero.outside.test 0 A 192.0.2.3',
  ...Array.from({ length: 40 }, (_, i) => `many.outside.test 300 A 192.0.2.${i + 1}`),
];

interface Serving {
  readonly process: CliProcess;
  readonly upstream: TestUpstream;
  readonly dns: SocketAddress;
  readonly http: string;
  readonly configFile: string;
}

async function serve(t: TestContext, args: readonly string[] = []): Promise<Serving> {
  const upstream = await startUpstream({ records: RECORDS });
  t.after(() => upstream.close());
  const dir = await newTempDir();
  t.after(() => removeDir(dir));
  const configFile = join(dir, 'soradns.json');
  await writeFile(configFile, nameservers(upstream));
  const process = startCli([
    ...['serve', '--store', 'memory:', '--addr', '127.0.0.1:0', '--http', '127.0.0.1:0'],
    ...['--config', configFile, '--workers', '1', '--lame-duck', '0', ...args],
  ]);
  t.after(() => process.end('SIGKILL'));
  const { dns, http } = await process.logged('serving');
  const address = parseSocketAddress(String((dns as string[])[0]));
  assert.ok(address !== undefined);
  return { process, upstream, dns: address, http: `http://${http}`, configFile };
}

function nameservers({ port }: { readonly port: number }): string {
  return JSON.stringify({ nameservers: [`127.0.0.1:${port}`] });
}

async function metric({ http }: Serving, name: string): Promise<number> {
  const page = await (await fetch(`${http}/metrics`)).text();
  return new Exposition(page).value(name);
}

/** Asks until the workers have the answer. */
async function warm(serving: Serving, name: string, type = 'A'): Promise<void> {
  const before = await metric(serving, 'soradns_cache_published_total');
  for (let i = 0; i < 2; i++) await query(serving.dns, question(name, type));
  await until('the answer is in the cache', async () => {
    return (await metric(serving, 'soradns_cache_published_total')) > before;
  });
}

async function handedOver(serving: Serving, ask: () => Promise<unknown>): Promise<number> {
  const before = await metric(serving, 'soradns_dns_handed_over_total');
  await ask();
  return (await metric(serving, 'soradns_dns_handed_over_total')) - before;
}

describe('Answers about names outside the domains', { skip: NO_WORKERS }, () => {
  it('A question is answered by a worker from its third time on, as the main thread answers it', async (t) => {
    const serving = await serve(t);
    const asked: [string, string, string[]][] = [
      ['www.outside.test', 'A', ['192.0.2.1']],
      ['alias.outside.test', 'A', ['www.outside.test.', '192.0.2.1']],
      ['www.outside.test', 'AAAA', []],
      ['missing.outside.test', 'A', []],
    ];
    for (const [name, type, rdata] of asked) {
      const second = async () => dig(serving.dns, name, type);
      await second();
      const slow = await second();
      let fast = slow;
      assert.equal(
        await handedOver(serving, async () => {
          fast = await second();
        }),
        0,
        `${name} ${type}`,
      );
      const withoutTtl = (lines: readonly string[]) =>
        lines.map((line) => line.replace(/ \d+ IN /, ' IN '));
      assert.deepEqual(fast.flags, slow.flags);
      assert.equal(fast.status, slow.status);
      assert.equal(fast.edns, slow.edns);
      assert.deepEqual(withoutTtl(fast.answer), withoutTtl(slow.answer));
      assert.deepEqual(withoutTtl(fast.authority), withoutTtl(slow.authority));
      assert.deepEqual(
        fast.answer.map((line) => line.split(/\s+/).at(-1)),
        rdata,
      );
    }
    assert.equal(serving.upstream.queries.length, asked.length, 'each question was sent once');
  });

  it('The spelling of the question is kept, and TTLs fall by the second', async (t) => {
    const serving = await serve(t);
    await warm(serving, 'www.outside.test');
    const ttlOf = async (): Promise<number> => {
      const reply = await query(serving.dns, question('wWw.OutSide.test', 'A'));
      assert.equal(reply.questions[0]?.qname.join('.'), 'wWw.OutSide.test');
      assert.match(text(reply.answer)[0] ?? '', /^wWw\.OutSide\.test\. \d+ IN A 192\.0\.2\.1$/);
      return reply.answer[0]?.ttlSeconds ?? 0;
    };
    const first = await ttlOf();
    assert.ok(first <= 300 && first > 290);
    await sleep(2_100);
    const later = await ttlOf();
    assert.ok(later <= first - 2 && later >= first - 4, `${first} and ${later}`);
  });

  it('A long answer is cut for clients that can receive less', async (t) => {
    const serving = await serve(t);
    await warm(serving, 'many.outside.test');
    const small = await dig(serving.dns, 'many.outside.test', '+noedns', '+ignore');
    assert.ok(small.flags.includes('tc'));
    assert.ok(small.messageOctets <= 512);
    const large = await dig(serving.dns, 'many.outside.test', '+bufsize=1232', '+ignore');
    assert.ok(!large.flags.includes('tc'));
    assert.equal(large.answer.length, 40);
  });

  it('Questions with DO, CD or without RD go to the main thread', async (t) => {
    const serving = await serve(t);
    await warm(serving, 'www.outside.test');
    for (const flag of ['+dnssec', '+cdflag', '+norecurse'])
      assert.equal(await handedOver(serving, () => dig(serving.dns, 'www.outside.test', flag)), 1);
    assert.equal((await dig(serving.dns, 'www.outside.test', '+norecurse')).status, 'REFUSED');
  });

  it('A client that may not recurse gets no answer from the cache', async (t) => {
    const serving = await serve(t, ['--recursion-allow', '127.0.0.2']);
    const from = (address: string) => dig(serving.dns, 'www.outside.test', '-b', address);
    for (let i = 0; i < 3; i++) assert.equal((await from('127.0.0.2')).status, 'NOERROR');
    assert.equal((await from('127.0.0.1')).status, 'REFUSED');
  });

  it('Other nameservers withdraw every answer at once', async (t) => {
    const serving = await serve(t);
    await warm(serving, 'www.outside.test');
    const other = await startUpstream({ records: ['www.outside.test 300 A 192.0.2.99'] });
    t.after(() => other.close());
    await writeFile(serving.configFile, nameservers(other));
    process.kill(serving.process.pid, 'SIGHUP');
    await until('the new server answers', async () => {
      const { answer } = await query(serving.dns, question('www.outside.test', 'A'));
      return text(answer)[0]?.endsWith('192.0.2.99') === true;
    });
  });

  it('A flush makes the server ask again', async (t) => {
    const serving = await serve(t);
    for (const name of ['www.outside.test', 'alias.outside.test']) await warm(serving, name);
    serving.upstream.serve(['www.outside.test 300 A 192.0.2.50']);
    const flush = async (path: string) => {
      const reply = await fetch(`${serving.http}/v1/cache${path}`, { method: 'DELETE' });
      return (await reply.json()) as { flushed: number };
    };
    const address = async () =>
      text((await query(serving.dns, question('www.outside.test', 'A'))).answer)[0] ?? '';
    assert.deepEqual(await flush('/other.test'), { flushed: 0 });
    assert.match(await address(), /192\.0\.2\.1$/);
    assert.deepEqual(await flush('/www.outside.test'), { flushed: 1 });
    assert.match(await address(), /192\.0\.2\.50$/);
    const { flushed } = await flush('/outside.test');
    assert.equal(flushed, 2, 'the alias, and the new answer');
    const bad = await fetch(`${serving.http}/v1/cache/${'a'.repeat(70)}`, { method: 'DELETE' });
    assert.equal(bad.status, 400);
  });

  it('An answer that clients ask for is fetched anew before it expires', async (t) => {
    const serving = await serve(t);
    await warm(serving, 'short.outside.test');
    const before = serving.upstream.queries.length;
    const endMs = performance.now() + 22_000;
    await sleep(17_000);
    let handed = 0;
    while (performance.now() < endMs) {
      handed += await handedOver(serving, () =>
        query(serving.dns, question('short.outside.test', 'A')),
      );
      await sleep(100);
    }
    const asked = serving.upstream.queries.length - before;
    assert.ok(asked >= 1 && asked <= 3, `${asked} questions to the upstream`);
    assert.equal(handed, 0, 'no client waited for the upstream');
  });

  it('An answer with a TTL of 0 stays out of the cache', async (t) => {
    const serving = await serve(t);
    for (let i = 0; i < 4; i++) await query(serving.dns, question('zero.outside.test', 'A'));
    assert.equal(serving.upstream.queries.length, 4);
  });

  it('Without an upstream workers answer with the expired answer until one replies again', async (t) => {
    const serving = await serve(t, ['--cache-max-ttl', '3']);
    await warm(serving, 'www.outside.test');
    serving.upstream.behave({ drop: true });
    const ask = () => dig(serving.dns, 'www.outside.test');
    await until(
      'the answer is stale',
      async () => (await ask()).text.includes('EDE: 3 (Stale Answer)'),
      20_000,
    );
    let stale = await ask();
    await until('a worker answers', async () => {
      const handed = await handedOver(serving, async () => {
        stale = await ask();
      });
      return handed === 0;
    });
    assert.match(stale.answer[0] ?? '', / 30 IN A 192\.0\.2\.1$/);
    serving.upstream.behave({});
    serving.upstream.serve(['www.outside.test 300 A 192.0.2.77']);
    await until(
      'the answer is fresh',
      async () => (await ask()).answer[0]?.endsWith('192.0.2.77') === true,
      20_000,
    );
  });

  it('With --cache-memory 0 every question is sent to the upstream', async (t) => {
    const serving = await serve(t, ['--cache-memory', '0']);
    for (let i = 0; i < 3; i++) {
      const { rcode } = await query(serving.dns, question('www.outside.test', 'A'));
      assert.equal(rcode, Rcode.NOERROR);
    }
    assert.equal(serving.upstream.queries.length, 3);
    assert.equal((await fetch(`${serving.http}/v1/cache`)).status, 404);
  });
});
