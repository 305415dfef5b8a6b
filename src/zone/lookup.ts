/**
 * The authoritative look-up (RFC 1034 §4.3.2 with SkyDNS's rules): turns a question about a name in one of our zones
 * into one of a few outcomes, from which `answer` makes the response.
 */
import { isReverseName, isReverseOfAddress } from '../dns/address.ts';
import type { Question } from '../dns/message.ts';
import { foldName, type Name, nameOctets } from '../dns/name.ts';
import { Class, type Rr, Type } from '../dns/rr.ts';
import { COMPRESSED_RR_OCTETS } from '../dns/wire.ts';
import { aliasOf, cnameOf, type Denial, type Followed } from './chain.ts';
import { follow } from './follow.ts';
import { nearServicesAt } from './near.ts';
import { fitting, rrset, type TimedRdata, timedRdata } from './rrset.ts';
import { storedRdata } from './storedRecords.ts';
import { mx, ns, srv, type WithGlue } from './targets.ts';
import { type LookupState, synthesisOf } from './tree/lookupState.ts';
import type { GivenAddress } from './tree/meaning.ts';
import { nameServersOf, type Selected, selectExact, selectExactAndBelow } from './tree/select.ts';
import { type NameServices, nameExists, servicesAt } from './tree/services.ts';
import { serviceTtl } from './tree/ttl.ts';
import { consulOf } from './tree/view.ts';
import { wildcardFor } from './tree/wildcard.ts';

export type Lookup =
  | {
      readonly kind: 'found';
      readonly rrs: readonly Rr[];
      readonly glue?: readonly Rr[];
      /** Records are missing, because a host could not be resolved. */
      readonly isPartial?: boolean;
    }
  /** The apex's SOA is the answer. */
  | { readonly kind: 'soa' }
  /** The last of the CNAMEs, or the name itself, has no records of the type. */
  | { readonly kind: 'nodata'; readonly cnames: readonly Rr[]; readonly denial: Denial }
  | { readonly kind: 'nxdomain' }
  | { readonly kind: 'refused'; readonly text: string }
  /** The answer needs another server's answer, which did not come. */
  | { readonly kind: 'failed' };

const NXDOMAIN: Lookup = { kind: 'nxdomain' };

/** Looks up a question of class IN whose qname is in the zone of `apex`. */
export function lookup(state: LookupState, question: Question, apex: Name): Lookup {
  const outcome = lookUpType(state, question, apex);
  if (outcome.kind !== 'nxdomain') return outcome;
  // The apex of an empty zone exists too: it has an SOA. A name above a domain of other servers does as well.
  const { qname } = question;
  const exists = qname.length === apex.length || state.view.settings.forwarded.isAbove(qname);
  return exists ? nodata(apex) : outcome;
}

function lookUpType(state: LookupState, question: Question, apex: Name): Lookup {
  const { qname, qtype } = question;
  const isApex = qname.length === apex.length;
  switch (qtype) {
    case Type.SRV:
      return withTargets(state, question, apex, srv);
    case Type.MX:
      return mailExchanges(state, question, apex);
    case Type.CNAME:
      return isApex ? nodata(apex) : cname(state, qname, apex);
    case Type.PTR:
      return ptr(state, qname, apex);
    case Type.NS:
      return isApex ? nameServers(state, qname, apex) : followed(state, question, apex);
    case Type.SOA:
      return isApex ? { kind: 'soa' } : followed(state, question, apex);
    case Type.ANY:
      return any(state, qname, apex);
    case Type.AXFR:
    case Type.IXFR:
      return { kind: 'refused', text: 'zone transfer is not offered' };
    default:
      return followed(state, question, apex);
  }
}

function nodata(apex: Name): Lookup {
  return { kind: 'nodata', cnames: [], denial: { kind: 'own', apex } };
}

/** The records of the type at the end of the name's aliases. */
function followed(state: LookupState, { qname, qtype }: Question, apex: Name): Lookup {
  return lookupOf(state, follow(state, qname, apex, qtype), apex);
}

function lookupOf(state: LookupState, end: Followed, apex: Name): Lookup {
  switch (end.kind) {
    case 'found':
    case 'nodata':
    case 'nxdomain':
    case 'failed':
      return end;
    case 'unresolved':
      // A client that does not want recursion follows the CNAME itself.
      return state.view.recursionDesired
        ? { ...end, kind: 'nodata', denial: { kind: 'foreign', soa: undefined } }
        : { kind: 'found', rrs: end.cnames };
    case 'dead':
      return nodata(apex);
  }
}

function withTargets(
  state: LookupState,
  { qname, qtype }: Question,
  apex: Name,
  build: (
    state: LookupState,
    owner: Name,
    services: readonly Selected[],
    addressDomain?: Name,
  ) => WithGlue,
): Lookup {
  const at = nearServicesAt(state, qname, apex, qtype);
  if (at === undefined) return NXDOMAIN;
  const { answer, additional } = build(state, qname, at.services, at.addressDomain);
  return answer.length === 0 ? nodata(apex) : { kind: 'found', rrs: answer, glue: additional };
}

/** The name's own mail exchanges or, if it is an alias without any, those of its target. */
function mailExchanges(state: LookupState, question: Question, apex: Name): Lookup {
  const own = withTargets(state, question, apex, mx);
  if (own.kind === 'found') return withStored(state, question, apex, own);
  if (own.kind !== 'nodata') return own;
  const build = (owner: Name, services: readonly Selected[]) => mx(state, owner, services).answer;
  const trail = { names: [], need: 'required', build } as const;
  return lookupOf(state, follow(state, question.qname, apex, Type.MX, trail), apex);
}

