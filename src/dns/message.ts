/**
 * dns/: Names, RRs, messages and EDNS as values and as octets. Pure.
 * Imports: nothing.
 * Used by: ambassador, ambassador/follow, ambassador/names, ambassador/nft, ambassador/proxy, ambassador/proxy/carry,
 *   app, app/ambassador, app/answering, app/process, app/registrar, cli, cli/commands, cli/host, cli/linking,
 *   cli/signing, config, config/options, dataplane/cache, dataplane/listeners, dataplane/publish, dataplane/reply,
 *   dataplane/sockets, dataplane/table, dns/presentation, dnstap, forward, forward/domains, forward/exchange,
 *   forward/tls, kernel, main, observability, registrar, registrar/describe, registrar/engine, registrar/leadership,
 *   registrar/links, registrar/observe, registrar/reconcile, registrar/registrator, server, server/http,
 *   server/http/api, server/http/exchange, server/listening, server/tcp, server/tls, server/transfer, service, sign,
 *   tools/doctor, tools/doctor/judge, tools/integrate, transfer, zone, zone/tree.
 *
 * Messages (RFC 1035 §4) as values: the query that `accept` reads, the response of the zone or the forwarder, the
 * message that `decodeMessage` reads from an upstream's reply; and the function that transports call to answer a
 * packet.
 */
import type { Name } from './name.ts';
import { Rcode, type Rr, Type } from './rr.ts';

export interface Question {
  /** In the case the client sent, which the reply echoes octet by octet (0x20). */
  readonly qname: Name;
  readonly qtype: number;
  readonly qclass: number;
}

/** The content of a client's OPT record (RFC 6891 §6.1). */
export interface Edns {
  /** As sent; `replyLimit` applies the floor of 512 and our cap. */
  readonly udpSize: number;
  readonly version: number;
  readonly dnssecOk: boolean;
  /** CO: the client understands NXDOMAIN in compact denial of existence (RFC 9824 §5.1). */
  readonly compactOk?: boolean | undefined;
  /** The client asks which server answers (RFC 5001). */
  readonly nsid?: boolean | undefined;
  /** The client's cookie and, behind it, the server's if the client has one (RFC 7873 §4): as sent, of any length. */
  readonly cookie?: Uint8Array | undefined;
  /** The soradns servers that have forwarded the question. */
  readonly path?: readonly ServerId[] | undefined;
  /** A server has sent the question to the servers of a stub zone. Absent otherwise. */
  readonly isStubMarked?: true | undefined;
}

/** An EDNS option of a reply. */
export interface ReplyOption {
  readonly code: number;
  readonly data: Uint8Array;
}

/** The TSIG record at the end of a query (RFC 8945 §4.2). */
export interface QuerySignature {
  /** Offset of the record in the packet: its owner name begins there. */
  readonly at: number;
  /** The TSIG record of a reply that says BADKEY (§5.2.1, §5.3.2): the query's own, unsigned. */
  readonly badKey: Rr;
}

/** A query that the header policy accepts: opcode QUERY, one question, at most one OPT of version 0. */
export interface Query {
  readonly id: number;
  readonly recursionDesired: boolean;
  readonly checkingDisabled: boolean;
  readonly question: Question;
  /** It has no question, so the reply has none; `question` is the root's. */
  readonly isQuestionless?: true;
  readonly edns: Edns | undefined;
  /** Not verified; absent in an unsigned query. */
  readonly tsig?: QuerySignature | undefined;
}

/** RFC 8914. The text is for logs and tools, and has no full stop. */
export interface ExtendedError {
  readonly code: number;
  readonly text: string;
}

/** The INFO-CODEs of RFC 8914 §4 that this server sends. */
export const Ede = {
  OTHER: 0,
  STALE_ANSWER: 3,
  RRSIGS_MISSING: 10,
  NOT_READY: 14,
  BLOCKED: 15,
  PROHIBITED: 18,
  STALE_NXDOMAIN: 19,
  NOT_AUTHORITATIVE: 20,
  NOT_SUPPORTED: 21,
  NO_REACHABLE_AUTHORITY: 22,
  NETWORK_ERROR: 23,
  INVALID_DATA: 24,
  INVALID_QTYPE: 30,
} as const;

/** The answer may be out of date, since the store is unreachable (RFC 8914 §4.4). */
export const STALE: ExtendedError = {
  code: Ede.STALE_ANSWER,
  text: 'the store is unreachable',
};

/** Other servers' answers that have expired (RFC 8767); RFC 8914 has a code of its own for NXDOMAIN. */
export const STALE_ANSWER: ExtendedError = {
  code: Ede.STALE_ANSWER,
  text: 'no upstream has replied',
};
export const STALE_NXDOMAIN: ExtendedError = { ...STALE_ANSWER, code: Ede.STALE_NXDOMAIN };

