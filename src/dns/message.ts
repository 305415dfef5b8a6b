/**
 * dns/: The values and octets of DNS: names, records, messages, EDNS, truncation. Pure.
 * Imports: nothing.
 * Used by: app, app/process, app/registrar, cli, cli/commands, config, dataplane/listeners, dataplane/publish,
 *   dataplane/sockets, dataplane/table, forward, main, observability, registrar/describe, registrar/engine,
 *   registrar/leadership, registrar/observe, registrar/reconcile, registrar/registrator, server,
 *   server/http/exchange, service, tools/doctor, tools/doctor/judge, tools/integrate, zone.
 *
 * Messages (RFC 1035 §4) as values: what `accept` makes of a packet, what the zone or a forwarder answers, and what
 * `decodeMessage` makes of an upstream's reply.
 */
import type { ServerId } from './edns.ts';
import type { Name } from './name.ts';
import { Rcode, type Rr } from './rr.ts';

export interface Question {
  /** In the case the client sent, which the reply echoes octet by octet (0x20). */
  readonly qname: Name;
  readonly qtype: number;
  readonly qclass: number;
}

/** What a client's OPT record says (RFC 6891 §6.1). */
export interface Edns {
  /** As sent; `replyLimit` applies the floor of 512 and our cap. */
  readonly udpSize: number;
  readonly version: number;
  readonly dnssecOk: boolean;
  /** The soradns servers that have forwarded the question; see `path.ts`. */
  readonly path?: readonly ServerId[] | undefined;
}

/** An acceptable query: opcode QUERY, one question, at most one OPT of version 0. */
export interface Query {
  readonly id: number;
  readonly recursionDesired: boolean;
  readonly checkingDisabled: boolean;
  readonly question: Question;
  readonly edns: Edns | undefined;
}

/** RFC 8914. The text is for people and ends in no full stop. */
export interface ExtendedError {
  readonly code: number;
  readonly text: string;
}

/** INFO-CODEs of RFC 8914 §4 that a client of ours can make use of. */
export const Ede = {
  OTHER: 0,
  STALE_ANSWER: 3,
  NOT_READY: 14,
  BLOCKED: 15,
  PROHIBITED: 18,
  NOT_AUTHORITATIVE: 20,
  NO_REACHABLE_AUTHORITY: 22,
  NETWORK_ERROR: 23,
} as const;

/** The data may be out of date: the store that it comes from is out of reach (RFC 8914 §4.4). */
export const STALE: ExtendedError = {
  code: Ede.STALE_ANSWER,
  text: 'the store is out of reach',
};

/** The decided answer to a query, before any octet of it exists. */
export interface Response {
  readonly rcode: number;
  readonly authoritative: boolean;
  readonly recursionAvailable: boolean;
  readonly answer: readonly Rr[];
  readonly authority: readonly Rr[];
  readonly additional: readonly Rr[];
  readonly extendedError?: ExtendedError | undefined;
  /** Records are missing that only a reply over TCP can carry: TC, whatever fits. */
  readonly truncated?: boolean;
  /** The message's last record (RFC 8945 §5.1). */
  readonly tsig?: Rr | undefined;
}

/** A decoded message of any kind, for those who ask questions (forwarder, tests). OPT is not among `additional`. */
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
  /** With the upper bits from OPT, if there is one. */
  readonly rcode: number;
  readonly questions: readonly Question[];
  readonly answer: readonly Rr[];
  readonly authority: readonly Rr[];
  readonly additional: readonly Rr[];
  readonly edns: Edns | undefined;
}

/** Responses by what they mean. */

/** An answer out of our own data (AA). */
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

/** A response without rrs, and why, for those who can read it (RFC 8914). */
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

/**
 * The seam between transports and meaning: one function from a packet to the octets of its answer, called by every
 * transport (UDP, TCP, later DoT and DoH) and served by `server/responder.ts`.
 */
export interface DnsClient {
  readonly transport: 'udp' | 'tcp';
  /** Without a zone index; IPv4-mapped IPv6 addresses as plain IPv4. */
  readonly address: string;
  readonly port: number;
}

/**
 * Answers a packet. Calls `send` at most once, at once or later, with a complete message (no TCP length prefix); not at
 * all when the packet deserves no reply. Never throws. The packet's buffer may be reused after the call returns; the
 * reply belongs to the transport, which may read it later.
 */
export type Respond = (
  packet: Uint8Array,
  client: DnsClient,
  send: (reply: Uint8Array) => void,
) => void;
