/** DNS over HTTPS with real clients, over both versions of HTTP, with and without TLS. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import http2, { type ClientHttp2Session } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import dnsPacket, { type Packet } from 'dns-packet';
import type { DnsClient, Respond } from '../../src/dns/message.ts';
import { StreamTable } from '../../src/server/tcp/streamTable.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { FastZone } from '../support/fastZone.ts';
import {
  DOH_PATH,
  isThere,
  outputOf,
  type SecureSceneOptions,
  startSecureScene,
} from '../support/secureServer.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';

const NAME = 'web.skydns.local';
const MESSAGE = 'application/dns-message';

let certificates: Certificates;
let zone: FastZone;
let folder: string;
/** A file with the query. */
let body: string;
before(async () => {
  certificates = makeCertificates();
  zone = new FastZone();
  zone.put('local/skydns/web', { host: '10.0.0.1' });
  zone.setFreshness('synced');
  folder = await newTempDir();
  body = join(folder, 'query');
  writeFileSync(body, query());
});
after(async () => {
  certificates?.remove();
  if (folder !== undefined) await removeDir(folder);
});

function query(name = NAME): Buffer {
  const question = { type: 'A' as const, name };
  return dnsPacket.encode({ type: 'query', id: 0, flags: 0x0100, questions: [question] });
}

const fromZone: Respond = (packet, _client, send) => {
  const reply = zone.slow(Buffer.from(packet), 'tcp');
  if (reply !== undefined) send(reply);
};

/** With `respond` all queries go to it. */
async function sceneFor(t: TestContext, options: Partial<SecureSceneOptions> = {}) {
  const table = new StreamTable(zone.table.handle, () => zone.nowMs);
  const answering = options.respond === undefined ? { table, respond: fromZone } : {};
  const all = { certificates, respond: fromZone, ...answering, ...options };
  const scene = await startSecureScene(t, all);
  const secure = `https://localhost:${scene.ports.doh}`;
  const open = `http://127.0.0.1:${scene.ports.plain}`;
  const session = (): ClientHttp2Session => {
    const client = http2.connect(secure, { ca: certificates.pem('ca.pem') });
    t.after(() => client.destroy());
    return client.on('error', () => {});
  };
  return { ...scene, secure, open, session };
}

interface Answered {
  readonly status: number;
  readonly message: Packet;
}

async function ask(session: ClientHttp2Session, name = NAME): Promise<Answered> {
  const stream = session.request({
    ...{ ':method': 'POST', ':path': DOH_PATH, 'content-type': MESSAGE },
  });
  stream.end(query(name));
  const headers = once(stream, 'response');
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => void chunks.push(chunk));
  await once(stream, 'end');
  const [{ ':status': status }] = await headers;
  return { status: Number(status), message: dnsPacket.decode(Buffer.concat(chunks)) };
}

