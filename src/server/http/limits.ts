/**
 * The limits of the HTTP listener, in total and for each client. Each request passes these limiters:
 *
 *     request                          limiters, in order
 *     every connection                 ConnectionAdmission: maxConnections, maxConnectionsPerClient, maxSurplus
 *     every request                    maxPipelined (ConnectionAdmission), header and body sizes, requestTimeoutMs
 *     all but the health pages         Pace: requests that begin in one turn of the event loop
 *     wait=true, /v1/store/watch       permits `waits`: maxWaiting, maxWaitingPerClient
 *     /v2/keys listing above 64 KiB    permits `listings`: maxLongListings, maxLongListingsPerClient
 *     value above 64 KiB, snapshot     permits `longReplies`: maxLongReplies, maxLongRepliesPerClient
 *     every unread reply               Outbox: maxUnreadOctets, then slowReaderMs
 *     pieces of long replies           YieldLoop: one piece in a turn of the event loop
 */
import { type AdmissionLimits, mostSurplus } from './admission.ts';
import type { RequestLimits } from './exchange/nodeExchange.ts';

export interface HttpLimits extends AdmissionLimits, RequestLimits {
  readonly maxHeaderOctets: number;
  /** The deadline of a request's head and body. */
  readonly requestTimeoutMs: number;
  readonly keepAliveMs: number;
  /** Requests that wait for a change or follow all changes. */
  readonly maxWaiting: number;
  readonly maxWaitingPerClient: number;
  /** Listings above about 64 KiB; each is in memory until it is sent. */
  readonly maxLongListings: number;
  readonly maxLongListingsPerClient: number;
  /** Snapshots, and single values above about 64 KiB; one page of each is in memory. */
  readonly maxLongReplies: number;
  readonly maxLongRepliesPerClient: number;
  /** Unread output of all clients together. */
  readonly maxUnreadOctets: number;
  /** The interval of signs of life in a stream of changes. */
  readonly heartbeatMs: number;
}

export const DEFAULT_HTTP_LIMITS: HttpLimits = {
  maxHeaderOctets: 16 * 1024,
  maxBodyOctets: 1024 * 1024,
  requestTimeoutMs: 10_000,
  keepAliveMs: 15_000,
  slowReaderMs: 10_000,
  lingerMs: 1_000,
  // A waiting request occupies its connection, so there are more connections than waiting requests.
  maxConnections: 1024 + 256,
  maxConnectionsPerClient: 64,
  maxSurplus: 128,
  maxPipelined: 16,
  maxWaiting: 1024,
  maxWaitingPerClient: 32,
  maxLongListings: 4,
  maxLongListingsPerClient: 2,
  maxLongReplies: 16,
  maxLongRepliesPerClient: 3,
  maxUnreadOctets: 64 * 1024 * 1024,
  heartbeatMs: 5_000,
};

/**
 * The limits of a process with a limit of open files, sockets included. HTTP gets at most half of them; the others are
 * for DNS, forwarded queries and the store.
 */
export function limitsWithin(files: number): Partial<HttpLimits> {
  const { maxConnections, maxConnectionsPerClient, maxSurplus, maxWaiting } = DEFAULT_HTTP_LIMITS;
  const share = Math.floor(files / 2);
  const connections = Math.min(maxConnections, Math.floor(share * 0.6));
  return {
    maxConnections: connections,
    maxConnectionsPerClient: Math.min(maxConnectionsPerClient, Math.ceil(connections / 4)),
    maxSurplus: Math.min(maxSurplus, Math.floor((share - connections) / (2 * mostSurplus(1)))),
    maxWaiting: Math.min(maxWaiting, Math.floor((connections * 4) / 5)),
  };
}
