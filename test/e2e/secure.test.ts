/** A server with DNS over TLS and over HTTPS: real clients, metrics, and a takeover under questions. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import tls from 'node:tls';
import dnsPacket from 'dns-packet';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { callCli } from '../support/cli.ts';
import { type CliProcess, startCli } from '../support/cliProcess.ts';
import { startEtcd } from '../support/etcd.ts';
import { freePort } from '../support/freePort.ts';
import { questionOf } from '../support/messages.ts';
import { shellBlocks } from '../support/pages.ts';
import { Exposition } from '../support/prometheus.ts';
import { isThere, outputOf } from '../support/secureServer.ts';
import { query, startTestServer, type TestServer, WITH_TOKEN } from '../support/server.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';
import { hasUnbound, startUnbound } from '../support/unbound.ts';
import { until } from '../support/until.ts';

const NAME = 'web.skydns.local';
const SECURE = ['dot', 'doh', 'doh-plain'] as const;

let certificates: Certificates;
let folder: string;
let server: TestServer;
const ports: Record<string, number> = {};

before(async () => {
  certificates = makeCertificates();
  folder = await newTempDir();
  for (const name of SECURE) ports[name] = await freePort();
  server = await startTestServer({
    ...Object.fromEntries(SECURE.map((name) => [name, [`127.0.0.1:${ports[name]}`]])),
    ...pairOf('server'),
  });
  const url = `http://127.0.0.1:${server.http?.port}/v2/keys/skydns/local/skydns/web`;
  const value = new URLSearchParams({ value: '{"host":"127.0.0.1"}' });
  await fetch(url, { method: 'PUT', body: value, headers: WITH_TOKEN });
  await until('the name is there', async () => {
    return (await query(server.dns, questionOf(NAME))).answer.length === 1;
  });
});
after(async () => {
  await server?.close();
  certificates?.remove();
  if (folder !== undefined) await removeDir(folder);
});

function pairOf(name: string): { readonly 'server-cert': string; readonly 'server-key': string } {
  return {
    'server-cert': certificates.path(`${name}.pem`),
    'server-key': certificates.path(`${name}-key.pem`),
  };
}

async function metrics(): Promise<Exposition> {
  const page = await fetch(`http://127.0.0.1:${server.http?.port}/metrics`);
  return new Exposition(await page.text());
}

describe('a server with --dot and --doh', () => {
  it('curl resolves a name over HTTPS and connects to its address', async (t) => {
    if (!(await isThere('curl'))) return t.skip('curl is not installed');
    const doh = ['--doh-url', `https://localhost:${ports.doh}/dns-query`, '--doh-insecure'];
    const url = `http://${NAME}:${server.http?.port}/livez`;
    const host = ['-H', `host: 127.0.0.1:${server.http?.port}`];
    assert.equal((await outputOf('curl', '-s', ...doh, ...host, url)).trim(), 'ok');
  });

  it('The commands of docs/encryption.md get answers over TLS and over HTTPS', async (t) => {
    if (!(await isThere('kdig'))) return t.skip('kdig is not installed');
    const [block = ''] = shellBlocks('docs/encryption.md', 'Clients over TLS and HTTPS');
    const here = block
      .replaceAll('cert.pem', certificates.path('ca.pem'))
      .replace('@127.0.0.1 +tls', `@127.0.0.1 -p ${ports.dot} +tls`)
      .replace('@127.0.0.1 +https', `@127.0.0.1 -p ${ports.doh} +https`);
    assert.equal(await outputOf('sh', '-c', here), '127.0.0.1\n127.0.0.1\n');
  });

  it('stubby forwards to the server over TLS and checks its certificate', async (t) => {
    if (!(await isThere('stubby'))) return t.skip('stubby is not installed');
    const port = await freePort();
    const config = join(folder, 'stubby.yml');
    const lines = [
      'resolution_type: GETDNS_RESOLUTION_STUB',
      'dns_transport_list:',
      '  - GETDNS_TRANSPORT_TLS',
      'tls_authentication: GETDNS_AUTHENTICATION_REQUIRED',
      'tls_query_padding_blocksize: 128',
      'idle_timeout: 10000',
      `tls_ca_file: "${certificates.path('ca.pem')}"`,
      'listen_addresses:',
      `  - 127.0.0.1@${port}`,
      'upstream_recursive_servers:',
      '  - address_data: 127.0.0.1',
      `    tls_port: ${ports.dot}`,
      '    tls_auth_name: "localhost"',
    ];
    writeFileSync(config, `${lines.join('\n')}\n`);
    // It cannot wait for events of /dev/null as its standard input.
    const stubby = spawn('stubby', ['-C', config], { stdio: ['pipe', 'ignore', 'ignore'] });
    t.after(() => stubby.kill('SIGKILL'));
    await answersAs(port);
  });

  it('unbound forwards to the server over TLS and checks its certificate', async (t) => {
    if (!hasUnbound()) return t.skip('unbound is not installed');
    const port = await freePort();
    const unbound = startUnbound({
      ...{ port, folder },
      server: [
        `tls-cert-bundle: "${certificates.path('ca.pem')}"`,
        'domain-insecure: "local"',
        'local-zone: "local." nodefault',
      ],
      sections: [
        'forward-zone:',
        '  name: "."',
        '  forward-tls-upstream: yes',
        `  forward-addr: 127.0.0.1@${ports.dot}#localhost`,
      ],
    });
    t.after(() => unbound.kill());
    await answersAs(port);
  });

  /** Waits until the resolver on that port answers with our address. */
  async function answersAs(port: number): Promise<void> {
    const brief = ['+time=1', '+tries=1', '+short'];
    await until('the resolver gives our answer', async () => {
      const dig = outputOf('dig', '@127.0.0.1', '-p', String(port), ...brief, NAME);
      return (await dig.catch(() => '')).trim() === '127.0.0.1';
    });
  }

  it('dnsperf gets an answer to every question over TLS', async (t) => {
    if (!(await isThere('dnsperf'))) return t.skip('dnsperf is not installed');
    const names = join(folder, 'names');
    writeFileSync(names, `${NAME} A\n`);
    const at = ['-m', 'dot', '-s', '127.0.0.1', '-p', String(ports.dot)];
    const output = await outputOf('dnsperf', ...at, '-d', names, '-n', '2000', '-c', '4');
    assert.match(output, /Queries completed: +2000 \(100\.00%\)/);
  });

  it('The metrics count queries by transport, connections and handshakes, and tell when the certificate expires', async () => {
    const all = await metrics();
    const requests = (proto: string) => all.value('soradns_dns_requests_total', { proto });
    assert.ok(requests('dot') > 0);
    assert.ok(requests('doh') > 0);
    assert.ok(all.value('soradns_tls_handshakes_total', { result: 'new' }) > 0);
    assert.ok(all.value('soradns_secure_connections_accepted_total', { proto: 'doh' }) > 0);
    const leftSeconds = all.value('soradns_certificate_expiry_seconds') - Date.now() / 1000;
    assert.ok(leftSeconds > 86_400 && leftSeconds < 2 * 86_400, `${leftSeconds} s`);
  });
});

