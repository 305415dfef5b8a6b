/** dnstap with fstrm_capture and dnstap-ldns as readers: every message arrives, and no reader holds up an answer. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { encodeQuery } from '../../src/dns/encode.ts';
import { Type } from '../../src/dns/rr.ts';
import { makeCertificates } from '../support/certificates.ts';
import { FramedClient } from '../support/framedClient.ts';
import { freePort } from '../support/freePort.ts';
import { send } from '../support/httpRequest.ts';
import { startTestServer, type TestServer, WITH_TOKEN } from '../support/server.ts';
import {
  type CapturedMessage,
  captureSkipReason,
  startCapture,
  type TapCapture,
} from '../support/tapCapture.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';
import { ScriptedTlsUpstream } from '../support/tlsUpstream.ts';
import { openUdpClient } from '../support/udpClient.ts';
import { until } from '../support/until.ts';
import { startUpstream } from '../support/upstream.ts';
import { name } from '../support/zone.ts';

const skip = captureSkipReason();

type Flags = Parameters<typeof startTestServer>[0];

/** A server with one name, whose messages go to the folder's socket. */
async function startTapped(folder: string, flags: Flags = {}): Promise<TestServer> {
  const tap = { dnstap: `unix:${join(folder, 'tap.sock')}`, workers: '1' };
  const server = await startTestServer({ ...tap, ...flags });
  const value = encodeURIComponent('{"host":"192.0.2.1","text":"hello"}');
  const stored = await send(urlOf(server), {
    method: 'PUT',
    path: '/v2/keys/skydns/local/skydns/web',
    body: `value=${value}`,
    headers: WITH_TOKEN,
  });
  assert.equal(stored.status, 201);
  return server;
}

const urlOf = ({ http }: TestServer): string => `http://127.0.0.1:${http?.port}`;

function packetFor(qname: string, qtype: number, id: number): Uint8Array {
  const question = { qname: name(qname), qtype, qclass: 1 };
  const edns = id % 2 === 0 ? { udpSize: 1232, dnssecOk: false } : undefined;
  return encodeQuery({ id, question, recursionDesired: true, checkingDisabled: false, edns });
}

/** Asks over UDP, one after the other; returns the packets sent and received. */
async function askAll(
  t: TestContext,
  { dns }: TestServer,
  packets: readonly Uint8Array[],
): Promise<Uint8Array[]> {
  const client = await openUdpClient(t);
  const seen: Uint8Array[] = [];
  for (const packet of packets) {
    seen.push(packet, (await client.ask(dns.port, '127.0.0.1', packet)).reply);
  }
  return seen;
}

/** soradns_dnstap_total. */
async function counted(server: TestServer): Promise<{ written: number; dropped: number }> {
  const { body } = await send(urlOf(server), { path: '/metrics' });
  const value = (result: string): number =>
    Number(
      new RegExp(`^soradns_dnstap_total\\{result="${result}"\\} (\\d+)$`, 'm').exec(body)?.[1],
    );
  return { written: value('written'), dropped: value('dropped') };
}

async function untilWritten(server: TestServer, messages: number): Promise<void> {
  await until(`${messages} messages are written`, async () => {
    return (await counted(server)).written >= messages;
  });
}

function untilConnected({ lines }: TestServer, times = 1): Promise<void> {
  const isConnection = ({ message }: { message: string }) => /^dnstap: connected/.test(message);
  return until('the reader is connected', () => lines.filter(isConnection).length >= times);
}

const sorted = (packets: readonly Uint8Array[]): string[] =>
  packets.map((packet) => Buffer.from(packet).toString('hex')).sort();

const typesOf = (messages: readonly CapturedMessage[]): string[] =>
  [...new Set(messages.map(({ type, protocol }) => `${type} ${protocol}`))].sort();

async function tempDir(t: TestContext): Promise<string> {
  const folder = await newTempDir();
  t.after(() => removeDir(folder));
  return folder;
}

