/**
 * The records of a name, through CNAMEs: in our zones from the tree, outside from other servers' answers.
 *
 * An alias (`aliasOf`) has a CNAME. A name that leads to host names without being an alias has their addresses as its
 * own records (`gather`).
 */
import type { Question } from '../dns/message.ts';
import { equalNames, foldName, type Name } from '../dns/name.ts';
import { Class, type Rr, Type } from '../dns/rr.ts';
import {
  aliasOf,
  canFollow,
  cnameOf,
  type Followed,
  type Link,
  ownNodata,
  type Trail,
} from './chain.ts';
import { dsAt } from './delegation.ts';
import { gather } from './gather.ts';
import { nearServicesAt } from './near.ts';
import { rrset, timedRdata } from './rrset.ts';
import { hasStoredRecords, type RecordsPlace, storedRdata } from './storedRecords.ts';
import { greaterNeed, type LookupState, type Need } from './tree/lookupState.ts';
import type { GivenAddress } from './tree/meaning.ts';
import type { Selected } from './tree/select.ts';
import { apexOf, type External, parentApexOf, placeOf, type ZoneSettings } from './tree/view.ts';

const START: Trail = { names: [], need: 'required' };

const NXDOMAIN: Followed = { kind: 'nxdomain' };
const DEAD: Followed = { kind: 'dead' };
const FAILED: Followed = { kind: 'failed' };

/** The records of a name in the zone of `apex`. */
export function follow(
  state: LookupState,
  owner: Name,
  apex: Name,
  qtype: number,
  trail: Trail = START,
): Followed {
  if (state.namesLeft-- <= 0) return DEAD;
  const at = nearServicesAt(state, owner, apex, qtype);
  if (at === undefined) return NXDOMAIN;
  if (at.given !== undefined && (qtype === Type.A || qtype === Type.AAAA)) {
    return givenRecords(owner, apex, qtype, at.given);
  }
  const here = { ...trail, names: [...trail.names, foldName(owner)] };
  const alias = aliasOf(state, owner, apex, at);
  if (alias !== undefined) return followAlias(state, owner, alias, qtype, here);
  const place = { owner, apex, wildcard: at.wildcard };
  const stored = storedRdata(state, place, qtype);
  if (qtype === Type.A || qtype === Type.AAAA || qtype === Type.TXT) {
    const isFlat = mustBeFlat(state, place, at.services);
    return gather(state, { owner, apex, qtype, stored, isFlat }, at.services, here, followTarget);
  }
  const built = trail.build?.(owner, at.services) ?? [];
  const rrs = rrset(owner, qtype, [...built.map(timedRdata), ...stored]);
  return rrs.length > 0 ? { kind: 'found', rrs, isPartial: false } : ownNodata(apex);
}

/** Whether a CNAME to the name's only host would hide other records of the name. */
function mustBeFlat(
  state: LookupState,
  place: RecordsPlace,
  services: readonly Selected[],
): boolean {
  if (place.owner.length === place.apex.length) return true;
  const asksForIt = services.some(({ registration }) => registration.attributes.alias);
  return asksForIt || hasStoredRecords(state, place);
}

/** The records of a name that has its addresses in place of its services'. */
function givenRecords(
  owner: Name,
  apex: Name,
  qtype: number,
  given: readonly GivenAddress[],
): Followed {
  const family = qtype === Type.A ? 4 : 6;
  const rrs = given
    .filter((each) => each.family === family)
    .map(({ address, ttlSeconds }): Rr => {
      const rdata = { kind: 'address', address } as const;
      return { owner, type: qtype, class: Class.IN, ttlSeconds, rdata };
    });
  return rrs.length > 0 ? { kind: 'found', rrs, isPartial: false } : ownNodata(apex);
}

/** The CNAME, and the records of its target. */
function followAlias(
  state: LookupState,
  owner: Name,
  link: Link,
  qtype: number,
  trail: Trail,
): Followed {
  if (!canFollow(link.target, trail.names)) return DEAD;
  const end = followTarget(state, link.target, qtype, trail);
  const cname = cnameOf(owner, link);
  switch (end.kind) {
    case 'found':
      return { ...end, rrs: [cname, ...end.rrs] };
    case 'nodata':
    case 'unresolved':
      return { ...end, cnames: [cname, ...end.cnames] };
    case 'failed':
      return FAILED;
    // The answer omits a CNAME to a name that does not exist (SkyDNS), but its owner name exists.
    case 'nxdomain':
    case 'dead':
      return DEAD;
  }
}

/** The records of any name, in our zones or outside. */
export function followTarget(
  state: LookupState,
  target: Name,
  qtype: number,
  trail: Trail,
): Followed {
  const { settings } = state.view;
  const parent = qtype === Type.DS ? parentApexOf(settings, target) : undefined;
  if (parent !== undefined) {
    const rrs = dsAt(state, target);
    return rrs.length > 0 ? { kind: 'found', rrs, isPartial: false } : ownNodata(parent);
  }
  const apex = apexOf(settings, target);
  if (apex !== undefined) return follow(state, target, apex, qtype, trail);
  // Without the cut the target is a name of our zone again.
  const cut = settings.forwarded.cutOf(target);
  if (cut !== undefined) state.namesRead.push(cut.name);
  const found = lookUpExternal(state, target, qtype, trail);
  switch (found.kind) {
    case 'missing':
    case 'failed':
      return FAILED;
    case 'unasked':
    case 'unavailable':
      return { kind: 'unresolved', cnames: [] };
    case 'found':
    case 'nxdomain':
      return followForeign(state, found, { qname: target, qtype }, trail);
  }
}

