/**
 * server/tls/: DNS for clients over TLS and over HTTPS: certificate, handshakes, connections.
 * Imports: dataplane/listeners, dns, server/tcp, timing.
 * Used by: app/answering, app/process.
 *
 * DNS over TLS (RFC 7858) is DNS over TCP behind a handshake: the same limits on connections and the same answers.
 */
import type { FamilyBlock } from '../../dataplane/listeners/udpListener.ts';
import type { Respond } from '../../dns/message.ts';
import { ConnectionListener, type ConnectionListenerOptions } from '../tcp/connectionListener.ts';
import {
  ConnectionTable,
  DEFAULT_TCP_LIMITS,
  type TcpCounters,
  type TcpLimits,
} from '../tcp/connectionTable.ts';
import type { StreamTable } from '../tcp/streamTable.ts';
import type { OpenReplies } from '../tcp/tcpConnection.ts';
import type { ServerCertificate } from './certificate.ts';
import { type HandshakeCounters, type HandshakeLimits, Handshakes } from './handshakes.ts';

/** What listeners with TLS need. */
export interface SecureListenerOptions extends Omit<ConnectionListenerOptions, 'closeMs'> {
  readonly respond: Respond;
  /** Answers queries that the answer table holds; without it `respond` answers everything. */
  readonly table?: StreamTable | undefined;
  /** Of DoT: zones are transferred over it too (RFC 9103). */
  readonly openReplies?: OpenReplies | undefined;
  readonly limits?: Partial<TcpLimits>;
  readonly handshakeLimits?: HandshakeLimits;
  readonly certificate: ServerCertificate;
  readonly handshakes: HandshakeCounters;
}

/** Limits for at most so many connections: a client behind a NAT may have a quarter of them. */
export function secureLimits(connections: number): Partial<TcpLimits> {
  const quarter = Math.ceil(connections / 4);
  return {
    connections,
    connectionsPerClient: Math.max(DEFAULT_TCP_LIMITS.connectionsPerClient, quarter),
  };
}

export class DotListener extends ConnectionListener {
  /** Counters of the queries that the answer table answered. */
  readonly blocks: readonly FamilyBlock[];
  readonly #connections: ConnectionTable;

  constructor(options: SecureListenerOptions) {
    const {
      respond,
      table,
      openReplies,
      certificate,
      handshakes: counters,
      handshakeLimits,
    } = options;
    const limits = { ...DEFAULT_TCP_LIMITS, ...options.limits };
    const connections = new ConnectionTable(respond, limits, {
      ...{ table, transport: 'dot', openReplies },
    });
    const handshakes = new Handshakes({
      certificate,
      counters,
      protocols: ['dot'], // RFC 7858 §3.1 registers it, and most clients do not send it
      onSecure: (socket) => connections.admit(socket),
      ...(handshakeLimits !== undefined && { limits: handshakeLimits }),
    });
    const service = {
      admit: handshakes.begin.bind(handshakes),
      finishAll: () => connections.finishAll(),
      destroyAll() {
        handshakes.destroyAll();
        connections.destroyAll();
      },
    };
    super(service, { ...options, closeMs: limits.closeMs });
    this.blocks = table?.blocks ?? [];
    this.#connections = connections;
  }

  counters(): Readonly<TcpCounters> {
    return { ...this.#connections.counters };
  }
}
