/** Which clients may write over HTTP: real servers, with clients of several users and a client on another host. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { MAIN, spawnCli } from '../support/cli.ts';
import { type CliProcess, ON_FREE_PORTS, startCli } from '../support/cliProcess.ts';
import { freePort } from '../support/freePort.ts';
import { connectOtherHost } from '../support/otherHost.ts';
import { curlAs, NOBODY, nodeForAll, noOtherUsers, runAs, startAs } from '../support/otherUser.ts';
import { withTempDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';

const skip = noOtherUsers ?? false;
const NAME = 'skydns/local/skydns/web';
const VALUE = 'value={"host":"192.0.2.1"}';

interface Running {
  readonly child: CliProcess;
  readonly url: string;
}

async function start(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Running> {
  const ports = args.includes('--http') ? ['--addr', '127.0.0.1:0'] : ON_FREE_PORTS;
  const child = startCli(['serve', ...ports, ...args], env);
  const { http } = await child.logged('serving');
  return { child, url: `http://${String(http).replace('0.0.0.0', '127.0.0.1')}` };
}

async function whileServing(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  body: (server: Running) => Promise<void>,
): Promise<void> {
  const server = await start(args, env);
  try {
    await body(server);
  } finally {
    await server.child.end('SIGTERM');
  }
}

const put = (url: string, key = NAME) => ['-XPUT', `${url}/v2/keys/${key}`, '-d', VALUE];

describe('loopback without a token', { skip }, () => {
  let server: Running;
  before(async () => {
    server = await start(['--store', 'memory:']);
  });
  after(() => server?.child.end('SIGTERM'));

  it("The server accepts the SkyDNS article's curl line from root, which is its own user", async () => {
    assert.match(await curlAs(0, ...put(server.url)), /"action":"set".*\n201$/s);
  });

  it('The server refuses writes of another user’s process over both APIs and names the remedy', async () => {
    const refused = await curlAs(NOBODY, ...put(server.url, `${NAME}/2`));
    assert.match(refused, /\n401$/);
    assert.match(refused, /"errorCode":110/);
    assert.match(refused, /a process of uid 65534 may not write: run it as root, or use the token/);
    for (const call of ['put', 'delete', 'deleteTree', 'lease/grant']) {
      const body = '{"key":"/skydns/x","prefix":"/","value":"","ttlSeconds":60}';
      const said = await curlAs(NOBODY, `${server.url}/v1/store/${call}`, '-d', body);
      assert.match(said, /"code":"denied".*\n401$/s, call);
    }
    for (const line of [
      ['-XPOST', `${server.url}/v2/keys/skydns/local`, '-d', VALUE],
      ['-XDELETE', `${server.url}/v2/keys/${NAME}`],
    ]) {
      assert.match(await curlAs(NOBODY, ...line), /\n401$/);
    }
    assert.match(await curlAs(NOBODY, `${server.url}/v2/keys/${NAME}`), /192\.0\.2\.1.*\n200$/s);
  });

  it('A soradns command of another user prints the server’s refusal and exits with code 6', async (t) => {
    const store = ['--store', server.url];
    if ((await runAs(NOBODY, 'test', '-r', MAIN)).code !== 0) {
      return t.skip('optional: other users may not read this checkout');
    }
    const setpriv = ['--reuid', `${NOBODY}`, '--regid', `${NOBODY}`, '--clear-groups'] as const;
    const asNobody = ['setpriv', ...setpriv, await nodeForAll(), MAIN] as const;
    const set = ['set', 'b.skydns.local', '--host', '192.0.2.2', ...store];
    const ran = await spawnCli(set, {}, asNobody);
    assert.equal(ran.code, 6, ran.stderr);
    assert.match(ran.stderr, /a process of uid 65534 may not write: run it as root/);
    const asRoot = await spawnCli(set);
    assert.equal(asRoot.code, 0, asRoot.stderr);
  });

  it('A client that disconnects before the server has checked its user writes nothing', async () => {
    const { port } = new URL(server.url);
    const script = `
import socket, struct, sys
for n in range(200):
    s = socket.create_connection(('127.0.0.1', ${port}))
    key = '/v2/keys/skydns/local/skydns/gone/%d' % n
    s.sendall(('PUT %s HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Type: application/x-www-form-urlencoded\\r\\nContent-Length: 7\\r\\n\\r\\nvalue=1' % key).encode())
    if n % 2: s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    s.close()
`;
    const child = startAs(NOBODY, ['python3', '-c', script]);
    const [code] = await once(child, 'exit');
    assert.equal(code, 0);
    await until('the server still answers', async () => {
      const metrics = await curlAs(0, `${server.url}/livez`);
      return metrics.startsWith('ok');
    });
    const found = await curlAs(0, `${server.url}/v2/keys/skydns/local/skydns/gone`);
    assert.match(found, /\n404$/);
  });

  it('The server refuses every request by which root would write the configuration without a token', async () => {
    const { url } = server;
    const requests = [
      put(url, 'skydns/config'),
      put(url, 'skydns//./config'),
      put(url, 'skydns/config/x'),
      put(url, 'other/config'),
      ['-XPUT', `${url}/v2/keys/skydns/config?dir=true`],
      ['-XPUT', `${url}/v2/keys/skydns/config?prevExist=false`, '-d', VALUE],
      ['-XPOST', `${url}/v2/keys/skydns/config`, '-d', VALUE],
      ['-XDELETE', `${url}/v2/keys/skydns?recursive=true`],
      [`${url}/v1/store/put`, '-d', '{"key":"/skydns/config","value":"e30="}'],
      [`${url}/v1/store/deleteTree`, '-d', '{"prefix":"/skydns/"}'],
      [`${url}/v1/store/deleteTree`, '-d', '{"prefix":"/"}'],
    ];
    for (const request of requests) {
      const said = await curlAs(0, ...request);
      assert.match(said, /\n401$/, request.join(' '));
      assert.match(said, /always needs the token: this server has none yet/, request.join(' '));
    }
    const label = await curlAs(0, ...put(url, 'skydns/local/skydns/config'));
    assert.match(label, /\n201$/, 'below a domain, config is an ordinary label');
  });
});

describe('token', { skip }, () => {
  it('A client with the token can write every key, and the server applies its configuration', async () => {
    const env = { SORADNS_HTTP_TOKEN: 's3cr3t' };
    await whileServing(['--store', 'memory:'], env, async ({ child, url }) => {
      const shown = ['-H', 'Authorization: Bearer s3cr3t'];
      assert.match(await curlAs(NOBODY, ...put(url)), /\n401$/);
      assert.match(await curlAs(NOBODY, ...put(url), ...shown), /\n201$/);
      assert.match(await curlAs(0, ...put(url)), /\n200$/, 'root needs no token for names');
      const config = `${url}/v2/keys/skydns/config`;
      const line = ['-XPUT', config, '-d', 'value={"ttl":77}'];
      assert.match(await curlAs(0, ...line), /always needs the token: send.*\n401$/s);
      assert.match(await curlAs(0, ...line, '-H', 'Authorization: Bearer x'), /\n401$/);
      assert.match(await curlAs(NOBODY, ...line, ...shown), /\n201$/);
      await child.logged('applied the configuration that was read again');
      assert.match(await curlAs(0, '-XDELETE', config), /always needs the token.*\n401$/s);
      assert.match(await curlAs(0, '-XDELETE', config, ...shown), /\n200$/);
    });
  });

  it('--http-writers token refuses every write without the token, even from root', async () => {
    const env = { SORADNS_HTTP_TOKEN: 's3cr3t', SORADNS_HTTP_WRITERS: 'token' };
    await whileServing(['--store', 'memory:'], env, async ({ url }) => {
      assert.match(await curlAs(0, ...put(url)), /writing needs the token.*\n401$/s);
      assert.match(await curlAs(0, ...put(url), '-u', 'any:s3cr3t'), /\n201$/);
    });
  });

  for (const [writers, status] of [
    ['local', 201],
    ['token', 401],
  ] as const)
    it(`A write by root on the server's host to a non-loopback address gets ${status} with --http-writers ${writers}`, async () => {
      const other = await connectOtherHost();
      try {
        const env = { SORADNS_HTTP_TOKEN: 's3cr3t', SORADNS_HTTP_WRITERS: writers };
        const http = ['--http', `0.0.0.0:${await freePort()}`, '--store', 'memory:'];
        await whileServing(http, env, async ({ url }) => {
          const here = `http://${other.localAddress}:${new URL(url).port}`;
          assert.match(await curlAs(0, ...put(here)), new RegExp(`\\n${status}$`));
        });
      } finally {
        await other.end();
      }
    });
});

describe('token file', { skip }, () => {
  it('A server on a non-loopback address creates a private token file, logs its path, and commands find it', () =>
    withTempDir(async (dir) => {
      const state = { STATE_DIRECTORY: join(dir, 'state') };
      const path = join(state.STATE_DIRECTORY, 'http-token');
      const other = await connectOtherHost();
      try {
        const http = ['--http', `0.0.0.0:${await freePort()}`, '--store', 'memory:'];
        await whileServing(http, state, async ({ child, url }) => {
          const { port } = new URL(url);
          const said = await child.logged('this file contains the token for writing over HTTP');
          assert.equal(said.path, path);
          assert.equal(statSync(path).mode & 0o777, 0o600);
          assert.equal(statSync(state.STATE_DIRECTORY).mode & 0o777, 0o700);
          const token = readFileSync(path, 'utf8').trim();
          assert.ok(token.length >= 32);
          const there = `http://${other.localAddress}:${port}`;
          const curl = ['curl', '-sS', '-m', '10', '-w', '\n%{http_code}', ...put(there)];
          assert.match(other.run(...curl), /writing from another host needs the token.*\n401$/s);
          const shown = ['-H', `Authorization: Bearer ${token}`];
          assert.match(other.run(...curl, ...shown), /\n201$/);
          assert.match(other.run('curl', '-sS', `${there}/livez`), /^ok/);
          const config = ['set', '/skydns/config', '--value', '{"ttl":77}', '--store', there];
          const without = await spawnCli(config, { STATE_DIRECTORY: dir });
          assert.equal(without.code, 6, without.stderr);
          assert.match(without.stderr, /always needs the token/);
          assert.equal((await spawnCli(config, state)).code, 0);
        });
        await whileServing(http, state, async ({ child }) => {
          await child.logged('this file contains the token for writing over HTTP');
        });
        assert.equal(readFileSync(path, 'utf8').trim().length, 43, 'the next start keeps it');
      } finally {
        await other.end();
      }
    }));

  it('A server with a file: store puts the token file into the folder of the store', () =>
    withTempDir(async (dir) => {
      const state = { STATE_DIRECTORY: dir };
      await whileServing([], state, async ({ url }) => {
        assert.equal(statSync(join(dir, 'http-token')).mode & 0o777, 0o600);
        const config = ['set', '/skydns/config', '--value', '{"ttl":77}', '--store', url];
        assert.equal((await spawnCli(config, state)).code, 0);
      });
    }));

  it('The server does not use a token file that other users may read', () =>
    withTempDir(async (dir) => {
      const path = join(dir, 'http-token');
      writeFileSync(path, 'known\n');
      chmodSync(path, 0o644);
      const options = ['--store', 'memory:', '--http-writers', 'token'];
      await whileServing(options, { STATE_DIRECTORY: dir }, async ({ child, url }) => {
        const line = child
          .lines()
          .find(({ msg }) => String(msg).startsWith('cannot create or use the token file'));
        assert.match(String(line?.reason), /other users may read it/);
        const shown = ['-H', 'Authorization: Bearer known'];
        assert.match(await curlAs(0, ...put(url), ...shown), /\n401$/);
      });
    }));

  it('A command does not send the token to a server of another user', () =>
    withTempDir(async (dir) => {
      writeFileSync(join(dir, 'http-token'), 'precious\n', { mode: 0o600 });
      const port = await freePort();
      const script = `
import http.server
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_POST(self):
        print(self.headers, flush=True)
        self.rfile.read(int(self.headers['content-length']))
        body = b'{"error":{"code":"denied","message":"give me the token"}}'
        self.send_response(401); self.send_header('Content-Length', str(len(body))); self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(('127.0.0.1', ${port}), H).serve_forever()
`;
      const thief = startAs(NOBODY, ['python3', '-c', script]);
      let seen = '';
      thief.stdout.on('data', (text) => {
        seen += text;
      });
      try {
        // With --force the command reads nothing first. The other user's server answers no reads.
        const set = ['set', 'a.skydns.local', '--host', '192.0.2.1', '--force'];
        const store = ['--store', `http://127.0.0.1:${port}`];
        await until('the other user’s server listens', async () => {
          return (await curlAs(0, `http://127.0.0.1:${port}/`).catch(() => '')) !== '';
        });
        const ran = await spawnCli([...set, ...store], { STATE_DIRECTORY: dir });
        assert.equal(ran.code, 6, ran.stderr);
        assert.match(seen, /content-length/i);
        assert.doesNotMatch(seen, /precious|authorization/i);
      } finally {
        thief.kill('SIGKILL');
      }
    }));

  it('The server creates a token file where /proc does not show the user of a connection', () =>
    withTempDir(async (dir) => {
      const hidden = 'mount -t tmpfs none /proc && exec "$@"';
      const inside = ['unshare', '--mount', 'sh', '-c', hidden, 'sh', process.execPath] as const;
      const args = ['serve', ...ON_FREE_PORTS, '--store', 'memory:'];
      const state = { STATE_DIRECTORY: dir };
      const child = startCli(args, state, [...inside, MAIN]);
      try {
        const { http } = await child.logged('serving');
        const url = `http://${http}`;
        assert.match(
          await curlAs(0, ...put(url)),
          /the kernel does not show the client's user.*\n401$/s,
        );
        const set = ['set', 'a.skydns.local', '--host', '192.0.2.1', '--store', url];
        assert.equal((await spawnCli(set, state)).code, 0);
      } finally {
        await child.end('SIGTERM');
      }
    }));
});
