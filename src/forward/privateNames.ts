/**
 * Which questions may go to which upstreams, and the names and addresses that have a meaning only inside a network. A
 * public server cannot answer such a name, and the query would reveal to that server what runs here. An upstream on a
 * private address may know the name, so it still gets the query.
 */
import type { Message, Question } from '../dns/message.ts';
import { foldName, isSubdomainOf, type Name, parseName } from '../dns/name.ts';
import { Class, Rcode, type Rr, Type } from '../dns/rr.ts';
import { addressSet, cidrs } from './addresses.ts';
import type { Forwarded } from './outcome.ts';
import type { Upstream } from './upstream.ts';

/** RFC 6762, RFC 6761, RFC 7686, RFC 8375, and ICANN's `internal`. */
const SPECIAL_NAMES = ['local', 'localhost', 'invalid', 'test', 'onion', 'internal', 'home.arpa'];

/**
 * RFC 7686 §2 (4) and RFC 6761 §6.4 (4) ask a caching server for NXDOMAIN without a query, and RFC 9462 §6.1 asks a
 * forwarder to pass on no question about the last one: it is each resolver's own.
 */
const ABSENT_NAMES: readonly Name[] = [['onion'], ['invalid'], ['resolver', 'arpa']];

/** RFC 6303 §4 and RFC 7793: reverse zones of addresses that are not globally unique. */
const PRIVATE_REVERSE_ZONES = [
  ...['0', '10', '127', '254.169', '168.192', '255.255.255.255'].map(
    (net) => `${net}.in-addr.arpa`,
  ),
  ...range(16, 31).map((net) => `${net}.172.in-addr.arpa`),
  ...range(64, 127).map((net) => `${net}.100.in-addr.arpa`),
  ...['c.f', 'd.f', '8.e.f', '9.e.f', 'a.e.f', 'b.e.f'].map((net) => `${net}.ip6.arpa`),
  ...['0', '1'].map((last) => `${last}${'.0'.repeat(31)}.ip6.arpa`),
];

const privateZones = new Map<string, Name[]>();
for (const text of [...SPECIAL_NAMES, ...PRIVATE_REVERSE_ZONES]) {
  const zone = parseName(text) as Name;
  const top = zone.at(-1) as string;
  privateZones.set(top, [...(privateZones.get(top) ?? []), zone]);
}

/** Whether the name is a single label, special-use, or in the reverse zone of a private address. */
export function isPrivateName(qname: Name): boolean {
  if (qname.length === 1) return true;
  const [top = ''] = foldName(qname.slice(-1));
  return (privateZones.get(top) ?? []).some((zone) => isSubdomainOf(qname, zone));
}

/** Loopback, private, shared and link-local: the addresses of servers of the operator or of the provider. */
const notPublic = addressSet(
  cidrs(
    '0.0.0.0/8',
    '127.0.0.0/8',
    '10.0.0.0/8',
    '172.16.0.0/12',
    '192.168.0.0/16',
    '169.254.0.0/16',
    '100.64.0.0/10',
    '::/128',
    '::1/128',
    'fc00::/7',
    'fe80::/10',
  ),
);

export function isPublicAddress(address: string): boolean {
  return !notPublic(address);
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/**
 * Whether a name outside our zones may have private addresses: a private name, or one in a domain that the operator
 * allows. In DNS rebinding an outside name resolves to an internal address, so that a browser or a fetching service
 * connects to that address under the outside name.
 */
export function mayRebind(qname: Name, allowed: readonly Name[]): boolean {
  return isPrivateName(qname) || allowed.some((domain) => isSubdomainOf(qname, domain));
}

/** Whether one of the RRs is an address that has no meaning outside this network. */
export function hasPrivateAddress(rrs: readonly Rr[]): boolean {
  return rrs.some(({ type, rdata }) => {
    const isAddress = type === Type.A || type === Type.AAAA;
    return isAddress && rdata.kind === 'address' && !isPublicAddress(rdata.address);
  });
}

/** The upstreams that may get the name: a private name is sent to no public server. */
export function eligibleFor(qname: Name, upstreams: readonly Upstream[]): readonly Upstream[] {
  if (!isPrivateName(qname)) return upstreams;
  return upstreams.filter(({ address }) => !isPublicAddress(address));
}

/** The outcome of a question that is forwarded to no upstream; `undefined` if it may be forwarded. */
export function unaskedOutcome(
  question: Question,
  ndots: number,
  upstreams: readonly Upstream[],
): Forwarded | undefined {
  const { qname } = question;
  const unforwardable = unforwardableOutcome(question);
  if (unforwardable !== undefined) return unforwardable;
  const absent = ABSENT_NAMES.find((name) => isSubdomainOf(qname, name));
  if (absent !== undefined) return nxdomain(question, absent);
  if (qname.length < ndots) return refused(`the name has fewer than ${ndots} labels (--ndots)`);
  if (eligibleFor(qname, upstreams).length > 0) return undefined;
  return refused(
    isPrivateName(qname)
      ? 'no upstream, or only public ones, which are not asked for private names'
      : 'no upstream to forward to (--nameservers)',
  );
}

/** The same for a question about a domain with upstreams of its own. */
export function unaskedInDomain(
  question: Question,
  upstreams: readonly Upstream[],
): Forwarded | undefined {
  const unforwardable = unforwardableOutcome(question);
  if (unforwardable !== undefined || upstreams.length > 0) return unforwardable;
  return { kind: 'failed', reason: 'servfail', text: 'it has no server that this one can ask' };
}

function unforwardableOutcome({ qtype, qclass }: Question): Forwarded | undefined {
  if (qclass !== Class.IN) return refused('only class IN is forwarded');
  if (qtype === Type.AXFR || qtype === Type.IXFR)
    return refused('zone transfers are not forwarded');
  return undefined;
}

function refused(text: string): Forwarded {
  return { kind: 'refused', text };
}

function nxdomain(question: Question, zone: Name): Forwarded {
  const message = localReply(question, Rcode.NXDOMAIN, [], [emptyZoneSoa(zone)]);
  return { kind: 'answered', message };
}

/** The SOA of a zone without names, without which no client may keep a negative answer (RFC 6303 §3). */
export function emptyZoneSoa(zone: Name, ttlSeconds = 10_800): Rr {
  return {
    owner: zone,
    type: Type.SOA,
    class: Class.IN,
    ttlSeconds,
    rdata: {
      kind: 'soa',
      mname: zone,
      rname: ['nobody', 'invalid'],
      serial: 1,
      refreshSeconds: 3_600,
      retrySeconds: 1_200,
      expireSeconds: 604_800,
      minimumSeconds: ttlSeconds,
    },
  };
}

/** A reply as an upstream would send it, made here. */
export function localReply(
  question: Question,
  rcode: number,
  answer: readonly Rr[],
  authority: readonly Rr[],
): Message {
  return {
    id: 0,
    isResponse: true,
    opcode: 0,
    authoritative: false,
    truncated: false,
    recursionDesired: true,
    recursionAvailable: true,
    authenticData: false,
    checkingDisabled: false,
    rcode,
    questions: [question],
    answer,
    authority,
    additional: [],
    edns: undefined,
  };
}
