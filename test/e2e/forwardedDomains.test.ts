/**
 * Domains with servers of their own, in a server with workers on etcd, with Knot as the domains' server. In a network of
 * its own, where a capture sees every packet.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { SocketAddress } from '../../src/dns/address.ts';
import { type CliProcess, startCli } from '../support/cliProcess.ts';
import { dig } from '../support/dig.ts';
import { type Etcd, startEtcd } from '../support/etcd.ts';
import { freePort } from '../support/freePort.ts';
import { hasKnot, type Knot, startKnot } from '../support/knot.ts';
import { enterOwnNetwork, noOwnNetwork } from '../support/ownNetwork.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';
import { startUpstream, type TestUpstream } from '../support/upstream.ts';
import { lacking } from '../support/validators.ts';

const skip = noOwnNetwork ?? (hasKnot() ? lacking('tcpdump') : 'knotd is not installed');

describe('domains with Knot as their server', { skip, concurrency: 1 }, () => {
  let folder = '';
  let etcd: Etcd;
  let knot: Knot;
  let general: TestUpstream;
  let server: CliProcess;
  let dns: SocketAddress;
  let http = '';

  before(async () => {
    enterOwnNetwork();
    folder = await newTempDir();
    etcd = await startEtcd();
    general = await startUpstream({ records: ['www.example 60 A 203.0.113.1'] });
    const port = await freePort();
    const records = ['www A 192.0.2.1', 'new A 192.0.2.2', 'later A 192.0.2.3'];
    const zones = { 'corp.example.': records, 'lab.skydns.local.': records };
    knot = startKnot({ port, folder, zones });
    const own = { address: '127.0.0.1', port };
    await until('knot listens', () => isAnswered(own, 'www.corp.example'));
    dns = { address: '127.0.0.1', port: await freePort() };
    http = `http://127.0.0.1:${await freePort()}`;
    server = startCli([
      'serve',
      ...['--addr', `127.0.0.1:${dns.port}`, '--http', http.slice('http://'.length)],
      ...['--store', `etcd://${etcd.endpoint}`, '--workers', '1', '--lame-duck', '0'],
      ...['--nameservers', `127.0.0.1:${general.port}`, '--stubzones'],
      ...['--forward', `corp.example=127.0.0.1:${port}`],
    ]);
    await server.logged('serving');
    await until('the store is read', async () => (await fetch(`${http}/readyz`)).ok);
  });
  after(async () => {
    await server?.end('SIGKILL');
    await knot?.kill();
    await general?.close();
    await etcd?.stop();
    await removeDir(folder);
  });

  async function isAnswered(at: SocketAddress, name: string): Promise<boolean> {
    const reply = await dig(at, name).catch(() => undefined);
    return reply !== undefined && reply.answer.length > 0;
  }

  async function change(method: 'PUT' | 'DELETE', key: string, value?: unknown): Promise<void> {
    const body =
      value === undefined ? undefined : new URLSearchParams({ value: JSON.stringify(value) });
    const reply = await fetch(`${http}/v2/keys/skydns/${key}`, { method, ...(body && { body }) });
    assert.ok(reply.ok, await reply.text());
  }

  /** Records all packets. `read` ends that, and gives the payloads of those which the filter selects. */
  async function startCapture(): Promise<{ read(filter: string): Promise<string> }> {
    const file = join(folder, 'capture');
    const tcpdump = spawn(
      'tcpdump',
      ['-i', 'lo', '-n', '-U', '--immediate-mode', '-Z', 'root', '-w', file],
      {
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    const ended = once(tcpdump, 'exit');
    await once(tcpdump.stderr, 'data'); // it listens
    return {
      async read(filter) {
        tcpdump.kill('SIGINT');
        await ended;
        const words = ['-r', file, '-n', '-A', filter];
        return execFileSync('tcpdump', words, {
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'ignore'],
        });
      },
    };
  }

  const STUB = 'local/skydns/dns/stub/local/skydns/lab/knot';

  it('A stub zone below a domain is answered by Knot after the put of its key, and by the store after its removal', async () => {
    await change('PUT', 'local/skydns/lab/old', { host: '10.0.0.1' });
    await until('the store answers', () => isAnswered(dns, 'old.lab.skydns.local'));
    await change('PUT', STUB, { host: '127.0.0.1', port: knot.port });
    await until('Knot answers', () => isAnswered(dns, 'www.lab.skydns.local'));
    for (let i = 0; i < 4; i++) {
      const reply = await dig(dns, 'www.lab.skydns.local');
      assert.match(reply.answer.join(), /^www\.lab\.skydns\.local\. \d+ IN A 192\.0\.2\.1$/);
      assert.deepEqual([reply.flags.includes('aa'), reply.flags.includes('ra')], [false, true]);
      // The worker has neither the store's name nor a denial of it.
      assert.equal((await dig(dns, 'old.lab.skydns.local')).status, 'NXDOMAIN');
      assert.equal((await dig(dns, 'none.skydns.local')).flags.includes('aa'), true);
    }
    await change('DELETE', STUB);
    await until('the store answers again', () => isAnswered(dns, 'old.lab.skydns.local'));
    assert.equal((await dig(dns, 'www.lab.skydns.local')).status, 'NXDOMAIN');
    assert.deepEqual(general.queries, []);
  });

  it('When the server of a domain dies, cached names stay, and no other server gets the new ones', async () => {
    for (let i = 0; i < 4; i++)
      assert.ok(await isAnswered(dns, 'www.corp.example'), 'the worker caches the answer');
    await knot.kill();
    const capture = await startCapture();
    const reply = await dig(dns, 'new.corp.example');
    assert.equal(reply.status, 'SERVFAIL');
    assert.match(reply.text, /EDE: 22 .*corp\.example\./);
    assert.ok(await isAnswered(dns, 'www.corp.example'));
    assert.ok(await isAnswered(dns, 'www.example'), 'the general upstream answers other names');
    const asked = general.queries.map(({ name }) => name.toLowerCase());
    assert.deepEqual(new Set(asked), new Set(['www.example']));
    const elsewhere = await capture.read(`udp and not port ${dns.port} and not port ${knot.port}`);
    assert.match(elsewhere, /www.example/i);
    assert.doesNotMatch(elsewhere, /corp/i);
    assert.match(await capture.read(`udp port ${dns.port}`), /new.corp.example/i);
    assert.ok((await fetch(`${http}/readyz`)).ok);
  });
});
