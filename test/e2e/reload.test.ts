/** The configuration changes while the server answers queries: by SIGHUP and in the store. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Message } from '../../src/dns/message.ts';
import { Rcode } from '../../src/dns/rr.ts';
import { type CliProcess, startCli } from '../support/cliProcess.ts';
import { Exposition } from '../support/prometheus.ts';
import { startQueryFlow } from '../support/queryFlow.ts';
import { query, startTestServer, type TestServer, WITH_TOKEN } from '../support/server.ts';
import { withTempDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';
import { startUpstream } from '../support/upstream.ts';
import { question, text } from '../support/zone.ts';

interface Running {
  readonly process: CliProcess;
  readonly dns: { readonly address: string; readonly port: number };
  readonly http: string;
  /** Writes the file, sends SIGHUP, and waits for the log line with the outcome. */
  reload(config: object | string): Promise<void>;
}

/** Runs the body with a server process that reads a config file. */
async function withServer(
  config: object,
  body: (running: Running) => Promise<void>,
): Promise<void> {
  await withTempDir(async (dir) => {
    const file = join(dir, 'soradns.json');
    await writeFile(file, JSON.stringify(config));
    const process = startCli([
      ...['serve', '--store', 'memory:', '--no-rec', '--config', file],
      ...['--addr', '127.0.0.1:0', '--http', '127.0.0.1:0', '--lame-duck', '0'],
    ]);
    try {
      const { dns, http } = await process.logged('serving');
      const [address = '', port = ''] = String((dns as string[])[0]).split(':');
      await body({
        process,
        dns: { address, port: Number(port) },
        http: `http://${http}`,
        async reload(next) {
          const before = outcomes(process).length;
          await writeFile(file, typeof next === 'string' ? next : JSON.stringify(next));
          globalThis.process.kill(process.pid, 'SIGHUP');
          await until(
            'the server has read the file again',
            () => outcomes(process).length > before,
          );
        },
      });
    } finally {
      assert.equal(await process.end('SIGTERM'), 0);
    }
  });
}

const APPLIED = 'applied the configuration that was read again';
const REFUSED = 'the configuration has mistakes; keeping the previous one';

function outcomes(process: CliProcess) {
  return process.lines().filter(({ msg }) => msg === APPLIED || msg === REFUSED);
}

async function metric(http: string, name: string): Promise<number> {
  return new Exposition(await (await fetch(`${http}/metrics`)).text()).value(name);
}

/** The parts of a negative answer that come from the configuration; both must come from the same configuration. */
function soaOf(reply: Message): string {
  const [soa] = reply.authority;
  return soa?.rdata.kind === 'soa'
    ? `${soa.rdata.rname.join('.')} ${soa.rdata.minimumSeconds}`
    : 'none';
}

describe('SIGHUP', () => {
  it('The server loses no query in 50 reloads under load, and no answer mixes two configurations', async () => {
    const one = { hostmaster: 'one.example', 'min-ttl': 11 };
    const two = { hostmaster: 'two.example', 'min-ttl': 22 };
    await withServer(one, async ({ dns, http, reload }) => {
      const seen = new Set<string>();
      const flow = startQueryFlow(dns, {
        question: question('nobody.skydns.local.', 'A'),
        queriesPerSecond: 1_000,
        check(reply) {
          const soa = soaOf(reply);
          seen.add(soa);
          const isGood = ['one.example 11', 'two.example 22'].includes(soa);
          return isGood && reply.rcode === Rcode.NXDOMAIN ? undefined : `${reply.rcode} ${soa}`;
        },
      });
      for (let i = 0; i < 50; i++) {
        const before = flow.answered;
        await reload(i % 2 === 0 ? two : one);
        await until('more queries are answered', () => flow.answered >= before + 20);
      }
      assert.equal(await flow.stop(), 0);
      assert.deepEqual(flow.problems, []);
      assert.ok(flow.answered >= 1_000);
      assert.equal(seen.size, 2);
      assert.equal(await metric(http, 'soradns_config_reload_total'), 50);
      const after = await query(dns, question('nobody.skydns.local.', 'A'));
      assert.equal(soaOf(after), 'one.example 11');
    });
  });

  it('Each question for a zone is judged by the options that are in force', async () => {
    const nobody = {};
    const others = { 'transfer-allow': ['192.0.2.1'] };
    const all = { 'transfer-allow': ['127.0.0.0/8'] };
    await withServer(others, async ({ dns, reload }) => {
      const rcodeOf = async () => {
        const zone = question('skydns.local.', 'AXFR');
        return (await query(dns, zone, { transport: 'tcp' })).rcode;
      };
      assert.equal(await rcodeOf(), Rcode.REFUSED);
      for (const [options, rcode] of [
        [all, Rcode.NOERROR],
        [{ ...all, allow: ['192.0.2.0/24'] }, Rcode.REFUSED],
        [all, Rcode.NOERROR],
        [nobody, Rcode.REFUSED],
        [others, Rcode.REFUSED],
        [all, Rcode.NOERROR],
      ] as const) {
        await reload(options);
        assert.equal(await rcodeOf(), rcode, JSON.stringify(options));
      }
    });
  });

  it('The server keeps the whole old configuration when the new one has mistakes, and logs each mistake', async () => {
    await withServer({ ttl: 60, 'min-ttl': 7 }, async ({ process, dns, http, reload }) => {
      await reload({ ttl: 'long', 'min-ttl': 9, domain: 'a..b' });
      const errors = process.lines().filter(({ level }) => level === 'error');
      const messages = errors.map(({ msg }) => String(msg));
      assert.match(messages[0] ?? '', /domain in .*a\.\.b/);
      assert.match(messages[1] ?? '', /ttl in .*"long" is not whole seconds/);
      assert.deepEqual(messages.slice(2), [REFUSED]);
      await reload('{');
      assert.equal(await metric(http, 'soradns_config_reload_failed_total'), 2);
      assert.equal(await metric(http, 'soradns_config_reload_total'), 0);
      const reply = await query(dns, question('nobody.skydns.local.', 'A'));
      assert.match(soaOf(reply), / 7$/);
    });
  });

  it('The server lists the options that need a restart in one log line and applies the others', async () => {
    await withServer({ 'path-prefix': 'skydns' }, async ({ process, dns, reload }) => {
      await reload({ 'path-prefix': 'other', 'min-ttl': 8 });
      await reload({ 'path-prefix': 'other', 'http-host': 'x', domain: 'other.example' });
      const waiting = process.lines().filter(({ msg }) => /after a restart/.test(String(msg)));
      assert.deepEqual(
        waiting.map(({ options }) => options),
        [['--path-prefix'], ['--http-host', '--path-prefix']],
      );
      const own = await query(dns, question('nobody.other.example.', 'A'));
      assert.equal(own.rcode, Rcode.NXDOMAIN);
      assert.equal((await query(dns, question('a.skydns.local.', 'A'))).rcode, Rcode.REFUSED);
    });
  });

  it('The server changes the query log and the log level at SIGHUP', async () => {
    await withServer({}, async ({ process, dns, http, reload }) => {
      const logged = () => process.lines().filter(({ msg }) => msg === 'query').length;
      // A name outside the zones, which the answer table does not hold.
      const ask = () => query(dns, question('www.example.com.', 'A'));
      await ask();
      await reload({ 'log-queries': 10 });
      await ask();
      await until('the query is logged', () => logged() === 1);
      await reload({ 'log-queries': 10, 'log-level': 'debug' });
      const isDebug = () => process.lines().some(({ level }) => level === 'debug');
      await until('a debug line is logged', async () => {
        await fetch(`${http}/readyz`);
        return isDebug();
      });
      await reload({ 'log-level': 'debug' });
      const before = logged();
      await ask();
      assert.equal(logged(), before);
    });
  });
});

