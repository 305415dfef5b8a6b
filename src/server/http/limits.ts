/** How much the HTTP listener takes, in all and of one client, and how long it waits. */
import { type AdmissionLimits, mostGuests } from './admission.ts';
import type { ExchangeLimits } from './nodeExchange.ts';

export interface HttpLimits extends AdmissionLimits, ExchangeLimits {
  readonly maxHeaderOctets: number;
  /** A request, head and body, must have arrived within this time. */
  readonly requestTimeoutMs: number;
  readonly keepAliveMs: number;
  /** Requests that wait for a change, or follow them, at the same time. */
  readonly maxWaiting: number;
  readonly maxWaitingPerClient: number;
  /** Listings above some 64 KiB at the same time: all of such a one is held until it was sent. */
  readonly maxLongListings: number;
  readonly maxLongListingsPerClient: number;
  /** Snapshots, and single values, above some 64 KiB at the same time: a page of each is held. */
  readonly maxLongReplies: number;
  readonly maxLongRepliesPerClient: number;
  /** What waits for clients to read it, all together. */
  readonly maxUnreadOctets: number;
  /** How often a stream of changes shows that it is alive. */
  readonly heartbeatMs: number;
}

export const DEFAULT_HTTP_LIMITS: HttpLimits = {
  maxHeaderOctets: 16 * 1024,
  maxBodyOctets: 1024 * 1024,
  requestTimeoutMs: 10_000,
  keepAliveMs: 15_000,
  slowReaderMs: 10_000,
  lingerMs: 1_000,
  // A request that waits holds its connection, so there are more connections than places to wait.
  maxConnections: 1024 + 256,
  maxConnectionsPerClient: 64,
  maxGuests: 128,
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
 * The limits of a process that may have so many files open, sockets included. Half of them are for HTTP at most; the
 * others are for DNS, for questions that are forwarded, and for the store.
 */
export function limitsWithin(files: number): Partial<HttpLimits> {
  const { maxConnections, maxConnectionsPerClient, maxGuests, maxWaiting } = DEFAULT_HTTP_LIMITS;
  const share = Math.floor(files / 2);
  const connections = Math.min(maxConnections, Math.floor(share * 0.6));
  return {
    maxConnections: connections,
    maxConnectionsPerClient: Math.min(maxConnectionsPerClient, Math.ceil(connections / 4)),
    maxGuests: Math.min(maxGuests, Math.floor((share - connections) / (2 * mostGuests(1)))),
    maxWaiting: Math.min(maxWaiting, Math.floor((connections * 4) / 5)),
  };
}