/** Another server's answer and, if its CNAMEs lead back into our zones, the records there. */
function followForeign(
  state: LookupState,
  answered: Extract<External, { kind: 'found' | 'nxdomain' }>,
  asked: Pick<Question, 'qname' | 'qtype'>,
  trail: Trail,
): Followed {
  const { settings } = state.view;
  const { qtype } = asked;
  const { rrs, back } = foreignPart(settings, foreignReplyOf(answered), asked);
  if (back !== undefined) return followBack(state, rrs, back, qtype, trail);
  if (answered.kind === 'nxdomain') return NXDOMAIN;
  if (rrs.some(({ type }) => type === qtype)) return { kind: 'found', rrs, isPartial: false };
  const { soa } = answered;
  const isTheirs = soa !== undefined && apexOf(settings, soa.owner) === undefined;
  return {
    kind: 'nodata',
    cnames: rrs,
    denial: { kind: 'foreign', soa: isTheirs ? soa : undefined },
  };
}

export function foreignReplyOf(
  answered: Extract<External, { kind: 'found' | 'nxdomain' }>,
): ForeignReply {
  const { kind, rrs } = answered;
  return { rrs, isDenied: kind === 'nxdomain' || answered.soa !== undefined };
}

/** Continues at the name to which another server's CNAMEs lead. */
function followBack(
  state: LookupState,
  rrs: readonly Rr[],
  back: Name,
  qtype: number,
  trail: Trail,
): Followed {
  if (!canFollow(back, trail.names)) return DEAD;
  const end = followTarget(state, back, qtype, trail);
  switch (end.kind) {
    case 'found':
      return { ...end, rrs: [...rrs, ...end.rrs] };
    case 'nodata':
    case 'unresolved':
      return { ...end, cnames: [...rrs, ...end.cnames] };
    default:
      return end;
  }
}

/** What is known about a name outside our zones. */
export type ExternalLookup =
  | External
  /** The question has to be sent to another server first; it is in `LookupState.missing`. */
  | { readonly kind: 'missing' }
  /** The client did not ask for recursion. */
  | { readonly kind: 'unasked' };

function lookUpExternal(
  state: LookupState,
  qname: Name,
  qtype: number,
  { need, isFlat }: Trail,
): ExternalLookup {
  state.leadsOutside = true;
  const isAsked = state.view.recursionDesired || (isFlat && state.view.listing === undefined);
  if (!isAsked) return { kind: 'unasked' };
  const known = state.view.externals.get(qname, qtype);
  if (known === undefined) return noteMissing(state, qname, qtype, need);
  if (known.kind !== 'unavailable') state.isForeign = true;
  return known;
}

function noteMissing(state: LookupState, qname: Name, qtype: number, need: Need): ExternalLookup {
  const question = { qname, qtype, qclass: Class.IN };
  const noted = state.missing.findIndex(
    (other) => other.question.qtype === qtype && equalNames(other.question.qname, qname),
  );
  const before = state.missing[noted];
  if (before !== undefined) {
    state.missing[noted] = { question, need: greaterNeed(need, before.need) };
    return { kind: 'missing' };
  }
  if (state.externalsLeft <= 0) return { kind: 'failed' };
  state.externalsLeft--;
  state.missing.push({ question, need });
  return { kind: 'missing' };
}

/** Another server's reply, as far as a chain of names needs it. */
export interface ForeignReply {
  readonly rrs: readonly Rr[];
  /** It says that the chain's last name does not exist or has no such records. */
  readonly isDenied: boolean;
}

export interface ForeignPart {
  /** The RRs for which the other server has authority. */
  readonly rrs: readonly Rr[];
  /** The target of a CNAME among them, whose records have to come from elsewhere. */
  readonly back: Name | undefined;
  /** `back` is in our zones, or in a domain that has other servers. */
  readonly leadsInside: boolean;
}

/**
 * Keeps those of another server's RRs for which it has authority. It has none for names in our zones, nor for names in a
 * domain that has other servers.
 */
export function foreignPart(
  settings: ZoneSettings,
  { rrs, isDenied }: ForeignReply,
  { qname, qtype }: Pick<Question, 'qname' | 'qtype'>,
): ForeignPart {
  const asked = placeOf(settings, qname);
  const isElsewhere = (name: Name): boolean => {
    const place = placeOf(settings, name);
    return place !== undefined && place !== asked;
  };
  const foreign = rrs.filter(({ owner }) => !isElsewhere(owner));
  let end = qname;
  for (const { type, rdata } of foreign) {
    if (type !== Type.CNAME || rdata.kind !== 'name') continue;
    end = rdata.target;
    if (isElsewhere(end)) return { rrs: foreign, back: end, leadsInside: true };
  }
  // The servers of a domain may know its names only, and leave the rest of a chain to their client.
  const isOpen = asked !== undefined && placeOf(settings, end) !== asked && !isDenied;
  const back = isOpen && !foreign.some(({ type }) => type === qtype) ? end : undefined;
  return { rrs: foreign, back, leadsInside: false };
}