describe('a server with --allow', () => {
  it('A client that is not in --allow gets REFUSED over TLS and over HTTPS', async (t) => {
    if (!(await isThere('kdig'))) return t.skip('kdig is not installed');
    const [dot, doh] = [await freePort(), await freePort()];
    const closed = await startTestServer({
      ...{ allow: ['192.0.2.0/24'], dot: [`127.0.0.1:${dot}`], doh: [`127.0.0.1:${doh}`] },
      ...pairOf('server'),
    });
    t.after(() => closed.close());
    for (const [how, port] of [
      ['+tls', dot],
      ['+https', doh],
    ]) {
      const output = await outputOf('kdig', '@127.0.0.1', '-p', String(port), String(how), NAME);
      assert.match(output, /status: REFUSED/);
    }
  });
});

describe('the options of DNS over TLS and HTTPS', () => {
  const wrong: readonly [readonly string[], RegExp][] = [
    [['--dot', '127.0.0.1:853'], /--dot: needs --server-cert and --server-key as well/],
    [['--server-cert', 'x.pem'], /--server-cert: needs --server-key as well/],
    [['--trusted-proxy', '10.0.0.1'], /--trusted-proxy: needs --doh-plain as well/],
    [['--doh-path', 'dns-query'], /--doh-path: "dns-query" is not a path/],
    [['--upstream-ca', '/nonexistent'], /--upstream-ca: cannot read \/nonexistent \(ENOENT\)/],
    [
      ['--doh', '127.0.0.1:443', '--server-cert', '/nonexistent', '--server-key', '/nonexistent'],
      /--server-cert: cannot read \/nonexistent \(ENOENT\)/,
    ],
  ];
  for (const [words, message] of wrong)
    it(`check refuses ${words.filter((word) => word.startsWith('--')).join(' ')} with the reason`, async () => {
      const { code, stderr } = await callCli(['check', ...words]);
      assert.equal(code, 2);
      assert.match(stderr, message);
    });

  it('check refuses a key of another certificate', async () => {
    const cert = certificates.path('server.pem');
    const key = certificates.path('client-key.pem');
    const words = ['--dot', '127.0.0.1:853', '--server-cert', cert, '--server-key', key];
    const { code, stderr } = await callCli(['check', ...words]);
    assert.equal(code, 2);
    assert.match(stderr, /--server-key: .*client-key\.pem is not the key of .*server\.pem/);
  });

  it('A server whose address for TLS is taken says which option names it', async () => {
    await assert.rejects(
      startTestServer({ dot: [`127.0.0.1:${ports.dot}`], ...pairOf('server') }),
      /choose another --dot/,
    );
  });
});

