import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  hasToken,
  hostOf,
  isAllowedHost,
  isForeignOrigin,
} from '../../../src/server/http/access.ts';
import { startHttp } from '../../support/http.ts';
import { send } from '../../support/httpRequest.ts';

test('The server accepts addresses, localhost and configured names as Host', () => {
  assert.equal(hostOf('[::1]:4001'), '::1');
  assert.equal(hostOf('Example.ORG:80'), 'example.org');
  for (const host of ['127.0.0.1', '10.1.2.3:4001', '[fe80::1]:1', 'localhost', 'LOCALHOST:4001']) {
    assert.ok(isAllowedHost(host, []), host);
  }
  const others = [
    'evil.example',
    '127.0.0.1.evil.example',
    'localhost.evil',
    'a@127.0.0.1',
    '[::1',
    '',
  ];
  for (const host of [...others, '127.0.0.1:80:80', 'x y', '[evil]']) {
    assert.equal(isAllowedHost(host, ['dns.internal']), false, host);
  }
  assert.ok(isAllowedHost('DNS.internal:4001', ['dns.Internal']));
  assert.ok(isAllowedHost('dns.internal.', ['dns.internal']));
  assert.ok(isAllowedHost('dns.internal:4001', ['dns.internal.']), 'a configured trailing dot');
  assert.ok(isAllowedHost('localhost.:4001', []));
  assert.ok(isAllowedHost(undefined, []));
});

test('An Origin is foreign unless it is the request’s host', () => {
  const host = '127.0.0.1:4001';
  assert.equal(isForeignOrigin({ host }), false);
  assert.equal(isForeignOrigin({ host, origin: 'http://127.0.0.1:4001' }), false);
  for (const origin of ['http://evil.example', 'null', 'http://127.0.0.1:4002', '']) {
    assert.equal(isForeignOrigin({ host, origin }), true, origin);
  }
});

test('The server accepts the token as Bearer and as the password of Basic', () => {
  const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;
  for (const header of ['Bearer s3:t', 'bearer  s3:t', basic('user:s3:t'), basic(':s3:t')]) {
    assert.ok(hasToken(header, 's3:t'), header);
  }
  const wrong = [
    '',
    'Bearer',
    'Bearer s3',
    'Bearer s3:t x',
    's3:t',
    basic('s3:t'),
    basic('s3:t:'),
    'Digest s3:t',
  ];
  for (const header of [undefined, ...wrong]) {
    assert.equal(hasToken(header, 's3:t'), false, header);
  }
  assert.equal(hasToken(basic('user:'), ''), false, 'an empty token is none');
});

test('Where no user is trusted, every write needs the token and no read does', async () => {
  const server = await startHttp({ token: 'secret', trustedUsers: new Set() });
  const writes = [
    { method: 'PUT', path: '/v2/keys/a', body: 'value=1' },
    { method: 'POST', path: '/v2/keys/queue', body: 'value=1' },
    { method: 'DELETE', path: '/v2/keys/a?recursive=true' },
    { method: 'POST', path: '/v1/store/put', body: '{"key":"/a","value":""}' },
    { method: 'POST', path: '/v1/store/delete', body: '{"key":"/a"}' },
    { method: 'POST', path: '/v1/store/deleteTree', body: '{"prefix":"/"}' },
  ];
  const reads = [
    '/v2/keys/',
    '/version',
    '/livez',
    '/v1/store/entry?key=/a',
    '/v1/store/snapshot?prefix=/',
  ];
  try {
    await server.store.put('/kept', Buffer.from('x'));
    for (const write of writes) {
      for (const authorization of [undefined, 'Bearer wrong', 'Basic d3Jvbmc6d3Jvbmc=']) {
        const headers = authorization === undefined ? {} : { authorization };
        const refused = await send(server.url, { ...write, headers });
        assert.equal(refused.status, 401, `${write.method} ${write.path}`);
        assert.equal((refused.json as { errorCode: number }).errorCode, 110);
      }
    }
    assert.equal((await server.store.get('/kept')).revision, 1);
    for (const path of reads) assert.equal((await send(server.url, { path })).status, 200, path);
    for (const write of writes) {
      const headers = { authorization: 'Bearer secret' };
      const done = await send(server.url, { ...write, headers });
      assert.ok(done.status < 300, `${write.method} ${write.path}: ${done.body}`);
    }
  } finally {
    await server.stop();
  }
});

test('A page of another site can neither read through its own host name nor write', async () => {
  const server = await startHttp({ allowedHosts: ['dns.internal'] });
  const status = async (headers: Record<string, string>, method = 'GET') => {
    const body = method === 'PUT' ? { body: 'value=1' } : {};
    return (await send(server.url, { method, path: '/v2/keys/a', headers, ...body })).status;
  };
  try {
    assert.equal(await status({ host: 'evil.example' }), 403);
    assert.equal(await status({ host: `evil.example:${server.port}` }, 'PUT'), 403);
    assert.equal(await status({ host: 'dns.internal:4001' }), 404);
    assert.equal(await status({ origin: 'http://evil.example' }, 'PUT'), 403);
    assert.equal(await status({ origin: 'null' }, 'PUT'), 403);
    assert.equal(await status({ origin: server.url }, 'PUT'), 201);
    const reply = await send(server.url, {
      path: '/v2/keys/a',
      headers: { origin: 'http://x.example' },
    });
    assert.equal(reply.headers['access-control-allow-origin'], undefined);
  } finally {
    await server.stop();
  }
});

test('A recursive delete does not remove the configuration of another server in the store', async () => {
  const server = await startHttp({ configKey: '/skydns/config' });
  try {
    for (const key of ['/elsewhere/config', '/elsewhere/a', '/skydns/local/config', '/plain/a']) {
      await server.store.put(key, Buffer.from('{}'));
    }
    const removed = async (path: string) => {
      const whole = `/v2/keys/${path}?recursive=true`;
      return (await send(server.url, { method: 'DELETE', path: whole })).status;
    };
    assert.deepEqual(
      [await removed('elsewhere'), await removed('plain'), await removed('skydns/local')],
      [401, 200, 200],
    );
    const body = '{"prefix":"/elsewhere/"}';
    const tree = await send(server.url, { method: 'POST', path: '/v1/store/deleteTree', body });
    assert.equal(tree.status, 401);
  } finally {
    await server.stop();
  }
});

test('Only a client with the token can revoke the lease of the configuration', async () => {
  const server = await startHttp({ configKey: '/skydns/config', token: 'secret' });
  const revoke = async (id: string, headers = {}) => {
    const body = JSON.stringify({ id });
    const path = '/v1/store/lease/revoke';
    return (await send(server.url, { method: 'POST', path, body, headers })).status;
  };
  try {
    const { id: lease } = await server.store.grantLease(60);
    await server.store.put('/skydns/config', Buffer.from('{}'), { lease });
    const other = await server.store.grantLease(60);
    assert.deepEqual([await revoke(lease), await revoke(other.id)], [401, 200]);
    assert.ok((await server.store.get('/skydns/config')).entry !== undefined);
    assert.equal(await revoke(lease, { authorization: 'Bearer secret' }), 200);
    assert.equal((await server.store.get('/skydns/config')).entry, undefined);
  } finally {
    await server.stop();
  }
});
