import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type RunningHttp, startHttp } from '../../support/http.ts';
import { send } from '../../support/httpRequest.ts';

let server: RunningHttp;
let reasons: string[] = [];
let warnings: string[] = [];

before(async () => {
  server = await startHttp({
    readiness: () => reasons,
    warnings: () => warnings,
    version: '1.2.3',
  });
});
after(() => server.stop());

const get = (path: string, headers: Record<string, string> = {}) =>
  send(server.url, { path, headers });

test('/readyz of a ready server returns 200', async () => {
  reasons = [];
  for (const path of ['/livez', '/readyz', '/healthz']) {
    const { status, body } = await get(path);
    assert.deepEqual([status, body], [200, 'ok\n'], path);
  }
  assert.deepEqual((await get('/readyz', { accept: 'application/json' })).json, {
    ready: true,
    reasons: [],
  });
  assert.deepEqual((await get('/health')).json, { health: 'true' });
});

test('/readyz of a server that is not ready lists the reasons, and /livez returns 200', async () => {
  reasons = ['no snapshot of the store yet', 'UDP is not bound'];
  assert.equal((await get('/livez')).status, 200);
  for (const path of ['/readyz', '/healthz']) {
    const { status, body } = await get(path);
    assert.deepEqual([status, body], [503, `${reasons.join('\n')}\n`], path);
  }
  const asked = await get('/readyz', { accept: 'application/json' });
  assert.deepEqual([asked.status, asked.json], [503, { ready: false, reasons }]);
  assert.equal((await get('/health')).status, 503);
});

test('/readyz lists warnings and still returns 200', async () => {
  [reasons, warnings] = [[], ['two engines have one id', 'and another thing']];
  const { status, body } = await get('/readyz');
  const lines = ['ok', 'warning: two engines have one id', 'warning: and another thing', ''];
  assert.deepEqual([status, body], [200, lines.join('\n')]);
  const { json } = await get('/readyz', { accept: 'application/json' });
  assert.deepEqual(json, { ready: true, reasons: [], warnings });
  assert.equal((await get('/health')).status, 200);
  reasons = ['UDP is not bound'];
  assert.equal((await get('/readyz')).status, 503);
  [reasons, warnings] = [[], []];
});

test('/version has the versions of soradns and of the etcd whose API it serves', async () => {
  const { json, headers } = await get('/version');
  assert.deepEqual(json, { etcdserver: '2.3.8', etcdcluster: '2.3.0', soradns: '1.2.3' });
  assert.equal(headers['content-type'], 'application/json');
});

test('The members list has one member at the address that the client used', async () => {
  const { json } = await get('/v2/members', { host: '10.0.0.9:4001' });
  const [member] = (json as { members: { clientURLs: string[] }[] }).members;
  assert.deepEqual(member?.clientURLs, ['http://10.0.0.9:4001']);
});

test('An unknown path is 404, and another method on a known path is 405 with Allow', async () => {
  for (const path of [
    '/',
    '/nope',
    '/v2',
    '/v2/keysx',
    '/v2/keys/../../etc',
    '/v1/store/nope',
    '*',
  ]) {
    assert.equal((await get(path)).status, 404, path);
  }
  const allow: Record<string, [method: string, allowed: string]> = {
    '/livez': ['POST', 'GET, HEAD'],
    '/version': ['DELETE', 'GET, HEAD'],
    '/v2/keys/a': ['PATCH', 'HEAD, GET, PUT, POST, DELETE'],
    '/v1/store/put': ['GET', 'POST'],
  };
  for (const [path, [method, allowed]] of Object.entries(allow)) {
    const { status, headers } = await send(server.url, { method, path });
    assert.deepEqual([status, headers.allow], [405, allowed], path);
  }
});
