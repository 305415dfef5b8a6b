/** DNS over TLS with real clients: handshakes, certificates, and the same limits as over TCP. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, renameSync, utimesSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { after, before, describe, it, type TestContext } from 'node:test';
import type { TLSSocket } from 'node:tls';
import dnsPacket, { type Packet } from 'dns-packet';
import type { Respond } from '../../src/dns/message.ts';
import { StreamTable } from '../../src/server/tcp/streamTable.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { FastZone } from '../support/fastZone.ts';
import {
  connectTls,
  isThere,
  outputOf,
  type SecureSceneOptions,
  startSecureScene,
} from '../support/secureServer.ts';
import { until } from '../support/until.ts';

const NAME = 'web.skydns.local';

let certificates: Certificates;
let zone: FastZone;
before(() => {
  certificates = makeCertificates();
  zone = new FastZone();
  zone.put('local/skydns/web', { host: '10.0.0.1' });
  for (let i = 0; i < 60; i++) zone.put(`local/skydns/many/${i}`, { host: `10.0.1.${i}` });
  zone.setFreshness('synced');
});
after(() => certificates?.remove());

const fromZone: Respond = (packet, _client, send) => {
  const reply = zone.slow(Buffer.from(packet), 'tcp');
  if (reply !== undefined) send(reply);
};

/** With `respond` all queries go to it. */
function sceneFor(t: TestContext, options: Partial<SecureSceneOptions> = {}) {
  const table = new StreamTable(zone.table.handle, () => zone.nowMs);
  const answering = options.respond === undefined ? { table, respond: fromZone } : {};
  return startSecureScene(t, { certificates, respond: fromZone, ...answering, ...options });
}

function query(id: number, name = NAME, options: readonly object[] = []): Buffer {
  const opt = {
    ...{ type: 'OPT', name: '.', udpPayloadSize: 1232, extendedRcode: 0, ednsVersion: 0 },
    ...{ flags: 0, flag_do: false, options },
  };
  return dnsPacket.streamEncode({
    ...{ type: 'query', id, flags: 0x0100, questions: [{ type: 'A', name }] },
    additionals: options.length === 0 ? [] : [opt],
  } as Packet);
}

/** Calls back with each reply on the connection. */
function onReplies(socket: TLSSocket, onReply: (reply: Packet, octets: number) => void): void {
  let unread = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    unread = Buffer.concat([unread, chunk]);
    while (unread.length >= 2 && unread.length >= 2 + unread.readUInt16BE(0)) {
      const end = 2 + unread.readUInt16BE(0);
      onReply(dnsPacket.decode(unread.subarray(2, end)), end - 2);
      unread = unread.subarray(end);
    }
  });
}