async function capturing(
  t: TestContext,
  folder: string,
  ...more: [string?, number?]
): Promise<TapCapture> {
  const capture = await startCapture(folder, more[0] ?? 'captured', more[1]);
  t.after(() => capture.process.kill('SIGKILL'));
  return capture;
}

test('A reader gets each packet of UDP and TCP clients and each reply, from the table and from the slow path', {
  skip,
}, async (t) => {
  const folder = await tempDir(t);
  const capture = await capturing(t, folder);
  const server = await startTapped(folder, { identity: 'dns1' });
  t.after(() => server.close());
  await untilConnected(server);
  const packets = Array.from({ length: 60 }, (_, i) => [
    packetFor('web.skydns.local.', Type.A, 3 * i),
    packetFor(`no${i}.skydns.local.`, Type.TXT, 3 * i + 1),
    packetFor(i % 10 === 0 ? '*.skydns.local.' : 'web.skydns.local.', Type.TXT, 3 * i + 2),
  ]).flat();
  const seen = await askAll(t, server, [...packets, packetFor('web.example.org.', Type.A, 500)]);
  const stream = await FramedClient.connect(server.dns.port);
  t.after(() => stream.socket.destroy());
  const overTcp = packets.slice(0, 9);
  for (const packet of overTcp) stream.send(packet);
  await stream.untilReplies(overTcp.length);
  seen.push(...overTcp, ...stream.replies);
  await untilWritten(server, seen.length);
  assert.deepEqual(await counted(server), { written: seen.length, dropped: 0 });
  await server.close();
  const { messages, lines } = await capture.stop();
  assert.equal(lines.length, seen.length, 'dnstap-ldns reads all of them');
  assert.deepEqual(sorted(messages.map(({ octets }) => octets)), sorted(seen));
  assert.deepEqual(typesOf(messages), [
    ...['AUTH_QUERY 1', 'AUTH_QUERY 2', 'AUTH_RESPONSE 1', 'AUTH_RESPONSE 2'],
    ...['CLIENT_QUERY 1', 'CLIENT_RESPONSE 1'],
  ]);
  const nowSeconds = Date.now() / 1000;
  for (const message of messages) {
    assert.match(message.version ?? '', /^soradns \d/);
    assert.equal(message.identity, 'dns1');
    assert.equal(message.queryAddress, '127.0.0.1');
    assert.equal(message.responseAddress, '127.0.0.1');
    assert.equal(message.responsePort, server.dns.port);
    assert.ok(Math.abs(nowSeconds - message.querySeconds) < 60);
  }
  const ours = messages.filter(({ type }) => type.startsWith('CLIENT'));
  assert.equal(ours.length, 2, 'only the name outside the domains');
});

test('Questions to upstreams are messages too with --dnstap-what forwarder', {
  skip,
}, async (t) => {
  const folder = await tempDir(t);
  const capture = await capturing(t, folder);
  const upstream = await startUpstream({
    records: ['a.example.org. 60 A 192.0.2.7'],
    behaviour: { truncate: true },
  });
  t.after(() => upstream.close());
  const server = await startTapped(folder, {
    'no-rec': false,
    nameservers: `${upstream.address}:${upstream.port}`,
    'dnstap-what': ['client', 'forwarder'],
  });
  t.after(() => server.close());
  await untilConnected(server);
  const seen = await askAll(t, server, [packetFor('a.example.org.', Type.A, 7)]);
  await untilWritten(server, 6);
  await server.close();
  const { messages } = await capture.stop();
  assert.deepEqual(typesOf(messages), [
    ...['CLIENT_QUERY 1', 'CLIENT_RESPONSE 1'],
    ...['FORWARDER_QUERY 1', 'FORWARDER_QUERY 2', 'FORWARDER_RESPONSE 1', 'FORWARDER_RESPONSE 2'],
  ]);
  const ofClients = messages.filter(({ type }) => type.startsWith('CLIENT'));
  assert.deepEqual(sorted(ofClients.map(({ octets }) => octets)), sorted(seen));
  const queries = messages.filter(({ type }) => type === 'FORWARDER_QUERY');
  const ids = queries.map(({ octets }) => octets.readUInt16BE(0));
  assert.deepEqual(
    ids,
    upstream.queries.map(({ id }) => id),
  );
  assert.deepEqual(
    queries.map(({ queryPort }) => queryPort),
    upstream.queries.map(({ clientPort }) => clientPort),
  );
  assert.ok(queries.every(({ responsePort }) => responsePort === upstream.port));
});

