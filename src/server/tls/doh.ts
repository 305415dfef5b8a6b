/**
 * DNS over HTTPS (RFC 8484), and the same without TLS for a reverse proxy. It serves one path and nothing else: no page
 * of `--http` is reachable here.
 */
import type { Socket } from 'node:net';
import type { FamilyBlock } from '../../dataplane/listeners/udpListener.ts';
import { canonicalAddress, parseSocketAddress } from '../../dns/address.ts';
import type { DnsClient, Respond } from '../../dns/message.ts';
import { ConnectionListener, type ConnectionListenerOptions } from '../tcp/connectionListener.ts';
import { DEFAULT_TCP_LIMITS, type TcpLimits } from '../tcp/connectionTable.ts';
import type { OpenCounters } from '../tcp/openConnections.ts';
import type { StreamTable } from '../tcp/streamTable.ts';
import type { ServerCertificate } from './certificate.ts';
import { DohAnswers, type DohCounters } from './dohAnswers.ts';
import { type HandshakeCounters, type HandshakeLimits, Handshakes } from './handshakes.ts';
import type { HttpContext } from './httpConnection.ts';
import { HttpConnections } from './httpConnections.ts';

export interface DohListenerOptions extends Omit<ConnectionListenerOptions, 'closeMs'> {
  readonly respond: Respond;
  /** Answers queries that the answer table holds; without it `respond` answers everything. */
  readonly table?: StreamTable | undefined;
  /** The path that is served, such as `/dns-query`. */
  readonly path: string;
  /** Undefined: plain HTTP. */
  readonly tls?: DohTls | undefined;
  /** Which peers tell the client's address in X-Forwarded-For. */
  readonly isTrustedProxy?: (address: string) => boolean;
  readonly limits?: Partial<TcpLimits>;
  readonly counters: DohCounters;
}

export interface DohTls {
  readonly certificate: ServerCertificate;
  readonly handshakes: HandshakeCounters;
  readonly handshakeLimits?: HandshakeLimits;
}

/** RFC 9113 §6.5.2 recommends at least this many. */
const STREAMS = 100;

export class DohListener extends ConnectionListener {
  /** Counters of the queries that the answer table answered. */
  readonly blocks: readonly FamilyBlock[];
  readonly #connections: HttpConnections;

  constructor(options: DohListenerOptions) {
    const { tls, table, isTrustedProxy = () => false } = options;
    const limits = { ...DEFAULT_TCP_LIMITS, ...options.limits };
    const context: HttpContext = {
      answers: new DohAnswers(options.respond, table, tls !== undefined, options.counters),
      path: options.path,
      limits: {
        idleMs: limits.idleMs,
        requestMs: limits.queryMs + limits.messageMs,
        streams: STREAMS,
      },
      clientOf: (peer, forwardedFor) =>
        forwardedFor !== undefined && isTrustedProxy(peer.address)
          ? forwardedClient(peer, forwardedFor)
          : peer,
      nowMs: () => performance.now(),
    };
    const connections = new HttpConnections(context, limits, isTrustedProxy);
    const handshakes = tls && handshakesOf(tls, connections);
    const service = {
      admit: (socket: Socket) =>
        handshakes === undefined ? connections.admitPlain(socket) : handshakes.begin(socket),
      finishAll: () => connections.finishAll(),
      destroyAll() {
        handshakes?.destroyAll();
        connections.destroyAll();
      },
    };
    super(service, { ...options, closeMs: limits.closeMs });
    this.blocks = table?.blocks ?? [];
    this.#connections = connections;
  }

  counters(): Readonly<OpenCounters> {
    return { ...this.#connections.counters };
  }
}

function handshakesOf(
  { certificate, handshakes: counters, handshakeLimits }: DohTls,
  connections: HttpConnections,
): Handshakes {
  return new Handshakes({
    certificate,
    counters,
    protocols: ['h2', 'http/1.1'],
    onSecure: (socket) => connections.admit(socket, socket.alpnProtocol === 'h2' ? 2 : 1),
    ...(handshakeLimits !== undefined && { limits: handshakeLimits }),
  });
}

/**
 * The client with the address that the proxy itself has added, with or without a port; earlier ones are the client's
 * own claims. Undefined if that is no address: the proxy's own may have more rights than the client.
 */
function forwardedClient(proxy: DnsClient, forwardedFor: string): DnsClient | undefined {
  const last = forwardedFor.slice(forwardedFor.lastIndexOf(',') + 1).trim();
  const parsed = canonicalAddress(parseSocketAddress(last, 0)?.address ?? '');
  return parsed && { ...proxy, address: parsed.address };
}
