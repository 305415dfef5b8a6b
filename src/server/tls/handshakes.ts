/**
 * TLS handshakes of clients (RFC 7858, RFC 8446), before their connections count as connections. A client that begins
 * handshakes and never ends them does not delay other clients: at the limit a new handshake takes the place of the
 * oldest, because a client that means to finish needs two round trips, and the oldest has had longer.
 */
import type { Socket } from 'node:net';
import type { TLSSocket, TlsOptions, Server as TlsServer } from 'node:tls';
import type { CertificatePair, ServerCertificate } from './certificate.ts';

export interface HandshakeLimits {
  /** Under way at a time. */
  readonly underWay: number;
  readonly timeoutMs: number;
}

const DEFAULT_HANDSHAKE_LIMITS: HandshakeLimits = { underWay: 100, timeoutMs: 3_000 };

/** Counted over all listeners. */
export interface HandshakeCounters {
  completed: number;
  /** With a session of an earlier connection, whose client needs no signature; also in `completed`. */
  resumed: number;
  /** The client did not go on, or spoke no TLS that this server understands. */
  failed: number;
  /** Gave its place to a newer one; also in `failed`. */
  evicted: number;
}

export function newHandshakeCounters(): HandshakeCounters {
  return { completed: 0, resumed: 0, failed: 0, evicted: 0 };
}

export interface HandshakesOptions {
  readonly certificate: ServerCertificate;
  /** Names of the protocols (RFC 7301), the preferred one first. A client that names none is accepted. */
  readonly protocols: readonly string[];
  readonly counters: HandshakeCounters;
  readonly limits?: HandshakeLimits;
  /** Receives each connection whose handshake is complete. */
  readonly onSecure: (socket: TLSSocket) => void;
}

export class Handshakes {
  readonly #options: HandshakesOptions;
  readonly #limits: HandshakeLimits;
  readonly #server: TlsServer;
  /** The oldest first, by the client's address and port. */
  readonly #underWay = new Map<string, Socket>();

  constructor(options: HandshakesOptions) {
    const { certificate, protocols, limits = DEFAULT_HANDSHAKE_LIMITS } = options;
    this.#options = options;
    this.#limits = limits;
    const { createServer } = process.getBuiltinModule('node:tls');
    this.#server = createServer({
      ...contextOptions(certificate.pair),
      ALPNProtocols: [...protocols],
      handshakeTimeout: limits.timeoutMs,
    });
    certificate.onRenewed((pair) => this.#server.setSecureContext(contextOptions(pair)));
    this.#server.on('secureConnection', (socket) => this.#onSecure(socket));
    this.#server.on('tlsClientError', (_error, socket) => this.#onFailed(socket));
  }

  /** Takes a connection of TCP that was accepted. */
  begin(socket: Socket): void {
    socket.on('error', () => {}); // at once: a reset may already be pending
    const { remoteAddress, remotePort } = socket;
    if (remoteAddress === undefined) return void socket.destroy();
    if (this.#underWay.size >= this.#limits.underWay) this.#evictOldest();
    const key = `${remoteAddress} ${remotePort}`;
    this.#underWay.set(key, socket);
    socket.on('close', () => {
      if (this.#underWay.get(key) === socket) this.#underWay.delete(key);
    });
    // As Node documents, a TLS server takes a connection that it did not accept by this event.
    this.#server.emit('connection', socket);
  }

  destroyAll(): void {
    for (const socket of this.#underWay.values()) socket.destroy();
  }

  #evictOldest(): void {
    const [oldest] = this.#underWay;
    if (oldest === undefined) return;
    const [key, socket] = oldest;
    this.#underWay.delete(key);
    socket.destroy();
    this.#options.counters.evicted++;
  }

  #onSecure(socket: TLSSocket): void {
    const { counters, onSecure } = this.#options;
    this.#underWay.delete(`${socket.remoteAddress} ${socket.remotePort}`);
    counters.completed++;
    if (socket.isSessionReused()) counters.resumed++;
    onSecure(socket);
  }

  #onFailed(socket: TLSSocket): void {
    this.#options.counters.failed++;
    socket.destroy();
  }
}

/** 0-RTT stays off, which is Node's default: an early question could be sent again by others. */
function contextOptions({ cert, key }: CertificatePair): TlsOptions {
  return { cert, key, minVersion: 'TLSv1.2' };
}
