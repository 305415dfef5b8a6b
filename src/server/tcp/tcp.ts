/**
 * server/tcp/: Serves connections: accepts them, keeps them within limits, answers the queries on them.
 * Imports: dataplane/listeners, dataplane/reply, dataplane/sockets, dataplane/table, dns, dnstap, timing.
 * Used by: app, app/answering, server/http, server/tls, server/transfer.
 *
 * DNS over TCP. `connectionTable.ts` admits connections, and `tcpConnection.ts` serves one connection within its limits.
 */
import type { FamilyBlock } from '../../dataplane/listeners/udpListener.ts';
import type { Respond } from '../../dns/message.ts';
import { ConnectionListener, type ConnectionListenerOptions } from './connectionListener.ts';
import {
  ConnectionTable,
  DEFAULT_TCP_LIMITS,
  type TcpCounters,
  type TcpLimits,
} from './connectionTable.ts';
import type { StreamTable } from './streamTable.ts';
import type { OpenReplies } from './tcpConnection.ts';

export interface TcpListenerOptions extends Omit<ConnectionListenerOptions, 'closeMs'> {
  readonly respond: Respond;
  /** Answers queries that the answer table holds; without it `respond` answers everything. */
  readonly table?: StreamTable | undefined;
  /** See `ConnectionContext`. */
  readonly openReplies?: OpenReplies | undefined;
  readonly limits?: Partial<TcpLimits>;
}

export class TcpListener extends ConnectionListener {
  /** Counters of the queries that the answer table answered. */
  readonly blocks: readonly FamilyBlock[];
  readonly #connections: ConnectionTable;

  constructor({ respond, table, openReplies, limits, ...options }: TcpListenerOptions) {
    const allLimits = { ...DEFAULT_TCP_LIMITS, ...limits };
    const transport = 'tcp';
    const connections = new ConnectionTable(respond, allLimits, { table, transport, openReplies });
    super(connections, { ...options, closeMs: allLimits.closeMs });
    this.blocks = table?.blocks ?? [];
    this.#connections = connections;
  }

  counters(): Readonly<TcpCounters> {
    return { ...this.#connections.counters };
  }
}