async function put(server: TestServer, key: string, value: string): Promise<void> {
  const body = new URLSearchParams({ value });
  const url = `http://127.0.0.1:${server.http?.port}/v2/keys/skydns/${key}`;
  assert.ok((await fetch(url, { method: 'PUT', body, headers: WITH_TOKEN })).ok);
}

async function answer(server: TestServer, qname: string): Promise<string> {
  return text((await query(server.dns, question(qname, 'A'))).answer).join();
}

describe('/skydns/config', () => {
  it('The server applies the configuration in the store, ignores one with mistakes, and uses its defaults again after the key is deleted', async () => {
    const server = await startTestServer({ 'min-ttl': '3' });
    try {
      await put(server, 'local/skydns/web', '{"host":"10.0.0.1"}');
      await put(server, 'example/store/web', '{"host":"10.0.0.2"}');
      await put(server, 'config', '{"domain":"store.example.","ttl":61,"min_ttl":9}');
      await until('the stored configuration is applied', async () => {
        return (
          (await answer(server, 'web.store.example.')) === 'web.store.example. 61 IN A 10.0.0.2'
        );
      });
      assert.equal(server.config().minTtlSeconds, 3, 'a flag overrides the stored configuration');
      await put(server, 'config', '{"domain":"store.example.","ttl":"x","round_robin":false}');
      await until('the configuration is refused', () =>
        server.lines.some(({ message }) => message === REFUSED),
      );
      assert.equal(server.config().roundRobin, true);
      assert.match(await answer(server, 'web.store.example.'), / 61 IN A 10\.0\.0\.2$/);
      const url = `http://127.0.0.1:${server.http?.port}/v2/keys/skydns/config`;
      assert.ok((await fetch(url, { method: 'DELETE', headers: WITH_TOKEN })).ok);
      await until('the default configuration is back', async () => {
        return (
          (await answer(server, 'web.skydns.local.')) === 'web.skydns.local. 3600 IN A 10.0.0.1'
        );
      });
    } finally {
      await server.close();
    }
  });

  it('The server uses new upstreams from the store while the old upstream still answers its pending query', async () => {
    const before = await startUpstream({ records: ['a.example.com. 300 A 192.0.2.1'] });
    const after = await startUpstream({ records: ['b.example.com. 300 A 192.0.2.2'] });
    const server = await startTestServer({ 'no-rec': false });
    const nameservers = (port: number) => JSON.stringify({ nameservers: [`127.0.0.1:${port}`] });
    try {
      await put(server, 'config', nameservers(before.port));
      await until(
        'the stored configuration is applied',
        () => server.config().nameservers !== 'resolv.conf',
      );
      before.behave({ delayMs: 500 });
      const pending = query(server.dns, question('a.example.com.', 'A'));
      await until('the old upstream has the query', () => before.queries.length > 0);
      await put(server, 'config', nameservers(after.port));
      await until('the new upstream answers', async () => {
        return (await answer(server, 'b.example.com.')) === 'b.example.com. 300 IN A 192.0.2.2';
      });
      assert.match(text((await pending).answer).join(), /192\.0\.2\.1$/);
    } finally {
      await server.close();
      await before.close();
      await after.close();
    }
  });
});
