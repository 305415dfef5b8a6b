/** All fixes of one examination together: no fix undoes another one or keeps it from working. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { printSocketAddress } from '../../../src/dns/address.ts';
import { judgeDocker } from '../../../src/tools/doctor/judge/docker.ts';
import type { Finding } from '../../../src/tools/doctor/judge/finding.ts';
import { callCli } from '../../support/cli.ts';
import { DESIRED } from '../../support/desiredServer.ts';
import { examined, type Patient, writeFiles } from '../../support/examination.ts';
import { startTestServer } from '../../support/server.ts';
import { withTempDir } from '../../support/tempDir.ts';

/** The commands of all fixes that match the pattern, without their comments. */
function commands(found: readonly Finding[], pattern: RegExp): readonly string[] {
  const all = found.flatMap(({ fix = '' }) => fix.replace(/ +#.*/, '').split(' && '));
  return [...new Set(all.filter((line) => pattern.test(line)))];
}

const START = /soradns (up|serve)/;
const bridge = '127.53.19.1';

describe('nothing runs', () => {
  it('doctor’s fix for a host where nothing runs starts server, bridge and registrar with one command', async () => {
    const flags = { domain: 'a.example,b.example' };
    const found = await examined({ bridge, isDefault: true, flags });
    assert.deepEqual(commands(found, START), [
      'sudo soradns up --domain a.example --domain b.example --http off --store memory:',
    ]);
    assert.ok(found.filter(({ fix }) => fix !== undefined).length >= 4);
  });

  it('doctor’s fixes name the configured store without its password', async () => {
    const store = 'etcds://127.0.0.1:1,127.0.0.1:2';
    const flags = { store, username: 'u' };
    const env = { SORADNS_PASSWORD: 'secret' };
    const found = await examined({ bridge, flags, env, isDefault: true });
    assert.deepEqual(commands(found, START), [
      `sudo soradns up --http off --store ${store} --username u --password-file FILE`,
    ]);
    assert.doesNotMatch(JSON.stringify(found), /secret/);
  });
});

describe('the port is in use', () => {
  it('doctor’s fixes use another address where the port is in use, and the fix for the resolvers names that address', async () => {
    const other = createSocket('udp4').bind(0, '127.0.0.1');
    await once(other, 'listening');
    try {
      const addr = `127.0.0.1:${other.address().port}`;
      const files = { '/etc/resolv.conf': 'nameserver 192.0.2.1\n' };
      const found = await examined({ flags: { addr }, files });
      const lines = commands(found, /soradns/);
      assert.deepEqual(lines, [
        'soradns serve --addr 127.0.0.1:5300 --http off --store memory:',
        'sudo soradns integrate dnsmasq --addr 127.0.0.1:5300 --domain skydns.local',
      ]);
    } finally {
      other.close();
    }
  });

  it('doctor’s fixes do not end a soradns that waits for its store', async () => {
    const waiting = await startTestServer({ store: 'etcd://127.0.0.1:1' }, { awaitReady: false });
    try {
      const flags = { addr: printSocketAddress(waiting.dns), http: '127.0.0.1:9' };
      const found = await examined({ flags });
      const port = found.find(({ check }) => check === 'port');
      assert.equal(port?.level, 'ok', JSON.stringify(port));
      assert.match(port?.message ?? '', /, a soradns server$/);
      const server = found.find(({ check }) => check === 'server');
      assert.match(server?.fix ?? '', /^curl -s http:\/\/127\.0\.0\.1:9\/readyz/);
    } finally {
      await waiting.close();
    }
  });
});

describe('one file with two fixes', () => {
  /** Runs the fixes of a check one after the other, and examines the host again. */
  const afterAll = (patient: Patient, check: string) =>
    withTempDir(async (root) => {
      const { files = {} } = patient;
      await writeFiles(root, files);
      for (const { fix } of await examined(patient, check)) {
        const [, words = ''] = /^sudo soradns (.*?)( --reload)?$/.exec(fix ?? '') ?? [];
        const { code, stderr } = await callCli([...words.split(' '), '--root', root]);
        assert.equal(code, 0, stderr);
      }
      const after: Record<string, string> = {};
      for (const one of await readdir(root, { recursive: true, withFileTypes: true })) {
        const path = join(one.parentPath, one.name);
        if (one.isFile()) after[path.slice(root.length)] = await readFile(path, 'utf8');
      }
      return examined({ ...patient, files: after }, check);
    });

  it('A file has all domains after two of doctor’s fixes', async () => {
    const files = { '/etc/resolv.conf': 'nameserver 127.0.0.53\n' };
    const flags = { addr: '127.0.0.1:5300', domain: 'a.example,b.example' };
    const found = await afterAll({ files, flags }, 'resolved');
    assert.deepEqual(
      found.map(({ level }) => level),
      ['ok', 'ok'],
    );
  });

  it('doctor does not change resolv.conf where nsswitch.conf sends programs to systemd-resolved', async () => {
    const files = {
      '/etc/resolv.conf': 'nameserver 192.0.2.1\n',
      '/etc/nsswitch.conf': 'hosts: files resolve [!UNAVAIL=return] dns\n',
    };
    const [resolvConf] = await examined({ files }, 'resolv.conf');
    assert.equal(resolvConf?.level, 'ok', resolvConf?.fix);
  });

  it('doctor accepts daemon.json after its fix puts the server first', () => {
    const levels = (dns: readonly string[]) => {
      const answersAt = new Map([
        ['172.17.0.1', true],
        ['127.0.0.1', true],
      ]);
      const daemonJson = JSON.stringify({ dns });
      const bridgeAddress = '172.17.0.1';
      const facts = { hasEngine: true, program: undefined, bridgeAddress, daemonJson, answersAt };
      return judgeDocker(facts, DESIRED.endpoints, DESIRED).map(({ level }) => level);
    };
    assert.deepEqual(levels(['127.0.0.1']), ['ok', 'problem']);
    assert.deepEqual(levels(['127.0.0.1', '172.17.0.1']), ['ok', 'problem']);
    // `integrate docker` writes this for each of the two.
    assert.deepEqual(levels(['172.17.0.1', '127.0.0.1']), ['ok', 'ok']);
  });
});
