/**
 * The open connections of HTTP, within the limits: finds out which version of HTTP each new one speaks.
 */
import type { Socket } from 'node:net';
import { clientAddress } from '../../dns/address.ts';
import type { DnsClient } from '../../dns/message.ts';
import type { TcpLimits } from '../tcp/connectionTable.ts';
import { OpenConnections, type OpenCounters } from '../tcp/openConnections.ts';
import { Http1Connections } from './http1Connections.ts';
import { serveHttp2 } from './http2Connection.ts';
import type { HttpConnection, HttpContext } from './httpConnection.ts';

/** The first octets of HTTP/2 (RFC 9113 §3.4). No method of HTTP/1.1 begins with them. */
const PREFACE = Buffer.from('PRI');

/** Checks for timeouts in the idle time. */
const CHECKS_PER_LIMIT = 10;

export class HttpConnections {
  readonly counters: OpenCounters = {
    accepted: 0,
    open: 0,
    refused: 0,
    refusedPerClient: 0,
    evicted: 0,
  };
  readonly #context: HttpContext;
  readonly #limits: TcpLimits;
  readonly #isProxy: (address: string) => boolean;
  readonly #http1: Http1Connections;
  readonly #open: OpenConnections<HttpConnection>;
  /** Connections whose version is not known yet, the oldest first. */
  readonly #unknown = new Set<Socket>();

  /** A proxy has the connections of many clients, so it has no share. */
  constructor(context: HttpContext, limits: TcpLimits, isProxy: (address: string) => boolean) {
    this.#context = context;
    this.#limits = limits;
    this.#isProxy = isProxy;
    this.#http1 = new Http1Connections(context);
    this.#open = new OpenConnections(limits, limits.idleMs / CHECKS_PER_LIMIT, this.counters);
  }

  /**
   * Takes a connection whose first octets tell its version. Silent ones keep no other out: at the limit a new connection
   * takes the place of the oldest, which has had more time to send them.
   */
  admitPlain(socket: Socket): void {
    socket.on('error', () => {}); // at once: a reset may already be pending
    if (this.#unknown.size >= this.#limits.connections) this.#evictOldestUnknown();
    this.#unknown.add(socket);
    socket.setTimeout(this.#limits.messageMs, () => socket.destroy());
    let begun: Buffer = Buffer.alloc(0);
    const look = (chunk: Buffer): void => {
      begun = Buffer.concat([begun, chunk]);
      if (begun.length < PREFACE.length) return;
      socket.off('data', look);
      socket.pause();
      socket.unshift(begun);
      socket.setTimeout(0);
      socket.removeAllListeners('timeout');
      this.#unknown.delete(socket);
      this.admit(socket, begun.subarray(0, PREFACE.length).equals(PREFACE) ? 2 : 1);
      // Node's server of HTTP/1.1 waits for the octets that are back in the socket.
      process.nextTick(() => socket.resume());
    };
    socket.on('data', look);
    socket.on('end', () => socket.end());
    socket.on('close', () => this.#unknown.delete(socket));
  }

  /** Takes a connection of that version of HTTP. */
  admit(socket: Socket, version: 1 | 2): void {
    socket.on('error', () => {});
    const { remoteAddress, remotePort, localAddress, localPort } = socket;
    if (remoteAddress === undefined || remotePort === undefined) return void socket.destroy();
    const address = clientAddress(remoteAddress);
    if (!this.#hasRoom(address)) return void socket.destroy();
    socket.allowHalfOpen = false; // a client that has closed its half reads no reply
    const peer: DnsClient = {
      transport: 'doh',
      address,
      port: remotePort,
      localAddress: localAddress && clientAddress(localAddress),
      localPort,
    };
    const connection =
      version === 2 ? serveHttp2(socket, peer, this.#context) : this.#http1.serve(socket, peer);
    this.#open.add(connection, socket, address);
  }

  finishAll(): void {
    this.#open.finishAll();
    this.#destroyUnknown();
  }

  destroyAll(): void {
    this.#open.destroyAll();
    this.#destroyUnknown();
  }

  #destroyUnknown(): void {
    for (const socket of this.#unknown) socket.destroy();
  }

  #evictOldestUnknown(): void {
    const [oldest] = this.#unknown;
    if (oldest === undefined) return;
    this.#unknown.delete(oldest);
    oldest.destroy();
    this.counters.evicted++;
  }

  #hasRoom(address: string): boolean {
    if (this.#open.hasShare(address) || this.#isProxy(address)) return this.#open.makeRoom();
    this.counters.refusedPerClient++;
    return false;
  }
}
