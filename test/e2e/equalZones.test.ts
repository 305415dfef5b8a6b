/** Two soradns processes on one etcd: what they give to secondaries. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { spawnCli } from '../support/cli.ts';
import { type CliProcess, startCli } from '../support/cliProcess.ts';
import { startEtcd } from '../support/etcd.ts';
import { freePort } from '../support/freePort.ts';
import { until } from '../support/until.ts';

const hasLdns = spawnSync('ldns-compare-zones', ['-h']).error === undefined;

describe('Two servers on one etcd', { skip: !hasLdns && 'no ldns-compare-zones' }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'soradns-equal-'));
  const servers: CliProcess[] = [];

  after(async () => {
    await Promise.all(servers.map((each) => each.end('SIGKILL')));
    rmSync(folder, { recursive: true, force: true });
  });

  it('Two servers on one etcd give the same zone with the same serial after changes', async () => {
    const etcd = await startEtcd();
    try {
      const ports = [await freePort(), await freePort()];
      for (const port of ports) {
        const server = startCli([
          ...['serve', '--store', `etcd://${etcd.endpoint}`, '--addr', `127.0.0.1:${port}`],
          ...['--http', 'off', '--no-rec', '--lame-duck', '0', '--transfer-allow', '127.0.0.1'],
        ]);
        servers.push(server);
        await server.logged('loaded the store');
      }
      const put = (key: string, value: object) =>
        etcd.etcdctl(['put', `/skydns/local/skydns/${key}`, JSON.stringify(value)]);
      await put('dns/ns/a', { host: '10.0.0.1' });
      for (let i = 0; i < 20; i++) {
        await put(`web/${i % 7}`, { host: `10.0.0.${i}`, port: 80 + i });
        if (i % 5 === 0) await etcd.etcdctl(['del', '/skydns/local/skydns/web/3']);
      }
      await put('last', { host: '10.0.0.99', port: 1 });
      // Of another domain: it changes the store's revision, and not the zone's serial.
      await etcd.etcdctl(['put', '/skydns/arpa/other', '{"host":"10.0.0.1"}']);
      const zones = async () => {
        const all = ports.map((port) =>
          spawnCli(['transfer', 'skydns.local', `@127.0.0.1:${port}`]),
        );
        return (await Promise.all(all)).map(({ stdout }) => stdout);
      };
      let [first = '', second = ''] = await zones();
      await until('both have the last change, in one serial', async () => {
        [first = '', second = ''] = await zones();
        const hasLast = first.includes('last.skydns') && second.includes('last.skydns');
        return hasLast && first.split('\n')[0] === second.split('\n')[0];
      });
      const files = ['first', 'second'].map((name) => join(folder, name));
      writeFileSync(files[0] as string, first);
      writeFileSync(files[1] as string, second);
      const compared = spawnSync('ldns-compare-zones', ['-a', ...files], { encoding: 'utf8' });
      assert.equal(compared.status, 0, compared.stdout + compared.stderr);
      assert.match(compared.stdout, /^\t\+0\t-0\t~0/m);
    } finally {
      await etcd.stop();
    }
  });
});