describe('DNS over TLS', () => {
  it('kdig verifies the certificate and gets the answer', async (t) => {
    if (!(await isThere('kdig'))) return t.skip('kdig is not installed');
    const { ports, dot } = await sceneFor(t);
    const at = ['@127.0.0.1', '-p', String(ports.dot), '+tls-hostname=localhost', '+short'];
    const ca = `+tls-ca=${certificates.path('ca.pem')}`;
    assert.equal(await outputOf('kdig', ...at, ca, NAME), '10.0.0.1\n');
    assert.equal(dot.counters().queries, 1);
    const stranger = `+tls-ca=${certificates.path('stranger.pem')}`;
    await assert.rejects(outputOf('kdig', ...at, stranger, '+retry=0', NAME));
  });

  it('openssl negotiates TLS 1.2 or 1.3, and the protocol dot', async (t) => {
    const { ports } = await sceneFor(t);
    const args = ['s_client', '-connect', `127.0.0.1:${ports.dot}`, '-alpn', 'dot', '-brief'];
    for (const version of ['-tls1_2', '-tls1_3'])
      assert.match(await outputOf('openssl', ...args, version), /ESTABLISHED/);
    const output = await outputOf('openssl', ...args.slice(0, -1));
    assert.match(output, /ALPN protocol: dot/);
    await assert.rejects(
      outputOf('openssl', ...args, '-tls1_1', '-cipher', 'ALL@SECLEVEL=0'),
      /alert protocol version|unsupported protocol/,
    );
  });

  it('A padded query gets a padded reply, and the keepalive option the idle time', async (t) => {
    const { ports } = await sceneFor(t);
    const socket = await connectTls(t, ports.dot, certificates);
    const replies: { readonly codes: readonly number[]; readonly octets: number }[] = [];
    onReplies(socket, ({ additionals = [] }, octets) => {
      const opt = additionals.find(({ type }) => type === 'OPT');
      const codes = opt?.type === 'OPT' ? opt.options.map(({ code }) => Number(code)) : [];
      replies.push({ codes, octets });
    });
    const padding = { code: 12, data: Buffer.alloc(20) };
    const keepalive = { code: 11, data: Buffer.alloc(0) };
    // The first of each pair comes from the slow path, the second from the table.
    for (const options of [[padding], [padding], [keepalive, padding], [keepalive], []])
      for (const _ of [1, 2]) {
        const before = replies.length;
        socket.write(query(1, NAME, options));
        await until('the reply is there', () => replies.length > before);
        zone.publish(query(1).subarray(2));
      }
    const plainOctets = 50;
    assert.deepEqual(
      replies.map(({ codes, octets }) => [octets, ...codes]),
      [
        ...Array(4).fill([468, 12]),
        ...Array(2).fill([468, 11, 12]),
        ...Array(2).fill([plainOctets + 11 + 6, 11]),
        ...Array(2).fill([plainOctets]),
      ],
    );
  });

  it('Replies over TLS come in the order in which they are ready', async (t) => {
    const held = new Map<number, () => void>();
    const { ports } = await sceneFor(t, {
      respond: (packet, client, send) => {
        const [high = 0, low = 0] = packet;
        const copy = Uint8Array.from(packet);
        held.set(high * 256 + low, () => fromZone(copy, client, send));
      },
    });
    const socket = await connectTls(t, ports.dot, certificates);
    const ids: number[] = [];
    onReplies(socket, ({ id = 0 }) => void ids.push(id));
    socket.write(Buffer.concat([1, 2, 3].map((id) => query(id, `x${id}.skydns.local`))));
    await until('the server has the queries', () => held.size === 3);
    for (const id of [3, 1, 2]) held.get(id)?.();
    await until('the replies are there', () => ids.length === 3);
    assert.deepEqual(ids, [3, 1, 2]);
  });

  it('Clients that never finish a handshake do not keep others from theirs', async (t) => {
    const { ports, handshakes, dot } = await sceneFor(t, {
      handshakeLimits: { underWay: 20, timeoutMs: 5_000 },
    });
    const silent = Array.from({ length: 200 }, () => connect(ports.dot, '127.0.0.1'));
    t.after(() => {
      for (const socket of silent) socket.destroy();
    });
    await Promise.all(
      silent.map((socket) =>
        once(
          socket.on('error', () => {}),
          'connect',
        ),
      ),
    );
    await until('the newest have taken the places', () => handshakes.evicted === 180);
    const socket = await connectTls(t, ports.dot, certificates);
    socket.write(query(7));
    await once(socket, 'data');
    assert.equal(dot.counters().open, 1);
  });

  it('A handshake that takes too long is cut, and so is one that is no TLS', async (t) => {
    const { ports, handshakes } = await sceneFor(t, {
      handshakeLimits: { underWay: 20, timeoutMs: 100 },
    });
    for (const octets of [Buffer.alloc(0), randomBytes(500), query(1)]) {
      const socket = connect(ports.dot, '127.0.0.1').on('error', () => {});
      t.after(() => socket.destroy());
      socket.write(octets);
      socket.resume();
      await once(socket, 'close');
    }
    assert.equal(handshakes.failed, 3);
    assert.equal(handshakes.completed, 0);
  });

  it('A certificate that is renewed under questions loses none, and new connections get it', async (t) => {
    const { ports, certificate, replaceCertificate } = await sceneFor(t);
    const old = await connectTls(t, ports.dot, certificates);
    const names = (socket: TLSSocket) => String(socket.getPeerCertificate().subject.CN);
    assert.equal(names(old), 'server');
    const asked = 10_000;
    let answered = 0;
    let next = 0;
    const askNext = (): void => {
      if (next < asked) old.write(query(next++ & 0xffff));
    };
    onReplies(old, () => {
      answered++;
      askNext();
      if (answered === asked / 2) {
        replaceCertificate('addressed');
        certificate.look();
      }
    });
    for (let i = 0; i < 32; i++) askNext();
    await until('all questions are answered', () => answered === asked, 30_000);
    assert.equal(names(await connectTls(t, ports.dot, certificates)), 'addressed');
    assert.equal(old.destroyed, false);
  });

  it('A pair that cannot be used changes nothing, and is told once', async (t) => {
    const { ports, certificate, files, problems, replaceCertificate } = await sceneFor(t);
    const commonName = async (): Promise<string> => {
      const socket = await connectTls(t, ports.dot, certificates);
      return String(socket.getPeerCertificate().subject.CN);
    };
    writeFileSync(files.keyFile, certificates.pem('client-key.pem'));
    certificate.look();
    certificate.look();
    assert.deepEqual(problems, [
      `--server-key: ${files.keyFile} is not the key of ${files.certFile}`,
    ]);
    writeFileSync(files.certFile, 'not a certificate');
    certificate.look();
    assert.equal(problems.length, 2);
    assert.equal(await commonName(), 'server');
    replaceCertificate('docker');
    certificate.look();
    assert.equal(certificate.pair.names.join(), 'docker');
  });

  it('A certificate that comes by a rename is noticed although its size and time are the same', async (t) => {
    const { certificate, files, replaceCertificate } = await sceneFor(t);
    const time = new Date(1_700_000_000_000);
    replaceCertificate('docker');
    const pem = certificates.pem('docker.pem').toString();
    writeFileSync(files.certFile, `${pem}\n`);
    utimesSync(files.certFile, time, time);
    certificate.look();
    writeFileSync(`${files.certFile}.new`, `\n${pem}`);
    utimesSync(`${files.certFile}.new`, time, time);
    let renewals = 0;
    certificate.onRenewed(() => {
      renewals++;
    });
    renameSync(`${files.certFile}.new`, files.certFile);
    certificate.look();
    assert.equal(renewals, 1);
  });

  it('A certificate whose files have changed in their modes alone is not taken for another', async (t) => {
    const { certificate, files, problems } = await sceneFor(t);
    const { pair } = certificate;
    certificate.look();
    chmodSync(files.certFile, 0o600);
    certificate.look();
    assert.equal(certificate.pair, pair);
    assert.deepEqual(problems, []);
  });

  it('An idle connection ends with a message that openssl accepts as the end', async (t) => {
    const { ports, dot } = await sceneFor(t, { limits: { idleMs: 100 } });
    const client = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${ports.dot}`, '-quiet']);
    t.after(() => client.kill('SIGKILL'));
    client.stdout.resume();
    client.stderr.resume();
    assert.deepEqual(await once(client, 'exit'), [0, null]);
    assert.equal(dot.counters().idle, 1);
  });

  it('A client that does not read its replies is not read from either', async (t) => {
    const { ports, dot } = await sceneFor(t, { limits: { unreadOctets: 64 * 1024 } });
    const socket = await connectTls(t, ports.dot, certificates);
    socket.pause();
    const many = Buffer.concat(
      Array.from({ length: 20_000 }, (_, i) => query(i, 'many.skydns.local')),
    );
    socket.write(many);
    let before = -1;
    await until('the server no longer takes queries', async () => {
      const isStill = dot.counters().queries === before;
      before = dot.counters().queries;
      await new Promise((resolve) => setTimeout(resolve, 50));
      return isStill && before > 0;
    });
    assert.ok(before < 20_000, `${before} queries`);
  });

  it('A listener that closes answers what it has, and says goodbye', async (t) => {
    let answer = (): void => {};
    const { ports, dot } = await sceneFor(t, {
      respond: (packet, client, send) => {
        const copy = Uint8Array.from(packet);
        answer = () => fromZone(copy, client, send);
      },
    });
    const socket = await connectTls(t, ports.dot, certificates);
    const replies: Packet[] = [];
    onReplies(socket, (reply) => void replies.push(reply));
    const ended = once(socket, 'end');
    socket.write(query(5, 'other.skydns.local'));
    await until('the server has the query', () => dot.counters().queries === 1);
    const closed = dot.close();
    await new Promise((resolve) => setTimeout(resolve, 30));
    answer();
    await Promise.all([closed, ended]);
    assert.equal(replies.length, 1);
  });
});
