/**
 * One question to the upstreams, in the order of their health and one after the other, until one gives a usable reply
 * or the time is over. Each upstream gets the question once. At the end, those that sent nothing get it a second time,
 * since a packet may have been lost. No upstream gets it a third time, so a dead network does not multiply packets.
 */
import { printSocketAddress } from '../dns/address.ts';
import { Rcode } from '../dns/rr.ts';
import { isReferral, isUsableReply } from './bailiwick.ts';
import { type ExchangeOptions, exchangeUdp, type UpstreamQuery } from './exchange.ts';
import { exchangeTcp } from './exchangeTcp.ts';
import type { UpstreamHealth } from './health.ts';
import type { Forwarded } from './outcome.ts';
import type { RandomInt } from './randomCase.ts';
import type { ExchangeResult } from './reply.ts';
import type { Upstream } from './upstream.ts';

export interface UpstreamContext {
  readonly health: UpstreamHealth;
  readonly randomInt: RandomInt;
  /** Monotonic milliseconds. */
  readonly clock: () => number;
  readonly signal: AbortSignal;
  /** How long to wait for one upstream before the next one gets the question. */
  readonly tryTimeoutMs: number;
  readonly totalTimeoutMs: number;
}

/** A shorter try is not worth its packets. */
const MIN_TRY_MS = 50;

/** Settles within `totalTimeoutMs` and never rejects. The message is unchanged and may have any rcode. */
export async function queryUpstreams(
  query: UpstreamQuery,
  upstreams: readonly Upstream[],
  context: UpstreamContext,
): Promise<Forwarded> {
  const deadlineMs = context.clock() + context.totalTimeoutMs;
  const first = await queryOneByOne(query, upstreams, deadlineMs, context);
  if (first.outcome.kind === 'answered' || first.silent.length === 0) return first.outcome;
  // A packet may have been lost: the silent upstreams share the time that is left.
  const leftMs = deadlineMs - context.clock();
  const tryTimeoutMs = leftMs / first.silent.length;
  if (tryTimeoutMs < MIN_TRY_MS) return first.outcome;
  const second = await queryOneByOne(query, first.silent, deadlineMs, { ...context, tryTimeoutMs });
  return second.outcome;
}

interface PassResult {
  readonly outcome: Forwarded;
  /** The upstreams that sent nothing in their time. */
  readonly silent: readonly Upstream[];
}

/** Ends at the first usable reply; else the outcome is the last reply, or how the last upstream failed. */
async function queryOneByOne(
  query: UpstreamQuery,
  upstreams: readonly Upstream[],
  deadlineMs: number,
  context: UpstreamContext,
): Promise<PassResult> {
  const silent: Upstream[] = [];
  let outcome: Forwarded = { kind: 'failed', reason: 'timeout', text: 'no time left to ask' };
  for (const upstream of upstreams) {
    // After any reply, even an unusable one, skip the upstreams that are down: they would likely only cost their
    // timeout.
    if (outcome.kind === 'answered' && context.health.isDown(upstream)) continue;
    if (deadlineMs - context.clock() < MIN_TRY_MS || context.signal.aborted) break;
    const result = await queryUpstream(query, upstream, deadlineMs, context);
    if (result.kind === 'timeout') silent.push(upstream);
    const next = outcomeOf(result, upstream);
    if (next.kind === 'answered' || outcome.kind !== 'answered') outcome = next;
    if (result.kind === 'reply' && isUsableReply(result.message)) break;
  }
  return { outcome, silent };
}

/**
 * The final result of one upstream: over TCP if UDP could not carry or prove the reply, without EDNS if the upstream
 * does not understand it. An upstream that changes the case and has no TCP port cannot be used, since a forged reply
 * looks the same.
 */
async function queryUpstream(
  query: UpstreamQuery,
  upstream: Upstream,
  deadlineMs: number,
  context: UpstreamContext,
): Promise<ExchangeResult> {
  const { health, clock, signal, randomInt } = context;
  const options = (): ExchangeOptions => {
    const timeoutMs = Math.max(1, Math.min(context.tryTimeoutMs, deadlineMs - clock()));
    return { timeoutMs, signal, randomInt };
  };
  let sent = query;
  let result = await exchangeUdp(upstream, sent, options());
  if (sent.edns && isEdnsRefusal(result)) {
    sent = { ...query, edns: false };
    result = await exchangeUdp(upstream, sent, options());
  }
  if (result.kind === 'timeout' || result.kind === 'network') health.failed(upstream, clock());
  else health.succeeded(upstream);
  if (result.kind !== 'truncated' && result.kind !== 'caseChanged') return result;
  return exchangeTcp(upstream, sent, options());
}

/** RFC 6891 §7: servers from before EDNS reply FORMERR, some NOTIMP, without an OPT record of their own. */
function isEdnsRefusal(result: ExchangeResult): boolean {
  if (result.kind !== 'reply' || result.message.edns !== undefined) return false;
  const { rcode } = result.message;
  return rcode === Rcode.FORMERR || rcode === Rcode.NOTIMP;
}

function outcomeOf(result: ExchangeResult, upstream: Upstream): Forwarded {
  const server = printSocketAddress(upstream);
  switch (result.kind) {
    case 'reply':
      if (isReferral(result.message))
        return { kind: 'failed', reason: 'servfail', text: `${server} does not recurse` };
      return { kind: 'answered', message: result.message };
    case 'timeout':
      return { kind: 'failed', reason: 'timeout', text: `${server} did not reply` };
    case 'network':
      return { kind: 'failed', reason: 'network', text: `${server}: ${result.text}` };
    case 'truncated':
    case 'caseChanged':
      throw new Error(`${result.kind} is never the final result`);
  }
}

/**
 * Sends copies of real questions to upstreams that are down, to see when they reply again. No caller waits for them.
 */
export class Probes {
  readonly #context: UpstreamContext;
  readonly #pending = new Set<Promise<unknown>>();

  constructor(context: UpstreamContext) {
    this.#context = context;
  }

  /** Sends the question to those of the upstreams whose probe is due. */
  send(query: UpstreamQuery, upstreams: readonly Upstream[]): void {
    const { health, clock, totalTimeoutMs } = this.#context;
    const nowMs = clock();
    for (const upstream of upstreams) {
      if (!health.takeProbe(upstream, nowMs)) continue;
      const probe: Promise<unknown> = queryUpstream(
        query,
        upstream,
        nowMs + totalTimeoutMs,
        this.#context,
      ).finally(() => this.#pending.delete(probe));
      this.#pending.add(probe);
    }
  }

  /** Resolves when all probes that were sent before the call have ended. */
  async ended(): Promise<void> {
    await Promise.allSettled(this.#pending);
  }
}
