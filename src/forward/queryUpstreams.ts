/**
 * One question through the upstreams: in the order of their health, one after the other, until one gives a usable reply
 * or the time is up. Each is asked once, and once more at the end if it kept silent (a lost packet); never more, so that
 * a dead network does not turn questions into storms.
 */
import { printSocketAddress } from '../dns/address.ts';
import { Rcode } from '../dns/rr.ts';
import { isReferral, isUsableReply } from './bailiwick.ts';
import { type ExchangeOptions, exchangeUdp, type UpstreamQuery } from './exchange.ts';
import { exchangeTcp } from './exchangeTcp.ts';
import type { Forwarded } from './forwarder.ts';
import type { UpstreamHealth } from './health.ts';
import type { ExchangeResult, RandomInt } from './reply.ts';
import type { Upstream } from './upstream.ts';

export interface QueryContext {
  readonly health: UpstreamHealth;
  readonly randomInt: RandomInt;
  /** Milliseconds of a clock that never steps back. */
  readonly clock: () => number;
  readonly signal: AbortSignal;
  /** How long one upstream may take before the next one is asked. */
  readonly tryTimeoutMs: number;
  readonly totalTimeoutMs: number;
}

/** A try shorter than this is not worth its packets. */
const SHORTEST_TRY_MS = 50;

/** Settles within `totalTimeoutMs` and never rejects; the message is as it came, whatever its rcode. */
export async function queryUpstreams(
  ask: UpstreamQuery,
  upstreams: readonly Upstream[],
  context: QueryContext,
): Promise<Forwarded> {
  const deadlineMs = context.clock() + context.totalTimeoutMs;
  const first = await queryOneByOne(ask, upstreams, deadlineMs, context);
  if (first.outcome.kind === 'answered' || first.silent.length === 0) return first.outcome;
  // What time is left is shared by those that may just have lost a packet.
  const leftMs = deadlineMs - context.clock();
  const tryTimeoutMs = leftMs / first.silent.length;
  if (tryTimeoutMs < SHORTEST_TRY_MS) return first.outcome;
  const second = await queryOneByOne(ask, first.silent, deadlineMs, { ...context, tryTimeoutMs });
  return second.outcome;
}

interface PassResult {
  readonly outcome: Forwarded;
  /** Those that gave no sign of life in their time. */
  readonly silent: readonly Upstream[];
}

/** Asks one after the other until a reply is usable; else the outcome is the last reply, or how the last one failed. */
async function queryOneByOne(
  ask: UpstreamQuery,
  upstreams: readonly Upstream[],
  deadlineMs: number,
  context: QueryContext,
): Promise<PassResult> {
  const silent: Upstream[] = [];
  let outcome: Forwarded = { kind: 'failed', reason: 'timeout', text: 'no time left to ask' };
  for (const upstream of upstreams) {
    // Somebody did reply, if without use: those that likely would not reply at all are not worth the wait.
    if (outcome.kind === 'answered' && context.health.isDown(upstream)) continue;
    if (deadlineMs - context.clock() < SHORTEST_TRY_MS || context.signal.aborted) break;
    const exchanged = await queryUpstream(ask, upstream, deadlineMs, context);
    if (exchanged.kind === 'timeout') silent.push(upstream);
    const next = outcomeOf(exchanged, upstream);
    if (next.kind === 'answered' || outcome.kind !== 'answered') outcome = next;
    if (exchanged.kind === 'reply' && isUsableReply(exchanged.message)) break;
  }
  return { outcome, silent };
}

/**
 * One upstream's last word: over TCP where UDP could not carry or prove the reply, without EDNS where it cannot read
 * that. A server that keeps neither case nor a TCP port cannot be used: that is what forging would look like.
 */
export async function queryUpstream(
  ask: UpstreamQuery,
  upstream: Upstream,
  deadlineMs: number,
  context: QueryContext,
): Promise<ExchangeResult> {
  const { health, clock, signal, randomInt } = context;
  const limits = (): ExchangeOptions => {
    const timeoutMs = Math.max(1, Math.min(context.tryTimeoutMs, deadlineMs - clock()));
    return { timeoutMs, signal, randomInt };
  };
  let asked = ask;
  let exchanged = await exchangeUdp(upstream, asked, limits());
  if (asked.edns && isEdnsRefusal(exchanged)) {
    asked = { ...ask, edns: false };
    exchanged = await exchangeUdp(upstream, asked, limits());
  }
  if (exchanged.kind === 'timeout' || exchanged.kind === 'network')
    health.failed(upstream, clock());
  else health.succeeded(upstream);
  if (exchanged.kind !== 'truncated' && exchanged.kind !== 'caseChanged') return exchanged;
  return exchangeTcp(upstream, asked, limits());
}

/** RFC 6891 §7: servers from before EDNS say FORMERR, some NOTIMP, without an OPT record of their own. */
function isEdnsRefusal(exchanged: ExchangeResult): boolean {
  if (exchanged.kind !== 'reply' || exchanged.message.edns !== undefined) return false;
  const { rcode } = exchanged.message;
  return rcode === Rcode.FORMERR || rcode === Rcode.NOTIMP;
}

function outcomeOf(exchanged: ExchangeResult, upstream: Upstream): Forwarded {
  const who = printSocketAddress(upstream);
  switch (exchanged.kind) {
    case 'reply':
      if (isReferral(exchanged.message))
        return { kind: 'failed', reason: 'servfail', text: `${who} does not recurse` };
      return { kind: 'answered', message: exchanged.message };
    case 'timeout':
      return { kind: 'failed', reason: 'timeout', text: `${who} did not reply` };
    case 'network':
      return { kind: 'failed', reason: 'network', text: `${who}: ${exchanged.text}` };
    case 'truncated':
    case 'caseChanged':
      throw new Error(`${exchanged.kind} is never the last word`);
  }
}
