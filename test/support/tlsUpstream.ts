/**
 * An upstream over TLS on loopback that a test scripts: it counts connections and questions, and answers every question
 * with one address, unless `answer` decides otherwise. It uses dns-packet, not the codec under test.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import dnsPacket, { type Packet } from 'dns-packet';
import type { Certificates } from './certificates.ts';

export interface TlsQuery {
  readonly name: string;
  /** Octets of the query, without the length before it. */
  readonly octets: number;
  /** Codes of its EDNS options. */
  readonly options: readonly number[];
  /** The number of its connection, from 0 on. */
  readonly connection: number;
  /** Sends the reply. */
  readonly reply: (options?: { readonly keepalive?: number }) => void;
  readonly hangUp: () => void;
}

export interface TlsUpstreamScript {
  /** The name of its file, without `.pem`. */
  readonly certificate?: string;
  /** What to do with each query; default: reply. */
  answer?: (query: TlsQuery) => void;
}

export class ScriptedTlsUpstream {
  readonly port: number;
  readonly queries: TlsQuery[] = [];
  /** Names that clients asked for in SNI; false without. */
  readonly serverNames: (string | false)[] = [];
  connections = 0;
  resumed = 0;
  /** Packets that came to the same port over UDP. */
  plainPackets = 0;
  readonly #server: Server;
  readonly #udp: ReturnType<typeof createSocket>;
  readonly #sockets = new Set<TLSSocket>();
  readonly #script: TlsUpstreamScript;

  private constructor(server: Server, script: TlsUpstreamScript) {
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
    this.#script = script;
    this.#udp = createSocket('udp4').on('message', () => {
      this.plainPackets++;
    });
    server.on('secureConnection', (socket) => this.#onConnection(socket));
  }

  static async start(
    certificates: Certificates,
    script: TlsUpstreamScript = {},
    address = '127.0.0.1',
  ): Promise<ScriptedTlsUpstream> {
    const { certificate = 'server' } = script;
    const [cert, key] = [
      certificates.pem(`${certificate}.pem`),
      certificates.pem(`${certificate}-key.pem`),
    ];
    const server = createServer({ cert, key });
    server.listen(0, address);
    await once(server, 'listening');
    const upstream = new ScriptedTlsUpstream(server, script);
    upstream.#udp.bind(upstream.port, address);
    await once(upstream.#udp, 'listening');
    return upstream;
  }

  get open(): number {
    return this.#sockets.size;
  }

  /** Cuts all connections. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#udp.close();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #onConnection(socket: TLSSocket): void {
    const connection = this.connections++;
    if (socket.isSessionReused()) this.resumed++;
    this.serverNames.push((socket as TLSSocket & { servername: string | false }).servername);
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket)).on('error', () => {});
    let unread = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      unread = Buffer.concat([unread, chunk]);
      while (unread.length >= 2 && unread.length >= 2 + unread.readUInt16BE(0)) {
        const end = 2 + unread.readUInt16BE(0);
        this.#onQuery(socket, connection, unread.subarray(2, end));
        unread = unread.subarray(end);
      }
    });
  }

  #onQuery(socket: TLSSocket, connection: number, packet: Buffer): void {
    const query = dnsPacket.decode(packet);
    const opt = query.additionals?.find((record) => record.type === 'OPT');
    const seen: TlsQuery = {
      name: query.questions?.[0]?.name ?? '',
      octets: packet.length,
      options: opt?.type === 'OPT' ? opt.options.map(({ code }) => Number(code)) : [],
      connection,
      reply: ({ keepalive } = {}) => void socket.write(replyTo(query, keepalive)),
      hangUp: () => void socket.destroy(),
    };
    this.queries.push(seen);
    if (this.#script.answer === undefined) seen.reply();
    else this.#script.answer(seen);
  }
}

function replyTo(query: Packet, keepalive: number | undefined): Buffer {
  const data = Buffer.alloc(2);
  data.writeUInt16BE(keepalive ?? 0);
  const options = keepalive === undefined ? [] : [{ code: 11 as never, data }];
  return dnsPacket.streamEncode({
    type: 'response',
    id: query.id ?? 0,
    flags: 0x0180,
    questions: query.questions ?? [],
    answers: (query.questions ?? []).map(({ name }) => ({
      type: 'A',
      name,
      ttl: 60,
      data: '192.0.2.1',
    })),
    additionals: [
      {
        type: 'OPT',
        name: '.',
        udpPayloadSize: 1232,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: 0,
        flag_do: false,
        options,
      },
    ],
  } as Packet);
}
