/** The README's way from SkyDNS: etcd's v2 data copied by the block as it stands, and the same answers after it. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { printSocketAddress } from '../../src/dns/socketAddress.ts';
import { startEtcd } from '../support/etcd.ts';
import { shellBlocks } from '../support/readmeBlocks.ts';
import { query, startTestServer } from '../support/server.ts';
import { question } from '../support/zone.ts';

const run = promisify(execFile);

test('what SkyDNS kept in v2 of etcd is answered after the copy', async (t) => {
  const etcd = await startEtcd({ enableV2: true });
  t.after(() => etcd.stop());
  const server = await startTestServer({ store: `etcd://${etcd.endpoint}` });
  t.after(() => server.close());
  const endpoint = `http://${etcd.endpoint}`;
  const put = (key: string, value: string) =>
    run('etcdctl', ['--endpoints', endpoint, 'set', key, value], {
      env: { ...process.env, ETCDCTL_API: '2' },
    });
  await put('/skydns/local/skydns/east/rails/1', '{"host":"192.0.2.1","port":8080}');
  await put('/skydns/local/skydns/east/rails/2', '{"host":"192.0.2.2","text":"a \\"b\\" & c"}');
  const [block = ''] = shellBlocks('Migrating');
  assert.ok(server.http);
  const here = block
    .replace('http://127.0.0.1:2379', endpoint)
    .replace('http://127.0.0.1:4001', `http://${printSocketAddress(server.http)}`);
  await run('sh', ['-e', '-c', here]);
  const { answer } = await query(server.dns, question('rails.east.skydns.local.', 'A'));
  assert.equal(answer.length, 2);
  const text = await query(server.dns, question('2.rails.east.skydns.local.', 'TXT'));
  assert.deepEqual(text.answer[0]?.rdata, { kind: 'txt', strings: ['a "b" & c'] });
});
