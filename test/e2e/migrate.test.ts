/** Migration from SkyDNS: the block of docs/migrating.md copies etcd's v2 data, and soradns gives the same answers. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { printSocketAddress } from '../../src/dns/address.ts';
import { ON_FREE_PORTS, startCli } from '../support/cliProcess.ts';
import { startEtcd } from '../support/etcd.ts';
import { shellBlocks } from '../support/pages.ts';
import { query, startTestServer } from '../support/server.ts';
import { withTempDir } from '../support/tempDir.ts';
import { question } from '../support/zone.ts';

const run = promisify(execFile);

/** Writes to etcd's v2 store, as users of SkyDNS did. */
async function put(endpoint: string, key: string, value: string): Promise<void> {
  await run('etcdctl', ['--endpoints', endpoint, 'set', key, value], {
    env: { ...process.env, ETCDCTL_API: '2' },
  });
}

/** Runs the page's block; returns its output. */
async function copy(etcd: string, soradns: string, token = ''): Promise<string> {
  const [block = ''] = shellBlocks('docs/migrating.md', 'From SkyDNS 2');
  const here = block
    .replace('http://127.0.0.1:2379', etcd)
    .replace('http://127.0.0.1:4001', soradns)
    .replace(/^TOKEN=$/m, `TOKEN=${token}`);
  assert.ok(
    [etcd, soradns, `TOKEN=${token}`].every((text) => here.includes(text)),
    here,
  );
  const { stdout, stderr } = await run('sh', ['-e', '-c', here]);
  return stdout + stderr;
}

test('soradns answers for SkyDNS’s names in etcd v2 after the block of docs/migrating.md has copied them', async (t) => {
  const etcd = await startEtcd({ enableV2: true });
  t.after(() => etcd.stop());
  const server = await startTestServer({ store: `etcd://${etcd.endpoint}` });
  t.after(() => server.close());
  const endpoint = `http://${etcd.endpoint}`;
  await put(endpoint, '/skydns/local/skydns/east/rails/1', '{"host":"192.0.2.1","port":8080}');
  await put(
    endpoint,
    '/skydns/local/skydns/east/rails/2',
    '{"host":"192.0.2.2","text":"a \\"b\\" & c"}',
  );
  assert.ok(server.http);
  assert.equal(await copy(endpoint, `http://${printSocketAddress(server.http)}`), '');
  const { answer } = await query(server.dns, question('rails.east.skydns.local.', 'A'));
  assert.equal(answer.length, 2);
  const text = await query(server.dns, question('2.rails.east.skydns.local.', 'TXT'));
  assert.deepEqual(text.answer[0]?.rdata, { kind: 'txt', strings: ['a "b" & c'] });
});

test('The copy block of docs/migrating.md lists the keys that it cannot write without the token and works with the token', async (t) => {
  const etcd = await startEtcd({ enableV2: true });
  t.after(() => etcd.stop());
  const endpoint = `http://${etcd.endpoint}`;
  await put(endpoint, '/skydns/local/skydns/east/rails/1', '{"host":"192.0.2.1"}');
  await put(endpoint, '/skydns/config', '{"ttl":77}');
  await withTempDir(async (folder) => {
    const file = join(folder, 'token');
    writeFileSync(file, 'let-me-in\n', { mode: 0o600 });
    const rules = ['--http-writers', 'token', '--http-token-file', file];
    const child = startCli(['serve', ...ON_FREE_PORTS, '--store', 'memory:', ...rules]);
    try {
      const { http } = await child.logged('serving');
      const refused = await copy(endpoint, `http://${http}`);
      for (const key of ['/skydns/config', '/skydns/local/skydns/east/rails/1'])
        assert.ok(refused.includes(`not copied: ${key}: {"errorCode":110,`), refused);
      assert.match(refused, /writing needs the token/);
      assert.equal(await copy(endpoint, `http://${http}`, 'let-me-in'), '');
      for (const key of ['skydns/config', 'skydns/local/skydns/east/rails/1']) {
        const { stdout } = await run('curl', ['-sS', `http://${http}/v2/keys/${key}`]);
        assert.match(stdout, /"action":"get"/);
      }
    } finally {
      await child.end('SIGTERM');
    }
  });
});