describe('DNS over HTTPS', () => {
  it('curl gets answers and the statuses of RFC 8484 over both versions of HTTP, with and without TLS', async (t) => {
    if (!(await isThere('curl'))) return t.skip('curl is not installed');
    const { secure, open, counters } = await sceneFor(t);
    const type = ['-H', `content-type: ${MESSAGE}`];
    const text = query().toString('base64url');
    const long = join(folder, 'long');
    writeFileSync(long, Buffer.alloc(70_000));
    const requests: readonly [string, readonly string[], number][] = [
      [`${DOH_PATH}?dns=${text}`, [], 200],
      [DOH_PATH, [...type, '--data-binary', `@${body}`], 200],
      [`${DOH_PATH}?dns=AAAA`, [], 400],
      [DOH_PATH, [...type, '--data-binary', 'x'], 400],
      ['/v2/keys', [], 404],
      [DOH_PATH, ['-X', 'DELETE'], 405],
      [DOH_PATH, [...type, '--data-binary', `@${long}`], 413],
      // Without its length beforehand.
      [DOH_PATH, [...type, '-X', 'POST', '-H', 'transfer-encoding: chunked', '-T', long], 413],
      [DOH_PATH, ['-d', 'name=x'], 415],
    ];
    const ca = ['--cacert', certificates.path('ca.pem')];
    const versions: readonly (readonly [string, readonly string[], string])[] = [
      [secure, ['--http2', ...ca], '2'],
      [secure, ['--http1.1', ...ca], '1.1'],
      [open, ['--http2-prior-knowledge'], '2'],
      [open, ['--http1.1'], '1.1'],
    ];
    const format = ['-s', '-o', '/dev/null', '-w', '%{http_version} %{http_code} %{content_type}'];
    await Promise.all(
      versions.map(async ([base, how, version]) => {
        for (const [target, words, status] of requests) {
          const output = await outputOf('curl', ...format, ...how, ...words, `${base}${target}`);
          const expected = `${version} ${status} ${status === 200 ? MESSAGE : ''}`;
          assert.equal(output, expected, `${base}${target} ${words.join(' ')}`);
        }
      }),
    );
    assert.deepEqual(counters, { answered: 8, refused: 28 });
  });

  it('kdig asks over HTTPS by GET and by POST', async (t) => {
    if (!(await isThere('kdig'))) return t.skip('kdig is not installed');
    const { ports } = await sceneFor(t);
    const at = ['@127.0.0.1', '-p', String(ports.doh), '+tls-hostname=localhost', '+short'];
    const ca = `+tls-ca=${certificates.path('ca.pem')}`;
    for (const how of ['+https-get', '+nohttps-get'])
      assert.equal(await outputOf('kdig', ...at, ca, '+https', how, NAME), '10.0.0.1\n');
  });

  it('An answer has its TTL as the time for caches, the id of its query, and no padding that nobody asked for', async (t) => {
    const { secure } = await sceneFor(t);
    const ca = ['--cacert', certificates.path('ca.pem')];
    const url = `${secure}${DOH_PATH}?dns=${query().toString('base64url')}`;
    const head = await outputOf('curl', '-s', '-D-', '-o', '/dev/null', ...ca, url);
    assert.match(head, /^cache-control: max-age=3600\r$/m);
    assert.match(head, /^content-length: 50\r$/m);
  });

  it('A hundred requests of one connection of HTTP/2 are answered as each is ready', async (t) => {
    const held = new Map<string, () => void>();
    const { session, doh } = await sceneFor(t, {
      respond: (packet, client, send) => {
        const copy = Uint8Array.from(packet);
        const name = dnsPacket.decode(Buffer.from(copy)).questions?.[0]?.name ?? '';
        held.set(name, () => fromZone(copy, client, send));
      },
    });
    const client = session();
    const names = Array.from({ length: 100 }, (_, i) => `n${i}.skydns.local`);
    const order: string[] = [];
    const asked = names.map(async (name) => {
      const { status, message } = await ask(client, name);
      order.push(message.questions?.[0]?.name ?? '');
      assert.equal(status, 200);
    });
    await until('the server has all', () => held.size === 100);
    for (const name of ['n70.skydns.local', 'n3.skydns.local']) {
      held.get(name)?.();
      await until('its answer is there', () => order.at(-1) === name);
      held.delete(name);
    }
    for (const answer of held.values()) answer();
    await Promise.all(asked);
    assert.equal(doh.counters().accepted, 1);
  });

  const clients: readonly [string, boolean, readonly string[], string][] = [
    [
      'the last address of X-Forwarded-For from a trusted proxy',
      true,
      ['6.6.6.6, 192.0.2.7'],
      '192.0.2.7',
    ],
    [
      'an IPv6 address of X-Forwarded-For from a trusted proxy',
      true,
      ['2001:db8::7'],
      '2001:db8::7',
    ],
    [
      'an IPv4 address with a port of X-Forwarded-For from a trusted proxy',
      true,
      ['6.6.6.6, 192.0.2.7:40000'],
      '192.0.2.7',
    ],
    [
      'an IPv6 address with a port of X-Forwarded-For from a trusted proxy',
      true,
      ['[2001:db8::7]:40000'],
      '2001:db8::7',
    ],
    ['the proxy if it sends no X-Forwarded-For', true, [], '127.0.0.1'],
    ['the peer if it is no trusted proxy', false, ['192.0.2.7'], '127.0.0.1'],
  ];
  for (const [who, isTrusted, forwarded, expected] of clients)
    it(`The client of a request over plain HTTP is ${who}`, async (t) => {
      const seen: DnsClient[] = [];
      const { open } = await sceneFor(t, {
        isTrustedProxy: () => isTrusted,
        respond: (packet, client, send) => {
          seen.push(client);
          fromZone(packet, client, send);
        },
      });
      const url = `${open}${DOH_PATH}?dns=${query().toString('base64url')}`;
      const headers = forwarded.flatMap((value) => ['-H', `x-forwarded-for: ${value}`]);
      for (const how of ['--http1.1', '--http2-prior-knowledge'])
        await outputOf('curl', '-s', '-o', '/dev/null', how, ...headers, url);
      assert.deepEqual(
        seen.map(({ address, transport }) => [address, transport]),
        [
          [expected, 'doh'],
          [expected, 'doh'],
        ],
      );
    });

  it('A request whose X-Forwarded-For from a trusted proxy ends in no address gets 400', async (t) => {
    const { open, counters } = await sceneFor(t, { isTrustedProxy: () => true });
    const url = `${open}${DOH_PATH}?dns=${query().toString('base64url')}`;
    for (const last of ['unknown', '192.0.2.7:port', '192.0.2.7:1:2', '[192.0.2.7]', 'fe80::1%0/8'])
      for (const how of ['--http1.1', '--http2-prior-knowledge']) {
        const header = ['-H', `x-forwarded-for: 192.0.2.7, ${last}`];
        const status = ['-s', '-o', '/dev/null', '-w', '%{http_code}'];
        assert.equal(await outputOf('curl', ...status, how, ...header, url), '400', last);
      }
    assert.deepEqual(counters, { answered: 0, refused: 10 });
  });

  it('An idle connection ends with GOAWAY, and one that has a request does not', async (t) => {
    let answer = (): void => {};
    const { session, doh } = await sceneFor(t, {
      limits: { idleMs: 100 },
      respond: (packet, client, send) => {
        const copy = Uint8Array.from(packet);
        answer = () => fromZone(copy, client, send);
      },
    });
    const [idle, busy] = [session(), session()];
    await Promise.all([once(idle, 'connect'), once(busy, 'connect')]);
    const goodbye = once(idle, 'goaway');
    const asked = ask(busy);
    await goodbye;
    await once(idle, 'close');
    answer();
    assert.equal((await asked).status, 200);
    await until('the other has closed too', () => doh.counters().open === 0);
  });

  it('A request that never ends costs its connection', async (t) => {
    const { ports, doh, plain, session } = await sceneFor(t, {
      limits: { queryMs: 100, messageMs: 100, idleMs: 500 },
    });
    const slow = session();
    const slowClosed = once(slow, 'close');
    await once(slow, 'connect');
    slow
      .request({ ':method': 'POST', ':path': DOH_PATH, 'content-type': MESSAGE })
      .on('error', () => {});
    const head = `POST ${DOH_PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: ${MESSAGE}\r\ncontent-length: 40\r\n\r\n`;
    for (const octets of [head, head.slice(0, 20), 'G', '']) {
      const socket = connect(ports.plain, '127.0.0.1').on('error', () => {});
      t.after(() => socket.destroy());
      socket.resume();
      socket.write(octets);
      await once(socket, 'close');
    }
    await slowClosed;
    assert.deepEqual([doh.counters().open, plain.counters().open], [0, 0]);
  });

  it('At the limit a new connection takes the place of one that is idle', async (t) => {
    const { session, doh } = await sceneFor(t, { limits: { connections: 3 } });
    for (let i = 0; i < 5; i++) assert.equal((await ask(session())).status, 200);
    const { open, evicted, accepted } = doh.counters();
    assert.deepEqual({ open, evicted, accepted }, { open: 3, evicted: 2, accepted: 5 });
  });

  it('Silent connections over plain HTTP take no more descriptors than the limit, and keep no client out', async (t) => {
    const { ports, plain, open } = await sceneFor(t, {
      limits: { connections: 3, messageMs: 60_000 },
    });
    const ended: number[] = [];
    const silent = (i: number): Socket => {
      const socket = connect(ports.plain, '127.0.0.1');
      t.after(() => socket.destroy());
      return socket.on('error', () => {}).on('close', () => void ended.push(i));
    };
    for (let i = 0; i < 5; i++) await once(silent(i).resume(), 'connect');
    await until('the oldest have ended', () => ended.length === 2);
    assert.deepEqual(ended, [0, 1]);
    const url = `${open}${DOH_PATH}?dns=${query().toString('base64url')}`;
    const status = ['-s', '-o', '/dev/null', '-w', '%{http_code}'];
    assert.equal(await outputOf('curl', ...status, url), '200');
    assert.equal(plain.counters().evicted, 3);
    await plain.close();
    await until('all have ended', () => ended.length === 5);
  });

  it('A client has no more connections than its share, unless it is a trusted proxy', async (t) => {
    const limits = { connectionsPerClient: 2 };
    const { session, doh } = await sceneFor(t, { limits });
    for (let i = 0; i < 2; i++) await ask(session());
    const refused = session();
    await once(refused, 'close');
    assert.equal(doh.counters().refusedPerClient, 1);
    const proxied = await sceneFor(t, { limits, isTrustedProxy: () => true });
    for (let i = 0; i < 4; i++) await ask(proxied.session());
  });

  it('A listener that closes answers the requests that it has', async (t) => {
    let answer = (): void => {};
    const { session, doh, open } = await sceneFor(t, {
      respond: (packet, client, send) => {
        const copy = Uint8Array.from(packet);
        answer = () => fromZone(copy, client, send);
      },
    });
    const client = session();
    const asked = ask(client);
    await until('the request is there', () => doh.counters().open === 1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const closed = doh.close();
    await once(client, 'goaway');
    answer();
    assert.equal((await asked).status, 200);
    await closed;
    assert.ok(open);
  });
});
