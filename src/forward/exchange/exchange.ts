/**
 * forward/exchange/: One question to one upstream: sends it, and recognizes the reply.
 * Imports: dns, timing.
 * Used by: dnstap, forward, forward/tls.
 *
 * What the exchanges over UDP and TCP have in common.
 */
import type { Socket } from 'node:net';
import type { SocketAddress } from '../../dns/address.ts';
import { STUB_OPTION, UDP_SIZE } from '../../dns/edns.ts';
import { encodeQuery } from '../../dns/encode.ts';
import type { Question, ServerId } from '../../dns/message.ts';
import { withDeadline } from '../../timing/deadline.ts';
import type { RandomInt } from './randomCase.ts';
import type { ExchangeResult } from './reply.ts';

export interface UpstreamQuery {
  /** With the qname in the case to send. */
  readonly question: Question;
  readonly checkingDisabled: boolean;
  readonly dnssecOk: boolean;
  /** Whether to send an OPT record. */
  readonly edns: boolean;
  /** The soradns servers that the question has passed, this one the last. Undefined: the upstream must not see them. */
  readonly path: readonly ServerId[] | undefined;
  /** Default: true. */
  readonly recursionDesired?: boolean;
  /** Tells another server that the question was sent for a stub zone. Default: false. */
  readonly isStubMarked?: boolean;
}

export interface ExchangeOptions {
  readonly timeoutMs: number;
  /** Ends the exchange at once, as a network failure. */
  readonly signal: AbortSignal;
  readonly randomInt: RandomInt;
  readonly observer?: ExchangeObserver | undefined;
}

/** Sees the octets of each query that is sent. What it returns sees those of the reply. Neither may throw. */
export type ExchangeObserver = (
  query: Uint8Array,
  route: ExchangeRoute,
) => (reply: Uint8Array) => void;

export interface ExchangeRoute {
  readonly transport: 'udp' | 'tcp' | 'dot';
  /** Our end; undefined if the connection has ended already. */
  readonly from: SocketAddress | undefined;
  /** The upstream. */
  readonly to: SocketAddress;
}

/** Our end of a connection; undefined once it has ended. */
export function ownEnd({ localAddress, localPort = 0 }: Socket): SocketAddress | undefined {
  return localAddress === undefined ? undefined : { address: localAddress, port: localPort };
}

/** Sends one query to one upstream. Settles within `timeoutMs` and never rejects. */
export type SendQuery = (
  upstream: SocketAddress,
  query: UpstreamQuery,
  options: ExchangeOptions,
) => Promise<ExchangeResult>;

/** The question as octets. */
export function encodeUpstreamQuery(query: UpstreamQuery, id: number): Uint8Array {
  const { question, recursionDesired = true, checkingDisabled } = query;
  const { dnssecOk, path, isStubMarked } = query;
  const options = isStubMarked ? [STUB_OPTION] : undefined;
  const edns = query.edns ? { udpSize: UDP_SIZE, dnssecOk, options, path } : undefined;
  return encodeQuery({ id, question, recursionDesired, checkingDisabled, edns });
}

/**
 * Settles with the first result that `start` reports, or with a failure at the timeout or when the signal is aborted.
 */
export function exchangeWithin(
  { timeoutMs, signal }: ExchangeOptions,
  start: (settle: (result: ExchangeResult) => void) => void,
): Promise<ExchangeResult> {
  return withDeadline(
    new Promise(start),
    timeoutMs,
    (end): ExchangeResult =>
      end === 'timeout' ? { kind: 'timeout' } : { kind: 'network', text: 'shutting down' },
    { signal },
  );
}