/** The records with those from fields `rr`. */
function withStored(
  state: LookupState,
  { qname, qtype }: Question,
  apex: Name,
  found: Extract<Lookup, { kind: 'found' }>,
): Lookup {
  const wildcard = synthesisOf(state, foldName(qname))?.wildcard;
  const stored = storedRdata(state, { owner: qname, apex, wildcard }, qtype);
  if (stored.length === 0) return found;
  return { ...found, rrs: rrset(qname, qtype, [...found.rrs.map(timedRdata), ...stored]) };
}

/** The CNAME of an alias, or else the host of a value that the answers for other types hide (CoreDNS). */
function cname(state: LookupState, qname: Name, apex: Name): Lookup {
  const at = nearServicesAt(state, qname, apex, Type.CNAME);
  if (at === undefined) return NXDOMAIN;
  const hidden = hiddenAt(state, foldName(qname), at);
  const alias =
    aliasOf(state, qname, apex, at) ??
    (hidden && aliasOf(state, qname, apex, { ...at, ...hidden }));
  return alias === undefined ? nodata(apex) : { kind: 'found', rrs: [cnameOf(qname, alias)] };
}

/** The services at exactly this folded name that are not among those that answer for it, because it has some below. */
function hiddenAt(
  state: LookupState,
  name: Name,
  { services, wildcard, isLeader }: NameServices,
): Pick<NameServices, 'services' | 'isWhole'> | undefined {
  if (state.view.settings.parentValue !== 'hidden') return undefined;
  if (wildcard !== undefined || isLeader === true) return undefined;
  const exact = selectExact(state, name);
  if (exact.kind === 'missing') return undefined;
  const node = exact.services[0]?.node;
  return services.some((selected) => selected.node === node) ? undefined : exact;
}

/**
 * PTR: the host names registered at exactly this name, in a reverse zone or any other. For an address's reverse name
 * also the host names one label below it, where external-dns registers several for one address.
 */
export function ptr(state: LookupState, qname: Name, apex: Name): Lookup {
  const name = foldName(qname);
  const hasMembersBelow = isReverseOfAddress(name);
  const selectAt = hasMembersBelow ? selectExactAndBelow : selectExact;
  let selection = selectAt(state, name);
  if (selection.kind === 'missing') {
    // Other servers may answer for the names of addresses.
    const isAbsent = isReverseName(name) || !nameExists(state, qname, apex);
    const wildcard = isAbsent ? wildcardFor(state, name) : synthesisOf(state, name)?.wildcard;
    if (wildcard === undefined) return isAbsent ? NXDOMAIN : nodata(apex);
    selection = selectAt(state, wildcard);
    if (selection.kind === 'missing') return NXDOMAIN;
  }
  const members = selection.services.flatMap(({ registration }) => {
    const { target } = registration;
    if (target === undefined) return [];
    const rdata = { kind: 'name', target } as const;
    return [{ rdata, ttl: serviceTtl(state, registration) }];
  });
  if (members.length === 0) return nodata(apex);
  const kept = fitting(members, namesOctets, state.view.sampleStart);
  return { kind: 'found', rrs: rrset(qname, Type.PTR, kept) };
}

function namesOctets({ rdata }: TimedRdata): number {
  return COMPRESSED_RR_OCTETS + (rdata.kind === 'name' ? nameOctets(rdata.target) : 0);
}

/** Consul's domain has the name servers of the zone whose services it shows. */
function nameServers(state: LookupState, qname: Name, apex: Name): Lookup {
  const zone = consulOf(state.view.settings, apex)?.own.zone ?? apex;
  const name = nameServersOf(zone);
  const at = servicesAt(state, name, zone, Type.NS);
  if (at?.given !== undefined) return ownNameServer(state, qname, name, at.given);
  const { answer, additional } = ns(state, qname, at?.services ?? []);
  return answer.length === 0 ? nodata(apex) : { kind: 'found', rrs: answer, glue: additional };
}

/** This server, with its addresses. */
function ownNameServer(
  { view }: LookupState,
  owner: Name,
  target: Name,
  given: readonly GivenAddress[],
): Lookup {
  const { ttlSeconds } = view.settings;
  const record = { class: Class.IN, ttlSeconds };
  const rrs: Rr[] = [{ ...record, owner, type: Type.NS, rdata: { kind: 'name', target } }];
  const glue = given.map(({ family, address }): Rr => {
    const type = family === 4 ? Type.A : Type.AAAA;
    return { ...record, owner: target, type, rdata: { kind: 'address', address } };
  });
  return { kind: 'found', rrs, glue };
}

/** RFC 8482 §4.2: one HINFO in place of all records. */
function any(state: LookupState, qname: Name, apex: Name): Lookup {
  const { settings } = state.view;
  const isApex = qname.length === apex.length;
  if (!isApex && !nameExists(state, qname, apex)) return NXDOMAIN;
  if (settings.any === 'refuse') return { kind: 'refused', text: 'QTYPE ANY is not answered' };
  const hinfo: Rr = {
    owner: qname,
    type: Type.HINFO,
    class: Class.IN,
    ttlSeconds: settings.ttlSeconds,
    rdata: { kind: 'hinfo', cpu: 'RFC8482', os: '' },
  };
  return { kind: 'found', rrs: [hinfo] };
}
