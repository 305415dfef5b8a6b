/** One question to one upstream, over UDP and where necessary over TCP, and what its outcome says about the upstream. */
import { Rcode } from '../dns/rr.ts';
import type { Clock } from '../timing/clock.ts';
import { isUsableReply } from './bailiwick.ts';
import type { ExchangeOptions, SendQuery, UpstreamQuery } from './exchange/exchange.ts';
import { exchangeTcp } from './exchange/exchangeTcp.ts';
import { exchangeUdp } from './exchange/exchangeUdp.ts';
import type { RandomInt } from './exchange/randomCase.ts';
import type { ExchangeResult } from './exchange/reply.ts';
import type { UpstreamHealth } from './health.ts';
import type { ForwardCounters } from './outcome.ts';
import { isPublicAddress } from './privateNames.ts';
import type { Upstream } from './upstream.ts';

/** How queries reach upstreams; `truncated` and `caseChanged` come over UDP only. */
export interface UpstreamExchanges {
  readonly udp: SendQuery;
  readonly tcp: SendQuery;
}

export const SOCKET_EXCHANGES: UpstreamExchanges = { udp: exchangeUdp, tcp: exchangeTcp };

export interface UpstreamContext {
  readonly health: UpstreamHealth;
  readonly exchanges: UpstreamExchanges;
  readonly randomInt: RandomInt;
  readonly clock: Clock;
  readonly counters: ForwardCounters;
  readonly signal: AbortSignal;
  /** How long to listen for the reply of one upstream. */
  readonly tryTimeoutMs: number;
  readonly totalTimeoutMs: number;
}

const CANCELLED: ExchangeResult = { kind: 'network', text: 'the question was cancelled' };

/**
 * The final result of one upstream: over TCP if UDP could not carry or prove the reply, without EDNS if the upstream
 * does not understand it; never `truncated` or `caseChanged`. An upstream that changes the case and has no TCP port cannot be used, since a forged reply
 * looks the same.
 */
export async function queryUpstream(
  query: UpstreamQuery,
  upstream: Upstream,
  deadlineMs: number,
  context: UpstreamContext,
): Promise<ExchangeResult> {
  const { health, clock, signal, randomInt, exchanges } = context;
  const startedMs = clock.monotonicMs();
  const options = (): ExchangeOptions => {
    const leftMs = deadlineMs - clock.monotonicMs();
    return { timeoutMs: Math.max(1, Math.min(context.tryTimeoutMs, leftMs)), signal, randomInt };
  };
  // Other soradns servers have private addresses, and old public servers may fail on an option that they do not know.
  let sent = isPublicAddress(upstream.address) ? { ...query, path: undefined } : query;
  let result = await exchanges.udp(upstream, sent, options());
  if (sent.edns && isEdnsRefusal(result)) {
    sent = { ...sent, edns: false };
    result = await exchanges.udp(upstream, sent, options());
  }
  // A cancelled question says nothing about the upstream.
  if (signal.aborted) return CANCELLED;
  const isSilent = result.kind === 'timeout' || result.kind === 'network';
  if (isSilent) health.failed(upstream, clock.monotonicMs());
  else health.succeeded(upstream);
  if (result.kind === 'truncated' || result.kind === 'caseChanged')
    result = await exchanges.tcp(upstream, sent, options());
  const times = health.timesOf(upstream);
  if (result.kind === 'reply' && isUsableReply(result.message))
    times.answered(clock.monotonicMs() - startedMs);
  else if (!signal.aborted) times.failed(context.tryTimeoutMs);
  return result;
}

/** RFC 6891 §7: servers from before EDNS reply FORMERR, some NOTIMP, without an OPT record of their own. */
function isEdnsRefusal(result: ExchangeResult): boolean {
  if (result.kind !== 'reply' || result.message.edns !== undefined) return false;
  const { rcode } = result.message;
  return rcode === Rcode.FORMERR || rcode === Rcode.NOTIMP;
}