test('Messages about DNS over TLS and over HTTPS have their protocol, the addresses and the identity of the server', {
  skip,
}, async (t) => {
  const folder = await tempDir(t);
  const capture = await capturing(t, folder);
  const certificates = makeCertificates();
  t.after(() => certificates.remove());
  const upstream = await ScriptedTlsUpstream.start(certificates);
  t.after(() => upstream.close());
  const [dot, doh] = [await freePort(), await freePort()];
  const server = await startTapped(folder, {
    'no-rec': false,
    nameservers: `tls://127.0.0.1:${upstream.port}#localhost`,
    'upstream-ca': certificates.path('ca.pem'),
    'dnstap-what': ['client', 'forwarder'],
    'server-cert': certificates.path('server.pem'),
    'server-key': certificates.path('server-key.pem'),
    identity: 'dns1.example.org',
    dot: [`127.0.0.1:${dot}`],
    'doh-plain': [`127.0.0.1:${doh}`],
  });
  t.after(() => server.close());
  await untilConnected(server);
  const stored = packetFor('web.skydns.local.', Type.A, 1);
  const outside = packetFor('web.example.org.', Type.A, 3);
  const seen: Uint8Array[] = [];
  for (const packet of [stored, outside]) {
    seen.push(packet, await askOverTls(dot, packet), packet, await askOverHttp(doh, packet));
  }
  await untilWritten(server, 10);
  await server.close();
  const { messages } = await capture.stop();
  assert.deepEqual(typesOf(messages), [
    ...['AUTH_QUERY 3', 'AUTH_QUERY 4', 'AUTH_RESPONSE 3', 'AUTH_RESPONSE 4'],
    ...['CLIENT_QUERY 3', 'CLIENT_QUERY 4', 'CLIENT_RESPONSE 3', 'CLIENT_RESPONSE 4'],
    ...['FORWARDER_QUERY 3', 'FORWARDER_RESPONSE 3'],
  ]);
  const isForwarder = ({ type }: CapturedMessage): boolean => type.startsWith('FORWARDER');
  const ofClients = messages.filter((message) => !isForwarder(message));
  assert.deepEqual(sorted(ofClients.map(({ octets }) => octets)), sorted(seen));
  for (const message of messages) {
    const { identity, queryAddress, responseAddress, protocol, responsePort } = message;
    assert.equal(identity, 'dns1.example.org');
    assert.deepEqual([queryAddress, responseAddress], ['127.0.0.1', '127.0.0.1']);
    const port = isForwarder(message) ? upstream.port : protocol === 3 ? dot : doh;
    assert.equal(responsePort, port);
  }
});

async function askOverTls(port: number, packet: Uint8Array): Promise<Buffer> {
  const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
  try {
    await once(socket, 'secureConnect');
    socket.write(Buffer.concat([Buffer.from([packet.length >> 8, packet.length & 255]), packet]));
    let received = Buffer.alloc(0);
    for await (const chunk of socket) {
      received = Buffer.concat([received, chunk]);
      if (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) break;
    }
    return received.subarray(2);
  } finally {
    socket.destroy();
  }
}

async function askOverHttp(port: number, packet: Uint8Array): Promise<Buffer> {
  const response = await fetch(`http://127.0.0.1:${port}/dns-query`, {
    method: 'POST',
    headers: { 'content-type': 'application/dns-message' },
    body: Uint8Array.from(packet),
  });
  assert.equal(response.status, 200);
  return Buffer.from(await response.arrayBuffer());
}

