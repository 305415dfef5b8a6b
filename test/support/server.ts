/** A whole server in this process, started from command-line options like the real one, and a DNS client for it. */
import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { type Server, startServer } from '../../src/app/server.ts';
import { readConfig } from '../../src/config/config.ts';
import type { FlagValue } from '../../src/config/settings.ts';
import type { SocketAddress } from '../../src/dns/address.ts';
import { decodeMessage } from '../../src/dns/decode.ts';
import { encodeQuery } from '../../src/dns/encode.ts';
import type { Message, Question } from '../../src/dns/message.ts';
import type { Log } from '../../src/observability/log.ts';
import { until } from './until.ts';

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface TestServer extends Server {
  readonly dns: SocketAddress;
  readonly lines: readonly LogLine[];
}

/** The token of every test server. */
const TOKEN = 'of-the-tests';

export const WITH_TOKEN = { Authorization: `Bearer ${TOKEN}` } as const;

/** Starts a server with `serve`'s options on free loopback ports and waits until it is ready. */
export async function startTestServer(
  flags: Readonly<Record<string, FlagValue>>,
  options: { readonly awaitReady?: boolean } = {},
): Promise<TestServer> {
  // Without worker threads, which take a second to start from source; tests of workers set the option.
  const listening = { addr: '127.0.0.1:0', http: '127.0.0.1:0', workers: '0' };
  const defaults = { ...listening, store: 'memory:', 'no-rec': true };
  const read = readConfig({
    flags: { ...defaults, ...flags },
    env: { SORADNS_HTTP_TOKEN: TOKEN },
    readFile: () => ({ problem: 'no files here' }),
    stateDirectory: '/nonexistent',
  });
  assert.ok(read.kind === 'config', `mistakes: ${JSON.stringify(read)}`);
  const lines: LogLine[] = [];
  const started = await startServer(read.config, memoryLog(lines));
  assert.ok(started.kind === 'started', JSON.stringify(started));
  const { server } = started;
  if (options.awaitReady !== false) {
    await until('the server is ready', () => server.readiness().length === 0);
  }
  return { ...server, dns: server.endpoints[0] as SocketAddress, lines };
}

/** The environment with which a client command uses this server. */
export function clientEnv({ http, dns }: TestServer): Record<string, string> {
  return {
    SORADNS_STORE: `http://${http?.address}:${http?.port}`,
    SORADNS_TOKEN: TOKEN,
    SORADNS_SERVER: `${dns.address}:${dns.port}`,
  };
}

/** Puts services, by their keys below `/skydns/`, over HTTP. */
export async function putServices(
  { http }: TestServer,
  services: Readonly<Record<string, unknown>>,
): Promise<void> {
  for (const [key, value] of Object.entries(services)) {
    const url = `http://${http?.address}:${http?.port}/v2/keys/skydns/${key}`;
    const body = new URLSearchParams({ value: JSON.stringify(value) });
    const { ok, status } = await fetch(url, { method: 'PUT', headers: WITH_TOKEN, body });
    assert.ok(ok, `${key}: HTTP ${status}`);
  }
}

function memoryLog(lines: LogLine[]): Log {
  const writer = (level: string) => (fields: LogLine['fields'], message: string) => {
    lines.push({ level, message, fields });
  };
  return {
    debug: () => {},
    info: writer('info'),
    warn: writer('warn'),
    error: writer('error'),
    setLevel: () => {},
    close: () => {},
  };
}

export interface QueryOptions {
  readonly transport?: 'udp' | 'tcp';
  readonly edns?: { readonly udpSize: number; readonly dnssecOk: boolean };
  readonly recursionDesired?: boolean;
}

/** Sends one question; returns the decoded reply and rejects after 5 s. */
export async function query(
  to: SocketAddress,
  question: Question,
  options: QueryOptions = {},
): Promise<Message> {
  const packet = encodeQuery({
    id: 0x5ada,
    question,
    recursionDesired: options.recursionDesired ?? true,
    checkingDisabled: false,
    edns: options.edns,
  });
  const reply = await (options.transport === 'tcp' ? overTcp(to, packet) : overUdp(to, packet));
  const message = decodeMessage(reply);
  assert.ok(message !== undefined, `not a message: ${Buffer.from(reply).toString('hex')}`);
  return message;
}

async function overUdp(to: SocketAddress, packet: Uint8Array): Promise<Uint8Array> {
  const socket = dgram.createSocket(to.address.includes(':') ? 'udp6' : 'udp4');
  try {
    socket.send(packet, to.port, to.address);
    const [reply] = await once(socket, 'message', { signal: AbortSignal.timeout(5_000) });
    return reply as Uint8Array;
  } finally {
    socket.close();
  }
}

async function overTcp(to: SocketAddress, packet: Uint8Array): Promise<Uint8Array> {
  const socket = net.connect(to.port, to.address);
  socket.setTimeout(5_000, () => socket.destroy(new Error('no reply over TCP')));
  const length = Buffer.alloc(2);
  length.writeUInt16BE(packet.length);
  socket.end(Buffer.concat([length, packet]));
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).subarray(2);
}