/** The decided answer to a query, before it is encoded. */
export interface Response {
  readonly rcode: number;
  readonly authoritative: boolean;
  readonly recursionAvailable: boolean;
  readonly answer: readonly Rr[];
  readonly authority: readonly Rr[];
  readonly additional: readonly Rr[];
  readonly extendedError?: ExtendedError | undefined;
  /** CO: the RCODE of this compact denial is the true one (RFC 9824 §5.1). */
  readonly compactOk?: boolean | undefined;
  /** RRs were left out that only a reply over TCP can carry, so TC is set even if the rest fits. */
  readonly truncated?: boolean;
  /** TC is set if the additional section does not fit. */
  readonly needsAdditional?: true;
  /** The name that the rate limit counts for the reply; absent: the question's or, for NXDOMAIN, the zone's. */
  readonly limitedAs?: Name | undefined;
  /** Options of the reply's OPT record, which it has if the query has one. */
  readonly options?: readonly ReplyOption[] | undefined;
  /** The last RR of the message (RFC 8945 §5.1). */
  readonly tsig?: Rr | undefined;
}

/** A decoded message of any kind, for the forwarder, commands and tests. OPT is not in `additional`. */
export interface Message {
  readonly id: number;
  readonly isResponse: boolean;
  readonly opcode: number;
  readonly authoritative: boolean;
  readonly truncated: boolean;
  readonly recursionDesired: boolean;
  readonly recursionAvailable: boolean;
  readonly authenticData: boolean;
  readonly checkingDisabled: boolean;
  /** With its upper bits from OPT. */
  readonly rcode: number;
  readonly questions: readonly Question[];
  readonly answer: readonly Rr[];
  readonly authority: readonly Rr[];
  readonly additional: readonly Rr[];
  readonly edns: Edns | undefined;
}

/** RFC 8767 §4: the TTL of the records of another server's answer that has expired. */
export const STALE_TTL_SECONDS = 30;

/**
 * How long another server's answer may be kept: the least TTL of its records, in seconds. 0 for a negative answer without
 * SOA, which RFC 2308 §5 forbids keeping.
 */
export function keptSeconds(
  qtype: number,
  { answer, authority }: Pick<Message, 'answer' | 'authority'>,
): number {
  const isPositive = answer.some(({ type }) => type === qtype || qtype === Type.ANY);
  if (!isPositive && !authority.some(({ type }) => type === Type.SOA)) return 0;
  return Math.min(...[...answer, ...authority].map(({ ttlSeconds }) => ttlSeconds));
}

/** An answer from our own data (AA). */
export function authoritative(
  rcode: number,
  answer: readonly Rr[],
  authority: readonly Rr[] = [],
  additional: readonly Rr[] = [],
): Response {
  return {
    rcode,
    authoritative: true,
    recursionAvailable: false,
    answer,
    authority,
    additional,
  };
}

/** A response without RRs, with the reason as an extended error (RFC 8914). */
function withoutRrs(rcode: number, ede: number, text: string): Response {
  return {
    ...authoritative(rcode, []),
    authoritative: false,
    extendedError: { code: ede, text },
  };
}

export function refused(text: string, ede: number = Ede.PROHIBITED): Response {
  return withoutRrs(Rcode.REFUSED, ede, text);
}

export function servfail(ede: number, text: string): Response {
  return withoutRrs(Rcode.SERVFAIL, ede, text);
}

/** The answer to a query that is signed with an unknown key: to its client an unsigned answer would look forged. */
export function unknownKey({ badKey }: QuerySignature): Response {
  return { ...authoritative(Rcode.NOTAUTH, []), authoritative: false, tsig: badKey };
}

/** How a query arrives: plain DNS, DNS over TLS (RFC 7858), DNS over HTTPS (RFC 8484). */
export const TRANSPORTS = ['udp', 'tcp', 'dot', 'doh'] as const;

export type Transport = (typeof TRANSPORTS)[number];

/** The sender of a packet. */
export interface DnsClient {
  readonly transport: Transport;
  /** Without a zone index; an IPv4-mapped IPv6 address as IPv4. */
  readonly address: string;
  readonly port: number;
  /** The address of ours at which the packet arrived, if it is known; in the form of `address`. */
  readonly localAddress?: string | undefined;
  /** The port at which it arrived, if it is known. */
  readonly localPort?: number | undefined;
  /** The most octets that are added to its reply after it was encoded, those of a signature; absent: none. */
  readonly addedOctets?: number | undefined;
}

/**
 * Answers a packet, for every transport; `server/responder.ts` implements it. Calls `send` at most once,
 * during the call or later, with a complete message (without TCP's length); never for a packet that deserves no reply.
 * Never throws. The caller may reuse the packet's buffer once the call has returned; the reply's buffer belongs to the
 * caller.
 */
export type Respond = (
  packet: Uint8Array,
  client: DnsClient,
  send: (reply: Uint8Array) => void,
) => void;

/**
 * Identifies a soradns server in the path of a question: 8 octets as lower-case hexadecimal digits. Each server that
 * forwards a question adds its id to the path, and one that finds its own id there has detected a loop.
 */
export type ServerId = string;
