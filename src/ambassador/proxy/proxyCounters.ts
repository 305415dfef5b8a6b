/** What a proxy counts, for metrics. Each key of a record is a label of a metric; no label comes from outside. */
import type { CarriedOctets, ConnectFailure } from './carry/carrier.ts';

export type ConnectionState =
  /** The proxy carries as many connections as it may; this one waits. */
  | 'held'
  /** The backends of its route are not known yet. */
  | 'waiting'
  | 'connecting'
  | 'open'
  /** Its backend has left the route. */
  | 'draining';

/** Why the proxy reset a connection that no backend had taken. */
export type ConnectionRefusal =
  /** No route takes connections of this source. */
  | 'noRoute'
  | 'noBackend'
  /** The backends stayed unknown until the connect timeout. */
  | 'unknown'
  /** No backend that was tried took it. */
  | 'unreachable'
  /** All backends are at addresses that the proxy does not connect to. */
  | 'forbidden'
  | 'connectionLimit'
  | 'sourceLimit'
  | 'closing';

export type DatagramDrop =
  | 'noRoute'
  | 'noBackend'
  | 'unknown'
  | 'forbidden'
  /** Each backend that was tried has no process on the port. */
  | 'unreachable'
  /** The datagram claims to come from a listener of this proxy, or from port 0. */
  | 'source'
  /** The kernel has no room, or refused the datagram. */
  | 'unsent';

export interface ProxyCounters {
  accepted: number;
  /** Attempts that failed, by reason. */
  readonly connectFailures: Record<ConnectFailure, number>;
  readonly refused: Record<ConnectionRefusal, number>;
  /** Choices from which at least one backend was left out because its address is forbidden. */
  forbiddenBackends: number;
  /** Open connections that were reset because their backend had left. */
  drained: number;
  acceptFailures: number;
  readonly datagrams: { toBackends: number; toClients: number };
  readonly datagramOctets: CarriedOctets;
  readonly datagramsDropped: Record<DatagramDrop, number>;
  /** Flows that were forgotten before they were idle, because the route had too many. */
  flowsEvicted: number;
}

/** The counters, and what is so now. */
export interface ProxyStatistics extends ProxyCounters {
  readonly connections: Readonly<Record<ConnectionState, number>>;
  readonly octets: CarriedOctets;
  readonly flows: number;
}

export function newProxyCounters(): ProxyCounters {
  return {
    accepted: 0,
    connectFailures: { refused: 0, unreachable: 0, timeout: 0, exhausted: 0, failed: 0 },
    refused: {
      noRoute: 0,
      noBackend: 0,
      unknown: 0,
      unreachable: 0,
      forbidden: 0,
      connectionLimit: 0,
      sourceLimit: 0,
      closing: 0,
    },
    forbiddenBackends: 0,
    drained: 0,
    acceptFailures: 0,
    datagrams: { toBackends: 0, toClients: 0 },
    datagramOctets: { toBackends: 0, toClients: 0 },
    datagramsDropped: {
      noRoute: 0,
      noBackend: 0,
      unknown: 0,
      forbidden: 0,
      unreachable: 0,
      source: 0,
      unsent: 0,
    },
    flowsEvicted: 0,
  };
}
