/** The findings of `doctor` about a host's files. The tests create each condition, and the printed fix removes it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { examined, finding, type Patient, writeFiles } from '../../support/examination.ts';
import { withTempDir } from '../../support/tempDir.ts';

const STUB = 'nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n';
const RESOLVED = { '/etc/resolv.conf': STUB };

/** The patient's files after a shell has run the fix on them. */
function mended({ files = {} }: Patient, fix: string): Promise<Record<string, string>> {
  return withTempDir(async (root) => {
    await writeFiles(root, files);
    const line = fix.replace(/^sudo /, '').replaceAll(' /etc/', ` ${root}/etc/`);
    execFileSync('sh', ['-c', line]);
    const texts = Object.keys(files).map(async (path) => [
      path,
      await readFile(join(root, path), 'utf8'),
    ]);
    return Object.fromEntries(await Promise.all(texts));
  });
}

describe('resolv.conf', () => {
  const flags = { addr: '127.0.0.1:53,172.17.0.1:53' };
  const judge = (text: string) =>
    finding({ flags, bridge: '172.17.0.1', files: { '/etc/resolv.conf': text } }, 'resolv.conf');

  it('doctor accepts a resolv.conf that names the server or systemd-resolved', async () => {
    for (const text of ['nameserver 127.0.0.1\n', 'nameserver 172.17.0.1\n', STUB])
      assert.equal((await judge(text)).level, 'ok', text);
  });

  it('doctor warns about a resolv.conf that names other servers, and its fix puts the server first', async () => {
    const files = { '/etc/resolv.conf': 'nameserver 192.0.2.1\n' };
    const { level, message, fix = '' } = await finding({ flags, files }, 'resolv.conf');
    assert.equal(level, 'warning');
    assert.match(message, /query 192\.0\.2\.1, not the server/);
    const after = await mended({ files }, fix);
    assert.equal(after['/etc/resolv.conf'], 'nameserver 127.0.0.1\nnameserver 192.0.2.1\n');
    assert.equal((await finding({ flags, files: after }, 'resolv.conf')).level, 'ok');
  });

  it('doctor suggests another resolver for a server on another port, which resolv.conf cannot name', async () => {
    const patient = {
      flags: { addr: '127.0.0.1:5300' },
      files: { '/etc/resolv.conf': 'nameserver 192.0.2.1\n' },
    };
    assert.match((await finding(patient, 'resolv.conf')).fix ?? '', /integrate dnsmasq/);
  });

  it('doctor warns about a resolv.conf that names another local resolver or no resolver', async () => {
    assert.match(
      (await judge('nameserver 127.0.0.9\n')).message,
      /another resolver, at 127\.0\.0\.9/,
    );
    assert.match((await judge('')).message, /query no nameserver/);
  });

  it('doctor warns about a resolv.conf with a high ndots and search domains until its fix is applied', async () => {
    const files = {
      '/etc/resolv.conf': 'nameserver 127.0.0.1\nsearch a.example b.example\noptions ndots:5\n',
    };
    const found = await examined({ flags, files }, 'resolv.conf');
    const warning = found.find(({ level }) => level === 'warning');
    assert.match(warning?.message ?? '', /^ndots:5: .* 2 search domains/);
    const after = await mended({ files }, warning?.fix ?? '');
    assert.equal((await finding({ flags, files: after }, 'resolv.conf')).level, 'ok');
  });
});

