/**
 * A resolver to forward to, on loopback, UDP and TCP on one port, that answers from a few records and misbehaves on
 * request. It speaks through dns-packet, not through the codec under test.
 */
import assert from 'node:assert/strict';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import dnsPacket, { type Packet } from 'dns-packet';
import { type Behaviour, makeReply, parseRecord } from './upstreamReply.ts';

export interface SeenQuery {
  readonly name: string;
  readonly type: string;
  readonly id: number;
  readonly transport: 'udp' | 'tcp';
  readonly clientPort: number;
  /** The OPT record's size and DO; `undefined` without OPT. */
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
  /** Zone-file lines, `name ttl type rdata`; without any, every name is NXDOMAIN. */
  readonly records?: readonly string[];
  readonly behaviour?: Behaviour | ((query: SeenQuery) => Behaviour);
  /** Default 127.0.0.1. */
  readonly address?: string;
  /** Default any free one. */
  readonly port?: number;
}

/** Starts an upstream; whoever starts it closes it. */
export async function startUpstream(options: TestUpstreamOptions = {}): Promise<TestUpstream> {
  const address = options.address ?? '127.0.0.1';
  const { udp, tcp } = await listen(address, options.port ?? 0);
  const queries: SeenQuery[] = [];
  const connections = new Set<Socket>();
  const timers = new Set<NodeJS.Timeout>();
  let records = (options.records ?? []).map(parseRecord);
  let behaviour = options.behaviour ?? {};

  function handle(
    packet: Buffer,
    transport: 'udp' | 'tcp',
    clientPort: number,
    send: (reply: Uint8Array) => void,
    hangUp: () => void,
  ): void {
    const query = dnsPacket.decode(packet);
    const seen = describe(query, transport, clientPort);
    queries.push(seen);
    const how = typeof behaviour === 'function' ? behaviour(seen) : behaviour;
    if (how.drop === true || how.drop === transport) return;
    if (how.closeTcp === true && transport === 'tcp') {
      hangUp();
      return;
    }
    const reply = () => {
      for (const noise of how.noise?.(packet) ?? []) send(noise);
      send(dnsPacket.encode(makeReply(query, transport, records, how)));
    };
    const timer = setTimeout(() => {
      timers.delete(timer);
      reply();
    }, how.delayMs ?? 0);
    timers.add(timer);
  }

  udp.on('message', (packet, { port, address: client }) => {
    const send = (reply: Uint8Array) => udp.send(reply, port, client, () => {});
    handle(packet, 'udp', port, send, () => {});
  });
  tcp.on('connection', (socket) => {
    connections.add(socket);
    socket.on('close', () => connections.delete(socket)).on('error', () => {});
    const dribble = () => typeof behaviour !== 'function' && behaviour.dribble === true;
    onFrame(socket, (packet) =>
      handle(
        packet,
        'tcp',
        socket.remotePort ?? 0,
        (reply) => void writeFrame(socket, reply, dribble()),
        () => socket.destroy(),
      ),
    );
  });

  return {
    address,
    port: udp.address().port,
    queries,
    behave: (next) => {
      behaviour = next;
    },
    serve: (next) => {
      records = next.map(parseRecord);
    },
    async close() {
      for (const timer of timers) clearTimeout(timer);
      for (const connection of connections) connection.destroy();
      await Promise.all([closed(udp), closed(tcp)]);
    },
  };
}

/** UDP and TCP sockets on the same port. */
async function listen(address: string, wanted: number): Promise<{ udp: UdpSocket; tcp: Server }> {
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

function onFrame(socket: Socket, take: (packet: Buffer) => void): void {
  let unread = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    unread = Buffer.concat([unread, chunk]);
    while (unread.length >= 2 && unread.length >= 2 + unread.readUInt16BE(0)) {
      const end = 2 + unread.readUInt16BE(0);
      take(unread.subarray(2, end));
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
