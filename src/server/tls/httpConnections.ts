/**
 * The open connections of HTTP: admits new ones within the limits, finds out which version they speak, and checks all of
 * them for timeouts. At the limit a new connection takes the place of the one that has been idle longest.
 */
import type { Socket } from 'node:net';
import { clientAddress } from '../../dns/address.ts';
import type { DnsClient } from '../../dns/message.ts';
import { longestIdleOf, type TcpLimits } from '../tcp/connectionTable.ts';
import { Http1Connections } from './http1Connections.ts';
import { serveHttp2 } from './http2Connection.ts';
import type { HttpConnection, HttpContext } from './httpConnection.ts';

export interface HttpConnectionCounters {
  accepted: number;
  /** Open now. */
  open: number;
  /** Closed on accept because all connections were busy. */
  refused: number;
  /** Closed on accept because the client had `connectionsPerClient`. */
  refusedPerClient: number;
  /** Closed while idle or silent, for a new connection. */
  evicted: number;
}

/** The first octets of HTTP/2 (RFC 9113 §3.4). No method of HTTP/1.1 begins with them. */
const PREFACE = Buffer.from('PRI');

/** Checks for timeouts in the idle time. */
const CHECKS_PER_LIMIT = 10;

export class HttpConnections {
  readonly counters: HttpConnectionCounters = {
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
  readonly #open = new Set<HttpConnection>();
  readonly #openByAddress = new Map<string, number>();
  /** Connections whose version is not known yet, the oldest first. */
  readonly #unknown = new Set<Socket>();
  #isFinishing = false;
  #checks: NodeJS.Timeout | undefined;

  /** A proxy has the connections of many clients, so it has no share. */
  constructor(context: HttpContext, limits: TcpLimits, isProxy: (address: string) => boolean) {
    this.#context = context;
    this.#limits = limits;
    this.#isProxy = isProxy;
    this.#http1 = new Http1Connections(context);
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
    this.#add(connection, socket, address);
  }

  finishAll(): void {
    this.#isFinishing = true;
    for (const connection of this.#open) connection.finish();
    this.#destroyUnknown();
  }

  destroyAll(): void {
    for (const connection of this.#open) connection.destroy();
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
    const { connections, connectionsPerClient } = this.#limits;
    const own = this.#openByAddress.get(address) ?? 0;
    if (own >= connectionsPerClient && !this.#isProxy(address)) {
      this.counters.refusedPerClient++;
      return false;
    }
    if (this.#open.size < connections || this.#evictLongestIdle()) return true;
    this.counters.refused++;
    return false;
  }

  #evictLongestIdle(): boolean {
    const longestIdle = longestIdleOf(this.#open);
    if (longestIdle === undefined) return false;
    longestIdle.destroy();
    this.#remove(longestIdle);
    this.counters.evicted++;
    return true;
  }

  #add(connection: HttpConnection, socket: Socket, address: string): void {
    this.#open.add(connection);
    this.#openByAddress.set(address, (this.#openByAddress.get(address) ?? 0) + 1);
    this.counters.accepted++;
    this.counters.open = this.#open.size;
    socket.on('close', () => this.#remove(connection));
    this.#checks ??= setInterval(() => {
      for (const each of this.#open) each.checkTimes();
    }, this.#limits.idleMs / CHECKS_PER_LIMIT);
    if (this.#isFinishing) connection.finish();
  }

  /** Called twice for an evicted connection: at the eviction, and when its socket has closed. */
  #remove(connection: HttpConnection): void {
    if (!this.#open.delete(connection)) return;
    const { address } = connection.peer;
    const left = (this.#openByAddress.get(address) ?? 1) - 1;
    if (left === 0) this.#openByAddress.delete(address);
    else this.#openByAddress.set(address, left);
    this.counters.open = this.#open.size;
    if (this.#open.size > 0) return;
    clearInterval(this.#checks);
    this.#checks = undefined;
  }
}