test('With --dnstap-sample 10 the reader gets one query in ten, with its reply', {
  skip,
}, async (t) => {
  const folder = await tempDir(t);
  const port = await freePort();
  const capture = await capturing(t, folder, 'captured', port);
  const server = await startTapped(folder, {
    dnstap: `tcp://127.0.0.1:${port}`,
    'dnstap-sample': '10',
  });
  t.after(() => server.close());
  await untilConnected(server);
  await askAll(t, server, [packetFor('web.skydns.local.', Type.A, 1)]); // it is published now
  const packets = Array.from({ length: 100 }, (_, i) => packetFor('web.skydns.local.', Type.A, i));
  await askAll(t, server, packets);
  await untilWritten(server, 22);
  await server.close();
  const { messages } = await capture.stop();
  const ids = messages.map(({ octets }) => octets.readUInt16BE(0));
  for (let i = 0; i < ids.length; i += 2) assert.equal(ids[i], ids[i + 1]);
  assert.ok(messages.length === 22 || messages.length === 24, `${messages.length} messages`);
});

test('While the reader is stopped, answers go on and messages are dropped and counted; later ones reach it again', {
  skip,
}, async (t) => {
  const folder = await tempDir(t);
  const capture = await capturing(t, folder);
  const server = await startTapped(folder);
  t.after(() => server.close());
  await untilConnected(server);
  capture.process.kill('SIGSTOP');
  const client = await openUdpClient(t);
  let replies = 0;
  client.socket.on('message', () => replies++);
  let sent = 0;
  const isEnough = async (): Promise<boolean> => {
    for (let i = 0; i < 500; i++)
      client.socket.send(packetFor('web.skydns.local.', Type.A, sent++ % 65_536), server.dns.port);
    await until('the answers come', () => replies >= sent * 0.5);
    return (await counted(server)).dropped > 0;
  };
  await until('messages are dropped', isEnough, 30_000);
  const { length: slowLines } = server.lines.filter(({ message }) => /too slow/.test(message));
  assert.ok(slowLines <= 1);
  capture.process.kill('SIGCONT');
  const last = packetFor('last.skydns.local.', Type.A, 4711);
  let before = -1;
  await until('the reader has read all', async () => {
    const { written } = await counted(server);
    const isStill = written === before;
    before = written;
    await sleep(100);
    return isStill;
  });
  const [, reply] = await askAll(t, server, [last]);
  const { written, dropped } = await counted(server);
  await server.close();
  const { messages } = await capture.stop();
  assert.ok(messages.length >= written);
  assert.ok(dropped > 0);
  assert.ok(messages.some(({ octets }) => octets.equals(reply as Buffer)));
});

test('A reader that comes later gets messages, and one that is away costs one line of the log', {
  skip,
}, async (t) => {
  const folder = await tempDir(t);
  const server = await startTapped(folder);
  t.after(() => server.close());
  const early = await askAll(t, server, [packetFor('web.skydns.local.', Type.A, 1)]);
  const first = await capturing(t, folder, 'first');
  await untilConnected(server);
  await untilWritten(server, 2);
  const got = await first.stop();
  assert.deepEqual(sorted(got.messages.map(({ octets }) => octets)), sorted(early));
  const isLoss = ({ message }: { message: string }) => /^dnstap: no reader/.test(message);
  await until('the loss is logged', () => server.lines.filter(isLoss).length === 2);
  const second = await capturing(t, folder, 'second');
  await untilConnected(server, 2);
  const late = await askAll(t, server, [packetFor('web.skydns.local.', Type.AAAA, 2)]);
  await untilWritten(server, 4);
  await server.close();
  const { messages } = await second.stop();
  assert.deepEqual(sorted(messages.map(({ octets }) => octets)), sorted(late));
  assert.equal(server.lines.filter(isLoss).length, 2);
});
