/**
 * The outcome of forwarding a question, and the counters of outcomes. The counters outlive a forwarder that is
 * replaced, so that they only grow.
 */
import type { Message, ServerId } from '../dns/message.ts';
import type { Name } from '../dns/name.ts';
import { Rcode } from '../dns/rr.ts';
import { newTlsCounters } from './tls/tlsUpstreams.ts';
import type { TlsCounters } from './tls/upstreamConnections.ts';

export interface ForwardOptions {
  readonly checkingDisabled: boolean;
  readonly dnssecOk: boolean;
  /** The address of the client that asks; each client has a share of the questions in flight. */
  readonly client: string;
  /** The soradns servers that the question has passed before this one. */
  readonly path?: readonly ServerId[] | undefined;
  /** The server that sent the question had it for a stub zone, and marked it. */
  readonly isStubMarked?: boolean | undefined;
  /** The delegated domains whose name servers are being looked up by this question. */
  readonly delegations?: readonly Name[] | undefined;
}

export type Forwarded =
  /**
   * An upstream's reply with any rcode: scrubbed, with aged TTLs if it came from the cache. `stale`: it has expired, but
   * no upstream gave a usable reply in time (RFC 8767). `flushed`: the question was sent before a flush of its name, so no
   * cache may keep the answer.
   */
  | {
      readonly kind: 'answered';
      readonly message: Message;
      readonly stale?: true;
      readonly flushed?: true;
    }
  /** No upstream gave a usable reply in time. */
  | {
      readonly kind: 'failed';
      readonly reason: 'timeout' | 'network' | 'untrusted' | 'servfail';
      readonly text: string;
      /** The extended error that clients get (RFC 8914), if the reason does not decide it. */
      readonly ede?: number;
    }
  /** The question is not forwarded: no upstream may get it, or a rule forbids it. */
  | { readonly kind: 'refused'; readonly text: string };

/** Upper bounds of the buckets in seconds: from an upstream on this host to the longest time that a question waits. */
export const FORWARD_BOUNDS_SECONDS = [0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 4] as const;

export type ForwardFailure = Extract<Forwarded, { kind: 'failed' }>['reason'];

export interface ForwardCounters {
  /** Questions outside our zones that reached the forwarder. */
  requests: number;
  /** Answered from the cache, within the TTL. A cached failure counts as a failure. */
  cacheHits: number;
  /** Answered from the cache with an answer that has expired. */
  stale: number;
  /** Sent to a further upstream while the ones before had not failed but were slower than usual. */
  hedged: number;
  /** Sent before the cached answer expired, for no client. */
  prefetches: number;
  /** Sent to no upstream: too few labels, private names, names that no server has, no upstream. */
  refused: number;
  readonly failures: Record<ForwardFailure, number>;
  /** Connections to upstreams over TLS. */
  readonly tls: TlsCounters;
  /** Questions that wait for an upstream. */
  inFlight: number;
  /**
   * How long questions waited for an upstream: the buckets of `FORWARD_BOUNDS_SECONDS`, and one for all longer waits.
   */
  readonly waits: number[];
  waitSeconds: number;
}

export function newForwardCounters(): ForwardCounters {
  return {
    requests: 0,
    cacheHits: 0,
    stale: 0,
    hedged: 0,
    prefetches: 0,
    refused: 0,
    failures: { timeout: 0, network: 0, untrusted: 0, servfail: 0 },
    tls: newTlsCounters(),
    inFlight: 0,
    waits: new Array<number>(FORWARD_BOUNDS_SECONDS.length + 1).fill(0),
    waitSeconds: 0,
  };
}

/** Counts the wait for an outcome and the outcome; `clock` is in milliseconds. Rejects if `pending` does. */
export async function countQuery(
  counters: ForwardCounters,
  clock: () => number,
  pending: Promise<Forwarded>,
): Promise<Forwarded> {
  const startedMs = clock();
  counters.inFlight++;
  try {
    const outcome = await pending;
    countOutcome(counters, outcome);
    return outcome;
  } finally {
    counters.inFlight--;
    observe(counters, (clock() - startedMs) / 1000);
  }
}

/** Counts a failure, a refusal or a stale answer. */
export function countOutcome(counters: ForwardCounters, outcome: Forwarded): void {
  const failure = failureOf(outcome);
  if (failure !== undefined) counters.failures[failure]++;
  if (outcome.kind === 'refused') counters.refused++;
  if (outcome.kind === 'answered' && outcome.stale) counters.stale++;
}

/** Whether the outcome says nothing about the name: no reply, or one with an rcode like SERVFAIL or REFUSED. */
export function isFailure(outcome: Forwarded): boolean {
  if (outcome.kind !== 'answered') return outcome.kind === 'failed';
  const { rcode } = outcome.message;
  return rcode !== Rcode.NOERROR && rcode !== Rcode.NXDOMAIN;
}

/** SERVFAIL from every upstream is a failure too. */
function failureOf(outcome: Forwarded): ForwardFailure | undefined {
  if (outcome.kind === 'failed') return outcome.reason;
  const isServfail = outcome.kind === 'answered' && outcome.message.rcode === Rcode.SERVFAIL;
  return isServfail ? 'servfail' : undefined;
}

function observe(counters: ForwardCounters, seconds: number): void {
  const bucket = FORWARD_BOUNDS_SECONDS.findIndex((bound) => seconds <= bound);
  const at = bucket < 0 ? FORWARD_BOUNDS_SECONDS.length : bucket;
  counters.waits[at] = (counters.waits[at] ?? 0) + 1;
  counters.waitSeconds += seconds;
}