describe('systemd-resolved', () => {
  const dropIn = (text: string) => ({
    ...RESOLVED,
    '/etc/systemd/resolved.conf.d/soradns.conf': `[Resolve]\n${text}`,
  });
  const flags = { addr: '127.0.0.1:5300' };
  const judge = (files: Record<string, string>, more: Patient = {}) =>
    finding({ flags, files, ...more }, 'resolved');

  it('doctor does not check systemd-resolved where no program uses it', async () => {
    assert.equal((await judge({ '/etc/resolv.conf': 'nameserver 192.0.2.1\n' })).level, 'ok');
  });

  it('doctor warns that systemd-resolved does not send .local or another domain to the server', async () => {
    const local = await judge(RESOLVED);
    assert.equal(local.level, 'warning');
    assert.match(local.message, /skydns\.local to no DNS server, because it is under \.local/);
    assert.match(local.fix ?? '', /integrate systemd-resolved --addr 127\.0\.0\.1:5300 --domain/);
    const other = await judge(RESOLVED, { flags: { ...flags, domain: 'dns.example' } });
    assert.match(other.message, /does not send dns\.example to the server/);
  });

  it('doctor checks systemd-resolved where nsswitch.conf makes glibc use it', async () => {
    const files = {
      '/etc/resolv.conf': 'nameserver 192.0.2.1\n',
      '/etc/nsswitch.conf': 'hosts: files resolve [!UNAVAIL=return] dns\n',
    };
    assert.match((await judge(files)).message, /to no DNS server/);
  });

  for (const [text, level] of [
    ['DNS=127.0.0.1:5300\nDomains=~skydns.local\n', 'ok'],
    ['DNS=127.0.0.1:5300%lo#x\nDomains=a.example ~local\n', 'ok'],
    ['DNS=127.0.0.1:5300\nDomains=~.\n', 'warning'],
    ['DNS=127.0.0.1\nDomains=~skydns.local\n', 'warning'],
    ['DNS=127.0.0.1:5300\nDomains=~other.local\n', 'warning'],
    ['#DNS=127.0.0.1:5300\nDomains=~skydns.local\n', 'warning'],
    ['DNS=127.0.0.1:5300\nDomains=~skydns.local\nDomains=\n', 'warning'],
  ] as const) {
    it(`doctor’s finding about systemd-resolved with ${JSON.stringify(text)} has the level ${level}`, async () => {
      assert.equal((await judge(dropIn(text))).level, level);
    });
  }

  it('doctor reads systemd-resolved’s drop-ins in the order of their names and prefers /etc to /run', async () => {
    const right = 'DNS=127.0.0.1:5300\nDomains=~skydns.local\n';
    const conf = (at: string, name: string) => `/${at}/systemd/resolved.conf.d/${name}.conf`;
    const reset = 'Domains=\n';
    const last = { ...RESOLVED, [conf('etc', 'a')]: right, [conf('run', 'z')]: reset };
    assert.equal((await judge(last)).level, 'warning');
    const hidden = { ...last, [conf('etc', 'z')]: '' };
    assert.equal((await judge(hidden)).level, 'ok');
  });

  it('doctor uses resolvectl where systemd-resolved has not read its files yet', async () => {
    const files = dropIn('DNS=127.0.0.1:5300\nDomains=~skydns.local\n');
    const known = { 'resolvectl domain': 'Global: ~skydns.local\nLink 2 (eth0): example.org\n' };
    assert.equal((await judge(files, { programs: known })).level, 'ok');
    const unknown = { 'resolvectl domain': 'Global:\nLink 2 (eth0): example.org\n' };
    const found = await judge(files, { programs: unknown });
    assert.equal(found.fix, 'sudo systemctl restart systemd-resolved');
  });
});

describe('nsswitch.conf', () => {
  const judge = (line: string, flags = {}) =>
    finding({ flags, files: { '/etc/nsswitch.conf': `passwd: files\n${line}\n` } }, 'mdns');

  for (const line of [
    'hosts: files mdns4_minimal [NOTFOUND=return] dns',
    'hosts:\tfiles mdns4 [NOTFOUND=return] resolve dns # mdns',
    'hosts: files mdns_minimal [SUCCESS=return NOTFOUND=return] dns',
  ]) {
    it(`doctor warns about nsswitch.conf with "${line}" until its fix is applied`, async () => {
      const { level, fix = '' } = await judge(line);
      assert.equal(level, 'warning');
      const files = { '/etc/nsswitch.conf': `${line}\n` };
      const after = await mended({ files }, fix);
      assert.match(after['/etc/nsswitch.conf'] ?? '', /^hosts:\s+files (resolve )?dns/);
      assert.equal((await finding({ files: after }, 'mdns')).level, 'ok');
    });
  }

  for (const line of ['hosts: files dns', 'hosts: files dns mdns4 [NOTFOUND=return]', '']) {
    it(`doctor accepts nsswitch.conf with "${line || 'no line'}"`, async () =>
      assert.equal((await judge(line)).level, 'ok'));
  }

  it('doctor does not check nsswitch.conf for a domain that the file does not affect', async () => {
    const line = 'hosts: files mdns4_minimal [NOTFOUND=return] dns';
    assert.equal((await judge(line, { domain: 'dns.example' })).level, 'ok');
  });
});
