/** The calls that key requests cause at the etcd behind the listener, by etcd's own counters. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { EtcdStore } from '../../../src/store/etcd/etcdStore.ts';
import { type Etcd, startEtcd } from '../../support/etcd.ts';
import { type RunningHttp, startHttp } from '../../support/http.ts';
import { send } from '../../support/httpRequest.ts';

let etcd: Etcd;
let server: RunningHttp;

before(async () => {
  etcd = await startEtcd();
  server = await startHttp({ store: new EtcdStore({ endpoints: [etcd.endpoint] }) });
  for (const key of ['/k/leaf', '/k/dir/1', '/k/dir/2']) {
    await server.store.put(key, Buffer.from('x'));
  }
});
after(async () => {
  await server?.stop();
  await etcd?.stop();
});

/** The calls that etcd has answered, by method. */
async function calls(): Promise<Record<'Range' | 'Txn', number>> {
  const text = await (await fetch(`http://${etcd.endpoint}/metrics`)).text();
  const count = (method: string) => {
    const line = `grpc_server_handled_total\\{grpc_code="OK",grpc_method="${method}",.*\\} (\\d+)`;
    return Number(new RegExp(line, 'm').exec(text)?.[1] ?? 0);
  };
  return { Range: count('Range'), Txn: count('Txn') };
}

const deepKey = '/a'.repeat(135);
const REQUESTS: readonly [what: string, method: string, path: string, status: number][] = [
  ['an absent key of 135 components', 'GET', deepKey, 404],
  ['an absent key below a leaf', 'GET', `/k/leaf${'/x'.repeat(100)}`, 400],
  ['an absent key', 'GET', '/k/none', 404],
  ['a leaf', 'GET', '/k/leaf', 200],
  ['a directory', 'GET', '/k/dir', 200],
  ['a new key of 135 components', 'PUT', `${deepKey}?value=1`, 201],
  ['the deletion of an absent key', 'DELETE', '/k/none/x/y', 404],
];

for (const [what, method, path, status] of REQUESTS) {
  test(`${method} of ${what} makes only a few calls to etcd`, async () => {
    const before = await calls();
    const reply = await send(server.url, { method, path: `/v2/keys${path}` });
    assert.equal(reply.status, status, reply.body);
    const now = await calls();
    const ranges = now.Range - before.Range;
    const transactions = now.Txn - before.Txn;
    assert.ok(ranges <= 2 && transactions <= 3, `${ranges} ranges, ${transactions} transactions`);
  });
}
