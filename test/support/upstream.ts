/**
 * An upstream resolver on loopback, with UDP and TCP on one port, that answers from a few records and misbehaves on
 * request. It uses dns-packet, not the codec under test.
 */
import assert from 'node:assert/strict';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import dnsPacket, { type Answer, type Packet } from 'dns-packet';
import { type Behaviour, makeReply, parseRecord } from './upstreamReply.ts';

export interface SeenQuery {
  readonly name: string;
  readonly type: string;
  readonly id: number;
  readonly transport: 'udp' | 'tcp';
  readonly clientPort: number;
  /** The OPT record's UDP size and DO bit; `undefined` without OPT. */
  readonly edns: { readonly udpSize: number; readonly dnssecOk: boolean } | undefined;
  readonly checkingDisabled: boolean;
}

export interface TestUpstream {
  readonly address: string;
  readonly port: number;
  readonly queries: readonly SeenQuery[];
  /** Replaces the behaviour from the next query on. */
  behave(behaviour: Behaviour | ((query: SeenQuery) => Behaviour)): void;
  /** Replaces the records. */
  serve(records: readonly string[]): void;
  close(): Promise<void>;
}

export interface TestUpstreamOptions {
  /** Zone-file lines, `name ttl type rdata`; without records every name is NXDOMAIN. */
  readonly records?: readonly string[];
  readonly behaviour?: Behaviour | ((query: SeenQuery) => Behaviour);
  /** Default 127.0.0.1. */
  readonly address?: string;
  /** Default: any free port. */
  readonly port?: number;
}

/** Starts an upstream; the caller closes it. */
export async function startUpstream(options: TestUpstreamOptions = {}): Promise<TestUpstream> {
  const { address = '127.0.0.1', port = 0 } = options;
  return new Upstream(address, await listen(address, port), options);
}

interface Servers {
  readonly udp: UdpSocket;
  readonly tcp: Server;
}

/** A received query, with the functions that answer it. */
interface ReceivedQuery {
  readonly packet: Buffer;
  readonly transport: 'udp' | 'tcp';
  readonly clientPort: number;
  readonly send: (reply: Uint8Array) => void;
  readonly hangUp: () => void;
}

class Upstream implements TestUpstream {
  readonly address: string;
  readonly port: number;
  readonly queries: SeenQuery[] = [];
  readonly #servers: Servers;
  readonly #connections = new Set<Socket>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #records: readonly Answer[] = [];
  #behaviour: Behaviour | ((query: SeenQuery) => Behaviour);

  constructor(address: string, servers: Servers, options: TestUpstreamOptions) {
    this.address = address;
    this.port = servers.udp.address().port;
    this.#servers = servers;
    this.#behaviour = options.behaviour ?? {};
    this.serve(options.records ?? []);
    servers.udp.on('message', (packet, { port: clientPort, address: client }) => {
      const send = (reply: Uint8Array) => servers.udp.send(reply, clientPort, client, () => {});
      this.#onQuery({ packet, transport: 'udp', clientPort, send, hangUp: () => {} });
    });
    servers.tcp.on('connection', (socket) => this.#onConnection(socket));
  }

  behave(behaviour: Behaviour | ((query: SeenQuery) => Behaviour)): void {
    this.#behaviour = behaviour;
  }

  serve(records: readonly string[]): void {
    this.#records = records.map(parseRecord);
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    for (const connection of this.#connections) connection.destroy();
    await Promise.all([closed(this.#servers.udp), closed(this.#servers.tcp)]);
  }

  #onConnection(socket: Socket): void {
    this.#connections.add(socket);
    socket.on('close', () => this.#connections.delete(socket)).on('error', () => {});
    const clientPort = socket.remotePort ?? 0;
    const send = (reply: Uint8Array) => void writeFrame(socket, reply, this.#dribbles());
    const hangUp = () => void socket.destroy();
    onFrame(socket, (packet) =>
      this.#onQuery({ packet, transport: 'tcp', clientPort, send, hangUp }),
    );
  }

  #dribbles(): boolean {
    return typeof this.#behaviour !== 'function' && this.#behaviour.dribble === true;
  }

  #onQuery({ packet, transport, clientPort, send, hangUp }: ReceivedQuery): void {
    const query = dnsPacket.decode(packet);
    const seen = describe(query, transport, clientPort);
    this.queries.push(seen);
    const behaviour =
      typeof this.#behaviour === 'function' ? this.#behaviour(seen) : this.#behaviour;
    if (behaviour.drop === true || behaviour.drop === transport) return;
    if (behaviour.closeTcp === true && transport === 'tcp') {
      hangUp();
      return;
    }
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      for (const noise of behaviour.noise?.(packet) ?? []) send(noise);
      send(dnsPacket.encode(makeReply(query, transport, this.#records, behaviour)));
    }, behaviour.delayMs ?? 0);
    this.#timers.add(timer);
  }
}

/** UDP and TCP sockets on the same port. */
async function listen(address: string, wanted: number): Promise<Servers> {
  for (let attempt = 1; ; attempt++) {
    const udp = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    udp.bind(wanted, address);
    await once(udp, 'listening');
    const tcp = createServer();
    try {
      tcp.listen(udp.address().port, address);
      await once(tcp, 'listening');
      return { udp, tcp };
    } catch (error) {
      await closed(udp);
      if (wanted !== 0 || attempt === 20) throw error;
    }
  }
}

function closed(server: UdpSocket | Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}

function describe(query: Packet, transport: 'udp' | 'tcp', clientPort: number): SeenQuery {
  const [question] = query.questions ?? [];
  assert.ok(question, 'a query without a question');
  const opt = query.additionals?.find((record) => record.type === 'OPT');
  return {
    name: question.name,
    type: question.type,
    id: query.id ?? 0,
    transport,
    clientPort,
    edns:
      opt?.type === 'OPT'
        ? { udpSize: opt.udpPayloadSize, dnssecOk: (opt.flags & 0x8000) !== 0 }
        : undefined,
    checkingDisabled: ((query.flags ?? 0) & 0x10) !== 0,
  };
}

function onFrame(socket: Socket, onPacket: (packet: Buffer) => void): void {
  let unread = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    unread = Buffer.concat([unread, chunk]);
    while (unread.length >= 2 && unread.length >= 2 + unread.readUInt16BE(0)) {
      const end = 2 + unread.readUInt16BE(0);
      onPacket(unread.subarray(2, end));
      unread = unread.subarray(end);
    }
  });
}

async function writeFrame(socket: Socket, reply: Uint8Array, dribble: boolean): Promise<void> {
  const frame = Buffer.alloc(2 + reply.length);
  frame.writeUInt16BE(reply.length, 0);
  frame.set(reply, 2);
  if (!dribble) {
    socket.write(frame);
    return;
  }
  socket.setNoDelay(true);
  for (const octet of frame) {
    socket.write(Buffer.from([octet]));
    await new Promise((resolve) => setImmediate(resolve));
  }
}
