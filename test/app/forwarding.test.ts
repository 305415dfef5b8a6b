/** Domains with servers of their own, and hosts files, in whole servers. */
import assert from 'node:assert/strict';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { readConfig } from '../../src/config/config.ts';
import type { FlagValue } from '../../src/config/settings.ts';
import { Rcode } from '../../src/dns/rr.ts';
import { freePort } from '../support/freePort.ts';
import { printed, questionOf } from '../support/messages.ts';
import { query, startTestServer, type TestServer } from '../support/server.ts';
import { withTempDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';
import { startUpstream, type TestUpstream } from '../support/upstream.ts';

type Flags = Readonly<Record<string, FlagValue>>;

async function upstreamOf(t: TestContext, ...records: string[]): Promise<TestUpstream> {
  const upstream = await startUpstream({ records });
  t.after(() => upstream.close());
  return upstream;
}

const at = ({ port }: { readonly port: number }): string => `127.0.0.1:${port}`;

async function serverOf(t: TestContext, flags: Flags): Promise<TestServer> {
  const server = await startTestServer({ 'table-memory': '16', 'no-rec': false, ...flags });
  t.after(() => server.close());
  return server;
}

/** Reads the options again, as after SIGHUP. */
function reload(server: TestServer, flags: Flags): void {
  const fixed = { addr: at(server.dns), store: 'memory:', 'table-memory': '16', workers: '0' };
  const readFile = () => ({ problem: 'ENOENT' });
  const input = {
    flags: { ...fixed, ...flags },
    env: {},
    readFile,
    stateDirectory: '/nonexistent',
  };
  server.reload(readConfig(input));
}

/** The answer's records without their TTLs, or the name of the rcode. */
async function ask({ dns }: TestServer, name: string, type = 'A'): Promise<string> {
  const { rcode, answer } = await query(dns, questionOf(name, type));
  const code = Object.entries(Rcode).find(([, value]) => value === rcode)?.[0] ?? '';
  if (answer.length === 0) return code;
  return printed(answer)
    .map((line) => line.replace(/ \d+ IN /, ' '))
    .join(', ');
}

const namesAskedOf = ({ queries }: TestUpstream): readonly string[] =>
  queries.map(({ name }) => name.toLowerCase());

describe('domains with servers', () => {
  it('A change of a domain’s servers ends the cached answers about it, in both caches', async (t) => {
    const one = await upstreamOf(t, 'a.corp.example 300 A 192.0.2.1', 'a.example 300 A 192.0.2.9');
    const other = await upstreamOf(t, 'a.corp.example 300 A 192.0.2.2');
    const general = { nameservers: at(one) };
    const server = await serverOf(t, general);
    const repeated = async (name: string) => {
      const said = new Set<string>();
      for (let i = 0; i < 4; i++) said.add(await ask(server, name));
      return [...said];
    };
    assert.deepEqual(await repeated('a.corp.example.'), ['a.corp.example. A 192.0.2.1']);
    assert.deepEqual(await repeated('a.example.'), ['a.example. A 192.0.2.9']);
    assert.equal(one.queries.length, 2);
    reload(server, { ...general, forward: `corp.example=${at(other)}` });
    assert.deepEqual(await repeated('a.corp.example.'), ['a.corp.example. A 192.0.2.2']);
    assert.deepEqual(await repeated('a.example.'), ['a.example. A 192.0.2.9']);
    assert.equal(one.queries.length, 2, 'the general upstream’s answer is still known');
    reload(server, { ...general, forward: 'corp.example=local' });
    assert.deepEqual(await repeated('a.corp.example.'), ['REFUSED']);
    reload(server, general);
    assert.deepEqual(await repeated('a.corp.example.'), ['a.corp.example. A 192.0.2.1']);
  });

  it('With --no-rec only names in the domains are forwarded, and .=local does the same', async (t) => {
    const corp = await upstreamOf(t, 'a.corp.example 60 A 192.0.2.1');
    const forward = `corp.example=${at(corp)}`;
    const other = await upstreamOf(t, 'a.example 60 A 192.0.2.2');
    for (const flags of [
      { 'no-rec': true, forward, nameservers: at(other) },
      { forward: [forward, '.=local'] },
    ]) {
      const server = await serverOf(t, flags);
      assert.equal(await ask(server, 'a.corp.example.'), 'a.corp.example. A 192.0.2.1');
      assert.equal(await ask(server, 'a.example.'), 'REFUSED');
    }
    const root = await serverOf(t, { forward: [forward, `.=${at(other)}`] });
    assert.equal(await ask(root, 'a.example.'), 'a.example. A 192.0.2.2');
  });

  it('A chain of the general upstream that leads into a domain ends at the domain’s servers', async (t) => {
    const general = await upstreamOf(
      t,
      'out.example 60 CNAME in.corp.example',
      'in.corp.example 60 A 203.0.113.66',
    );
    const corp = await upstreamOf(t, 'in.corp.example 60 A 192.0.2.1');
    const forward = `corp.example=${at(corp)}`;
    const server = await serverOf(t, { nameservers: at(general), forward });
    const chain = 'out.example. CNAME in.corp.example., in.corp.example. A 192.0.2.1';
    for (let i = 0; i < 3; i++) assert.equal(await ask(server, 'out.example.'), chain);
    assert.equal(await ask(server, 'in.corp.example.'), 'in.corp.example. A 192.0.2.1');
  });

  it('Rebind protection lets the servers of a domain inside the network give private addresses', async (t) => {
    const records = ['a.corp.example 60 A 10.0.0.1', 'a.example 60 A 10.0.0.2'];
    const upstream = await upstreamOf(t, ...records);
    const flags = { nameservers: at(upstream), 'rebind-protection': true };
    const server = await serverOf(t, { ...flags, forward: `corp.example=${at(upstream)}` });
    assert.equal(await ask(server, 'a.corp.example.'), 'a.corp.example. A 10.0.0.1');
    assert.equal(await ask(server, 'a.example.'), 'NOERROR');
  });

  it('A domain whose only server is this one is not forwarded to others', async (t) => {
    const general = await upstreamOf(t, 'a.corp.example 60 A 203.0.113.1');
    const addr = `127.0.0.1:${await freePort()}`;
    const server = await serverOf(t, {
      addr,
      nameservers: at(general),
      forward: `corp.example=${addr}`,
    });
    assert.equal(await ask(server, 'a.corp.example.'), 'SERVFAIL');
    assert.deepEqual(namesAskedOf(general), []);
  });

  it('Of a thousand domains each has its own server, and dead ones delay no other', async (t) => {
    const live = await upstreamOf(t, 'a.d500.example 60 A 192.0.2.1', 'a.example 60 A 192.0.2.2');
    const closed = await freePort();
    const forward = Array.from({ length: 1_000 }, (_, i) =>
      i === 500 ? `d${i}.example=${at(live)}` : `d${i}.example=127.0.0.1:${closed}`,
    );
    const server = await serverOf(t, { nameservers: at(live), forward });
    const dead = Array.from({ length: 100 }, (_, i) => ask(server, `a.d${i}.example.`));
    assert.equal(await ask(server, 'a.d500.example.'), 'a.d500.example. A 192.0.2.1');
    assert.equal(await ask(server, 'a.example.'), 'a.example. A 192.0.2.2');
    assert.deepEqual(new Set(await Promise.all(dead)), new Set(['SERVFAIL']));
    assert.deepEqual(new Set(namesAskedOf(live)), new Set(['a.d500.example', 'a.example']));
  });
});

describe('hosts files', () => {
  it('A hosts file is read again when it changes, and keeps its last text while it is missing', async (t) => {
    await withTempDir(async (folder) => {
      const path = join(folder, 'hosts');
      const replace = async (text: string): Promise<void> => {
        await writeFile(`${path}.new`, text);
        await rename(`${path}.new`, path);
      };
      await replace('10.0.0.9 nas.home nas\n10.0.0.8 web.skydns.local\n');
      const server = await serverOf(t, { 'no-rec': true, hosts: path });
      for (let i = 0; i < 3; i++)
        assert.match(await ask(server, 'nas.home.'), /^nas\.home\. A 10\.0\.0\.9$/);
      assert.match(await ask(server, 'nas.'), /A 10\.0\.0\.9$/);
      assert.equal(await ask(server, 'nas.home.', 'AAAA'), 'NOERROR');
      assert.equal(await ask(server, 'web.skydns.local.'), 'NXDOMAIN');
      assert.equal(await ask(server, 'other.home.'), 'REFUSED');
      const { authoritative } = await query(server.dns, questionOf('nas.home.'));
      assert.equal(authoritative, false);
      await replace('10.0.0.10 nas.home\n');
      await until('the new address is answered', async () =>
        (await ask(server, 'nas.home.')).endsWith('10.0.0.10'),
      );
      assert.equal(await ask(server, 'nas.'), 'REFUSED');
      await rename(path, `${path}.gone`);
      await until('the loss is logged', () =>
        server.lines.some(({ message }) => message === 'a hosts file cannot be read'),
      );
      assert.match(await ask(server, 'nas.home.'), /10\.0\.0\.10$/);
    });
  });
});
