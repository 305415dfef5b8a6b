/** One question to one upstream, over UDP and where necessary over TCP, or over TLS alone, and what its outcome says about the upstream. */
import { Rcode } from '../dns/rr.ts';
import type { Clock } from '../timing/clock.ts';
import { isUsableReply } from './bailiwick.ts';
import type {
  ExchangeObserver,
  ExchangeOptions,
  SendQuery,
  UpstreamQuery,
} from './exchange/exchange.ts';
import { exchangeTcp } from './exchange/exchangeTcp.ts';
import { exchangeUdp } from './exchange/exchangeUdp.ts';
import type { RandomInt } from './exchange/randomCase.ts';
import type { ExchangeResult } from './exchange/reply.ts';
import type { UpstreamHealth } from './health.ts';
import type { ForwardCounters } from './outcome.ts';
import { isPublicAddress } from './privateNames.ts';
import { type SendOverTls, TlsUpstreams, type TlsUpstreamsOptions } from './tls/tlsUpstreams.ts';
import type { Upstream } from './upstream.ts';

/** How queries reach upstreams; `truncated` and `caseChanged` come over UDP only. */
export interface UpstreamExchanges {
  readonly udp: SendQuery;
  readonly tcp: SendQuery;
  /** To upstreams with a `tlsName`, which get nothing over the other two. */
  readonly tls: SendOverTls;
  /** Ends connections that are kept open. */
  readonly close?: () => void;
}

export function socketExchanges(options: TlsUpstreamsOptions): UpstreamExchanges {
  const overTls = new TlsUpstreams(options);
  return {
    udp: exchangeUdp,
    tcp: exchangeTcp,
    tls: overTls.exchange,
    close: () => overTls.close(),
  };
}

export interface UpstreamContext {
  readonly health: UpstreamHealth;
  readonly exchanges: UpstreamExchanges;
  readonly randomInt: RandomInt;
  readonly clock: Clock;
  readonly counters: ForwardCounters;
  readonly signal: AbortSignal;
  readonly observer?: ExchangeObserver | undefined;
  /** How long to listen for the reply of one upstream. */
  readonly tryTimeoutMs: number;
  readonly totalTimeoutMs: number;
}

const CANCELLED: ExchangeResult = { kind: 'network', text: 'the question was cancelled' };

/**
 * The final result of one upstream: over TLS if it has a `tlsName`; else over UDP, and over TCP if UDP could not carry or
 * prove the reply. Without EDNS if the upstream does not understand it; never `truncated` or `caseChanged`. An upstream that changes the case and has no TCP port cannot be used, since a forged reply
 * looks the same.
 */
export async function queryUpstream(
  query: UpstreamQuery,
  upstream: Upstream,
  deadlineMs: number,
  context: UpstreamContext,
): Promise<ExchangeResult> {
  const { health, clock, signal, randomInt, exchanges, observer } = context;
  const { tlsName } = upstream;
  const startedMs = clock.monotonicMs();
  const options = (): ExchangeOptions => {
    const leftMs = deadlineMs - clock.monotonicMs();
    const timeoutMs = Math.max(1, Math.min(context.tryTimeoutMs, leftMs));
    return { timeoutMs, signal, randomInt, observer };
  };
  // Other soradns servers have private addresses, and old public servers may fail on an option that they do not know.
  let sent = isPublicAddress(upstream.address) ? { ...query, path: undefined } : query;
  const send = (): Promise<ExchangeResult> =>
    tlsName === undefined
      ? exchanges.udp(upstream, sent, options())
      : exchanges.tls({ ...upstream, tlsName }, sent, options());
  let result = await send();
  if (sent.edns && isEdnsRefusal(result)) {
    sent = { ...sent, edns: false };
    result = await send();
  }
  // A cancelled question says nothing about the upstream.
  if (signal.aborted) return CANCELLED;
  const isSilent =
    result.kind === 'timeout' || result.kind === 'network' || result.kind === 'untrusted';
  if (isSilent) health.failed(upstream, clock.monotonicMs());
  else health.succeeded(upstream);
  if (result.kind === 'truncated' || result.kind === 'caseChanged')
    result = await exchanges.tcp(upstream, sent, options());
  const times = health.timesOf(upstream);
  if (result.kind === 'reply' && isUsableReply(result.message, query.recursionDesired))
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
