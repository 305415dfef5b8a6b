/** SkyDNS's key `/skydns/config`, and a server that starts before it can read the store with that key. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rcode } from '../../src/dns/rr.ts';
import { dig } from '../support/dig.ts';
import { type FaultyProxy, startProxy } from '../support/proxy.ts';
import { query, startTestServer, type TestServer, WITH_TOKEN } from '../support/server.ts';
import { until } from '../support/until.ts';
import { startUpstream } from '../support/upstream.ts';
import { question, text } from '../support/zone.ts';

async function put(server: TestServer, key: string, value: unknown): Promise<void> {
  const body = new URLSearchParams({ value: JSON.stringify(value) });
  const url = `http://127.0.0.1:${server.http?.port}/v2/keys/skydns/${key}`;
  const reply = await fetch(url, { method: 'PUT', body, headers: WITH_TOKEN });
  assert.ok(reply.ok, await reply.text());
}

interface ProxiedStore {
  readonly store: TestServer;
  readonly proxy: FaultyProxy;
}

/** A soradns that serves as a store, behind a proxy that fails on request. */
async function storeBehindProxy(
  use: (proxied: ProxiedStore) => Promise<void>,
  config: object,
): Promise<void> {
  const store = await startTestServer({});
  const proxy = await startProxy(`127.0.0.1:${store.http?.port}`);
  try {
    await put(store, 'config', config);
    await put(store, 'example/store/web', { host: '10.0.0.1' });
    await use({ store, proxy });
  } finally {
    await proxy.close();
    await store.close();
  }
}

test('The server applies the stored configuration when it reads the store late, and does not count the key as a service', async () => {
  const upstream = await startUpstream({ records: ['www.example.com. 300 A 192.0.2.80'] });
  const config = {
    domain: 'store.example.',
    ttl: 60,
    nameservers: [`127.0.0.1:${upstream.port}`],
    dns_addr: '0.0.0.0:53',
    hostmaster: 'root@store.example',
  };
  await storeBehindProxy(async ({ proxy, store }) => {
    await proxy.refuse(true);
    const flags = { store: `http://${proxy.endpoint}`, 'no-rec': false, hostmaster: 'me@here.' };
    const server = await startTestServer(flags, { awaitReady: false });
    try {
      const early = await query(server.dns, question('web.skydns.local.', 'A'));
      assert.equal(early.rcode, Rcode.SERVFAIL);
      await until(
        'the server reports the store as unreachable',
        () => logLines(server, /unreachable/).length > 0,
      );

      await proxy.refuse(false);
      await until('the store is read', () => server.readiness().length === 0, 20_000);
      const { answer } = await query(server.dns, question('web.store.example.', 'A'));
      assert.deepEqual(text(answer), ['web.store.example. 60 IN A 10.0.0.1']);
      const soa = await query(server.dns, question('store.example.', 'SOA'));
      assert.match(
        text(soa.answer)[0] ?? '',
        / me\.here\. /,
        'a flag overrides the stored configuration',
      );
      const www = await dig(server.dns, 'www.example.com');
      assert.match(www.answer[0] ?? '', /192\.0\.2\.80$/);
      assert.equal(upstream.queries.length, 1);

      const { services, domains } = await server.loaded;
      assert.deepEqual([services, domains], [1, [['store', 'example']]]);
      await put(store, 'config', { ...config, ttl: 61 });
      const ttl61 = ['web.store.example. 61 IN A 10.0.0.1'];
      await until('the change is applied', async () => {
        const reply = await query(server.dns, question('web.store.example.', 'A'));
        return text(reply.answer).join() === ttl61.join();
      });
      assert.equal(logLines(server, /value skipped/).length, 0);
    } finally {
      await server.close();
      await upstream.close();
    }
  }, config);
});

test('The server starts and forwards outside names while the store does not respond', async () => {
  const upstream = await startUpstream({ records: ['www.example.com. 300 A 192.0.2.80'] });
  await storeBehindProxy(async ({ proxy }) => {
    proxy.blackhole(true);
    const startedMs = performance.now();
    const server = await startTestServer(
      {
        store: `http://${proxy.endpoint}`,
        'no-rec': false,
        nameservers: `127.0.0.1:${upstream.port}`,
      },
      { awaitReady: false },
    );
    try {
      const tookMs = performance.now() - startedMs;
      assert.ok(tookMs < 4_000, `a call to the store may take 5 s, the start took ${tookMs} ms`);
      const own = await dig(server.dns, 'web.skydns.local');
      assert.equal(own.status, 'SERVFAIL');
      assert.match(own.text, /EDE: 14/);
      const www = await dig(server.dns, 'www.example.com');
      assert.match(www.answer[0] ?? '', /192\.0\.2\.80$/);
      const ready = await fetch(`http://127.0.0.1:${server.http?.port}/readyz`);
      assert.equal(ready.status, 503);
    } finally {
      await server.close();
      await upstream.close();
    }
  }, {});
});

function logLines(server: TestServer, message: RegExp) {
  return server.lines.filter((line) => message.test(line.message));
}