describe('a takeover', () => {
  async function serve(t: TestContext, args: readonly string[]): Promise<CliProcess> {
    const running = startCli(['serve', '--no-rec', '--workers', '1', ...args]);
    t.after(() => running.end('SIGKILL'));
    await running.logged('serving');
    return running;
  }

  it('A successor takes over DNS over TLS, and no question is lost', async (t) => {
    const etcd = await startEtcd();
    t.after(() => etcd.stop());
    const [dns, dot] = [await freePort(), await freePort()];
    const args = [
      ...['--store', `etcd://${etcd.endpoint}`, '--http', 'off', '--addr', `127.0.0.1:${dns}`],
      ...['--dot', `127.0.0.1:${dot}`, '--lame-duck', '0'],
      ...Object.entries(pairOf('server')).flatMap(([name, path]) => [`--${name}`, path]),
    ];
    const first = await serve(t, args);
    let isOver = false;
    let answered = 0;
    const clients = Array.from({ length: 4 }, async () => {
      while (!isOver) {
        await askOverTls(dot);
        answered++;
      }
    });
    await until('clients get answers', () => answered > 20);
    await serve(t, [...args, '--takeover']);
    await first.end('SIGTERM');
    const before = answered;
    await until('the successor answers', () => answered > before + 20);
    isOver = true;
    await Promise.all(clients);
  });

  /** On a connection of its own. Rejects if it ends without a reply. */
  function askOverTls(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const ca = certificates.pem('ca.pem');
      const socket = tls.connect({ port, host: '127.0.0.1', ca });
      const question = { type: 'SOA' as const, name: 'skydns.local' };
      socket.on('secureConnect', () =>
        socket.write(dnsPacket.streamEncode({ type: 'query', id: 1, questions: [question] })),
      );
      socket.on('data', () => {
        resolve();
        socket.destroy();
      });
      socket.on('error', reject);
      socket.on('close', () => reject(new Error('closed without a reply')));
    });
  }
});
