/** `soradns set` of a name outside the served domains: it stores the value, and prints a note if it knows the domains. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { printSocketAddress } from '../../src/dns/address.ts';
import { callCli } from '../support/cli.ts';
import { clientEnv, startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
let store: string;
beforeEach(async () => {
  server = await startTestServer({});
  store = `http://${printSocketAddress(server.http ?? assert.fail())}`;
});
afterEach(() => server?.close());

/** Sets the name, checks that it is stored, and returns the text on stderr: the note, if any. */
async function noteOf(name: string, env: Record<string, string> = {}, ...more: string[]) {
  const args = ['set', name, '--host', '192.0.2.1', '--store', store, ...more];
  const { code, stderr } = await callCli(args, { env });
  assert.equal(code, 0, stderr);
  const { code: found } = await callCli(['get', name, '--store', store]);
  assert.equal(found, 0);
  return stderr;
}

describe('names outside the domains', () => {
  const NOTE =
    'soradns: note: b.example. is outside the served domains (a.example., x.example.); add its domain with soradns serve --domain\n';

  it('set prints a note about a name outside the domains in serve’s variables', async () => {
    for (const variable of ['SORADNS_DOMAIN', 'SKYDNS_DOMAIN']) {
      const env = { [variable]: 'a.example,x.example' };
      assert.equal(await noteOf('b.example', env), NOTE);
      assert.equal(await noteOf('b.example', env, '--json'), NOTE);
      assert.equal(await noteOf('b.example', env, '-q'), '');
      for (const name of ['A.example', 'b.x.example', '4.3.2.1.in-addr.arpa'])
        assert.equal(await noteOf(name, env), '', name);
    }
  });

  it('set prints a note about a name outside the domains of the stored configuration, which a variable overrides', async () => {
    const config = JSON.stringify({ domain: 'c.example.' });
    const own = { SORADNS_DOMAIN: 'a.example,x.example' };
    const env = { ...clientEnv(server), ...own };
    const args = ['set', '/skydns/config', '--value', config, '--store', store];
    assert.deepEqual(await callCli(args, { env }), {
      code: 0,
      stdout: 'set /skydns/config\n',
      stderr: '',
    });
    assert.match(await noteOf('b.example'), /^soradns: note: b\.example\. .* \(c\.example\.\)/);
    assert.equal(await noteOf('b.c.example'), '');
    assert.equal(await noteOf('b.example', own), NOTE);
  });

  it('set prints no note when it cannot know the server’s domains', async () => {
    assert.equal(await noteOf('b.example'), '');
    assert.equal(await noteOf('b.example', { SORADNS_DOMAIN: '..' }), '');
    const config = JSON.stringify({ ttl: 5 });
    const args = ['set', '/skydns/config', '--value', config, '--store', store];
    assert.equal((await callCli(args, { env: clientEnv(server) })).code, 0);
    assert.equal(await noteOf('b.example'), '');
  });
});
