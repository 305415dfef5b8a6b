/** `soradns transfer`, zone checkers, and clients with the wrong key, of a soradns process. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { SocketAddress } from '../../src/dns/address.ts';
import { Rcode } from '../../src/dns/rr.ts';
import { spawnCli } from '../support/cli.ts';
import { type CliProcess, startCli } from '../support/cliProcess.ts';
import { dig } from '../support/dig.ts';
import { freePort } from '../support/freePort.ts';
import { KEY_NAME, KEY_SECRET, KEY_TEXT } from '../support/secondaries.ts';
import { query } from '../support/server.ts';
import { until } from '../support/until.ts';
import { question } from '../support/zone.ts';

const DOMAIN = 'skydns.local';
/** Debian's, which has Debian's dnspython. */
const PYTHON = '/usr/bin/python3';

/** The words that check the zone file `file`. */
const CHECKERS: Readonly<Record<string, (file: string) => readonly string[]>> = {
  'named-checkzone': (file) => ['-i', 'local', DOMAIN, file],
  kzonecheck: (file) => ['-o', DOMAIN, file],
  'nsd-checkzone': (file) => [DOMAIN, file],
};

describe('soradns transfer', () => {
  const folder = mkdtempSync(join(tmpdir(), 'soradns-transfer-'));
  const keyFile = join(folder, 'tsig.key');
  let soradns: CliProcess;
  let server: SocketAddress;
  let at = '';
  let store = '';

  before(async () => {
    const port = await freePort();
    const httpPort = await freePort();
    server = { address: '127.0.0.1', port };
    at = `@127.0.0.1:${port}`;
    store = `http://127.0.0.1:${httpPort}`;
    writeFileSync(keyFile, KEY_TEXT);
    chmodSync(keyFile, 0o600);
    soradns = startCli([
      ...['serve', '--store', 'memory:', '--no-rec', '--lame-duck', '0'],
      ...['--addr', `127.0.0.1:${port}`, '--http', `127.0.0.1:${httpPort}`],
      ...['--transfer-allow', `127.0.0.0/8+key:${KEY_NAME}`, '--tsig-file', keyFile],
    ]);
    await soradns.logged('loaded the store');
    await put('dns/ns/a', { host: '127.0.0.1' });
    await put('web/a', { host: '10.0.0.1', port: 80, text: 'a "text"; with \\ octets' });
    await put('web/b', { host: 'fd00::1', port: 80, ttl: 10 });
    await put('alias', { host: 'www.example.com' });
    await put('*.wild', { host: '10.0.0.3', port: -1 });
    await set('ns.cut', '--host', '10.0.0.53');
    await set('hidden.cut', '--host', '10.0.0.54');
    await set('cut', '--rr', 'NS ns.cut.skydns.local.', '--rr', 'NS ns.example.com.');
    await put('post', { host: '10.0.0.2', mail: true });
    await until('the last put is transferred', async () =>
      (await transferred(at, '--key-file', keyFile)).includes('post.skydns.local.'),
    );
  });

  after(async () => {
    await soradns.end('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });

  async function put(key: string, value: object): Promise<void> {
    const body = new URLSearchParams({ value: JSON.stringify(value) });
    const url = `${store}/v2/keys/skydns/local/skydns/${key}`;
    assert.ok((await fetch(url, { method: 'PUT', body })).ok);
  }

  async function set(label: string, ...flags: string[]): Promise<void> {
    const args = ['set', `${label}.${DOMAIN}`, ...flags, '--store', store];
    const { code, stderr } = await spawnCli(args);
    assert.equal(code, 0, stderr);
  }

  async function transferred(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await spawnCli(['transfer', DOMAIN, ...args]);
    assert.equal(code, 0, stderr);
    return stdout;
  }

  it('The zone from the store is the zone from the server, but for the serial', async () => {
    const lines = (text: string) =>
      text
        .split('\n')
        .filter((line) => !line.includes('\tSOA\t'))
        .sort();
    const fromServer = lines(await transferred(at, '--key-file', keyFile));
    assert.deepEqual(lines(await transferred('--store', store)), fromServer);
    assert.ok(fromServer.length > 10);
    const atCut = fromServer.filter((line) => /^[^\t]*cut\./.test(line));
    assert.deepEqual(
      atCut.map((line) => line.split('\t')[3]),
      ['NS', 'NS', 'A'],
    );
    assert.ok(fromServer.includes('*.wild.skydns.local.\t3600\tIN\tA\t10.0.0.3'), 'a wildcard');
  });

  for (const [program, args] of Object.entries(CHECKERS)) {
    const isMissing = spawnSync(program, ['-h']).error !== undefined;
    it(`${program} accepts the zone`, { skip: isMissing && `no ${program}` }, async () => {
      const file = join(folder, program);
      writeFileSync(file, await transferred(at, '--key-file', keyFile));
      execFileSync(program, args(file));
    });
  }

  it('With --serial it prints the changes since that serial', async () => {
    const [soa = ''] = (await transferred(at, '--key-file', keyFile)).split('\n');
    const serial = soa.split(' ')[2] as string;
    await put('later', { host: '10.0.0.9', port: -1 });
    const changes = () => transferred(at, '--key-file', keyFile, '--serial', serial);
    await until('the server has the change', async () => (await changes()).includes('later'));
    assert.deepEqual((await changes()).match(/^later.*$/gm), [
      'later.skydns.local.\t3600\tIN\tA\t10.0.0.9',
    ]);
  });

  const hasDnspython = spawnSync(PYTHON, ['-c', 'import dns.zone']).status === 0;
  const skip = !hasDnspython && 'no dnspython';
  it('dnspython transfers the domain with the key', { skip }, async () => {
    const script = `
import dns.query, dns.tsigkeyring, dns.zone
keys = dns.tsigkeyring.from_text({'${KEY_NAME}.': ('hmac-sha256', '${KEY_SECRET}')})
xfr = dns.query.xfr('127.0.0.1', '${DOMAIN}', port=${server.port}, keyring=keys, keyname='${KEY_NAME}.')
print(dns.zone.from_xfr(xfr).get_rdataset('web', 'TXT'))`;
    const ran = spawnSync(PYTHON, ['-c', script], { encoding: 'utf8' });
    assert.equal(ran.status, 0, ran.stderr);
    assert.match(ran.stdout, /a \\"text\\"/);
  });

  it('A client without the key is refused over UDP and TCP, and causes one line in the log', async () => {
    const { code, stderr } = await spawnCli(['transfer', DOMAIN, at]);
    assert.match(stderr, /REFUSED/);
    assert.notEqual(code, 0);
    for (const transport of ['udp', 'tcp'] as const) {
      const reply = await query(server, question(DOMAIN, 'AXFR'), { transport });
      assert.equal(reply.rcode, Rcode.REFUSED);
    }
    const lines = soradns.lines().filter(({ result }) => result === 'refused');
    assert.equal(lines.length, 1);
  });

  it('A query with another secret gets NOTAUTH with BADSIG, and one with another key BADKEY', async () => {
    const other = Buffer.from('a secret of another client').toString('base64');
    const wrong = await dig(server, '-y', `hmac-sha256:${KEY_NAME}:${other}`, DOMAIN, 'SOA');
    assert.equal(wrong.status, 'NOTAUTH');
    assert.match(wrong.text, /BADSIG/);
    const unknown = await dig(server, '-y', `hmac-sha256:unknown:${other}`, DOMAIN, 'SOA');
    assert.match(unknown.text, /BADKEY/);
  });

  it('A signed question for any name gets a signed answer', async () => {
    const key = `hmac-sha256:${KEY_NAME}:${KEY_SECRET}`;
    const reply = await dig(server, '-y', key, 'web.skydns.local', 'AAAA');
    assert.match(reply.text, /fd00::1/);
    assert.match(reply.text, /TSIG\s+hmac-sha256\. .* NOERROR/);
    assert.doesNotMatch(reply.text, /could not be validated|Couldn't verify/);
  });

  it('The reply over TCP to a signed question that asks for keepalive verifies', async () => {
    const key = `hmac-sha256:${KEY_NAME}:${KEY_SECRET}`;
    const reply = await dig(server, '-y', key, '+tcp', '+keepalive', 'web.skydns.local', 'AAAA');
    assert.match(reply.text, /TSIG\s+hmac-sha256\. .* NOERROR/);
    assert.doesNotMatch(reply.text, /could not be validated|Couldn't verify/);
  });

  it('Over UDP a question for changes gets the SOA alone', async () => {
    const key = `hmac-sha256:${KEY_NAME}:${KEY_SECRET}`;
    const reply = await dig(server, '-y', key, DOMAIN, 'IXFR=1', '+notcp');
    assert.equal(reply.text.match(/\sSOA\s/g)?.length, 1);
  });
});
