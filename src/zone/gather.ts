/** A, AAAA or TXT of a name that is not an alias: its own records and those of its hosts, as one RRset. */
import { isReverseOfAddress } from '../dns/address.ts';
import { type Name, nameKey, printName } from '../dns/name.ts';
import { splitText } from '../dns/rdata.ts';
import { type Rdata, type Rr, Type } from '../dns/rr.ts';
import type { Lease } from '../service/change.ts';
import type { Service } from '../service/service.ts';
import {
  canFollow,
  cnameOf,
  type Followed,
  type FollowTarget,
  type Link,
  ownNodata,
  type Trail,
} from './chain.ts';
import { fittingTexts, rrset, type TimedRdata } from './rrset.ts';
import type { LookupState, Need } from './tree/lookupState.ts';
import type { Selected } from './tree/select.ts';
import { leaseLeftOf, leastTtl, serviceTtl } from './tree/ttl.ts';

export interface Gathering {
  readonly owner: Name;
  /** Of the owner's zone. */
  readonly apex: Name;
  readonly qtype: number;
  /** The name's records from fields `rr`. */
  readonly stored: readonly TimedRdata[];
  /** A CNAME never stands in place of the records. */
  readonly isFlat: boolean;
}

export function gather(
  state: LookupState,
  gathering: Gathering,
  services: readonly Selected[],
  trail: Trail,
  followTarget: FollowTarget,
): Followed {
  const { owner, qtype, isFlat } = gathering;
  const { own: served, links, hasAddress } = partsOf(state, qtype, services);
  const own = [...served, ...gathering.stored];
  if (qtype === Type.TXT && own.length > 0) {
    const rrs = rrset(owner, qtype, fittingTexts(own, state.view.sampleStart));
    return { kind: 'found', rrs, isPartial: false };
  }
  // The host of a reverse name is only the target of its PTR.
  if (isReverseOfAddress(owner)) return combineEnds(state, gathering, { own, hasAddress }, []);
  const need = needOf(trail.need, own.length > 0, links.length);
  const onward: Trail = isFlat ? { ...trail, need, isFlat } : { ...trail, need };
  const ends: End[] = [];
  // There may be more links than the limits allow to follow, so each sample start begins with another link.
  const start = Math.floor(state.view.sampleStart * links.length);
  for (let i = 0; i < links.length; i++) {
    const at = (start + i) % links.length;
    const link = links[at] as Link;
    const followed = canFollow(link.target, trail.names)
      ? followTarget(state, link.target, qtype, onward)
      : DEAD;
    ends[at] = endOf(link, followed, qtype);
  }
  return combineEnds(state, gathering, { own, hasAddress }, ends);
}

/** How much the answer needs each of the name's hosts. */
function needOf(need: Need, hasOwn: boolean, links: number): Need {
  if (hasOwn) return 'optional';
  return need === 'required' && links > 1 ? 'alternative' : need;
}

/** A name's records without those of its hosts. */
interface OwnRecords {
  readonly own: readonly TimedRdata[];
  /** Whether a service has an address, of either family. */
  readonly hasAddress: boolean;
}

interface OwnAndLinks extends OwnRecords {
  /** Each host once, with the least TTL. */
  readonly links: readonly Link[];
}

function partsOf(state: LookupState, qtype: number, services: readonly Selected[]): OwnAndLinks {
  const own: TimedRdata[] = [];
  const links = new Map<string, Link>();
  let hasAddress = false;
  for (const { registration, rank } of withoutDuplicates(services)) {
    hasAddress ||= registration.family !== 0;
    const ttl = serviceTtl(state, registration);
    const rdata = serviceRdata(registration, qtype);
    if (rdata !== undefined) own.push({ rdata, ttl, rank });
    else if (registration.target !== undefined)
      addLink(links, { target: registration.target, ttl, rank });
  }
  return { own, links: [...links.values()], hasAddress };
}

/**
 * Services with equal host, port, priority, weight and text count once (SkyDNS), at the position of the first: their
 * addresses and texts would be equal records. The shallowest one kept, or the first by name, so that every server
 * keeps the same one. It gets the least TTL that one of them sets, and the lease that ends last.
 */
function withoutDuplicates(services: readonly Selected[]): readonly Selected[] {
  if (services.length < 2) return services;
  const kept = new Map<string, Selected>();
  for (const selected of services) {
    const identity = serviceIdentity(selected.registration);
    const other = kept.get(identity);
    kept.set(identity, other === undefined ? selected : merged(selected, other));
  }
  return kept.size === services.length ? services : [...kept.values()];
}

function serviceIdentity(service: Service): string {
  const { target, address, attributes } = service;
  const host = target === undefined ? address : nameKey(target);
  const { port, priority, weight, text } = attributes;
  return `${host} ${port} ${priority} ${weight} ${text}`;
}

function merged(a: Selected, b: Selected): Selected {
  const [kept, dropped] = comesBefore(a, b) ? [a, b] : [b, a];
  const rank = a.rank === undefined || b.rank === undefined ? undefined : Math.min(a.rank, b.rank);
  const attributes = {
    ...kept.registration.attributes,
    ttlSeconds: leastSet(
      kept.registration.attributes.ttlSeconds,
      dropped.registration.attributes.ttlSeconds,
    ),
  };
  const lease = longest(kept.registration.lease, dropped.registration.lease);
  return { ...kept, rank, registration: { ...kept.registration, attributes, lease } };
}

function leastSet(a: number, b: number): number {
  return a === 0 || b === 0 ? a + b : Math.min(a, b);
}

function longest(a: Lease | undefined, b: Lease | undefined): Lease | undefined {
  if (a === undefined || b === undefined) return undefined;
  // A lease whose end is not known yet counts as the shorter one.
  if (a.expiresAtMs === undefined || b.expiresAtMs === undefined) {
    return a.expiresAtMs === undefined ? b : a;
  }
  return a.expiresAtMs >= b.expiresAtMs ? a : b;
}

function comesBefore(a: Selected, b: Selected): boolean {
  if (a.depth !== b.depth) return a.depth < b.depth;
  return a.node !== b.node && printName(a.node.owner()) < printName(b.node.owner());
}

function serviceRdata(service: Service, qtype: number): Rdata | undefined {
  const { family, address, attributes } = service;
  switch (qtype) {
    case Type.A:
      return family === 4 ? { kind: 'address', address } : undefined;
    case Type.AAAA:
      return family === 6 ? { kind: 'address', address } : undefined;
    case Type.TXT:
      return attributes.text === ''
        ? undefined
        : { kind: 'txt', strings: splitText(attributes.text) };
    default:
      return undefined;
  }
}

/** Services come in the order of their ranks, so the first one with a host has the lowest rank. */
function addLink(links: Map<string, Link>, link: Link): void {
  const key = nameKey(link.target);
  const known = links.get(key);
  links.set(key, known === undefined ? link : { ...known, ttl: leastTtl(known.ttl, link.ttl) });
}

/** The outcome of following a link. */
interface End {
  readonly link: Link;
  readonly followed: Followed;
  /** The rdata found there, with the least TTL of the chain. */
  readonly members: readonly TimedRdata[];
}

const DEAD: Followed = { kind: 'dead' };

function endOf(link: Link, followed: Followed, qtype: number): End {
  if (followed.kind !== 'found') return { link, followed, members: [] };
  let { ttlSeconds, leaseLeftSeconds } = link.ttl;
  for (const rr of followed.rrs) {
    ttlSeconds = Math.min(ttlSeconds, rr.ttlSeconds);
    leaseLeftSeconds = Math.min(leaseLeftSeconds, leaseLeftOf(rr));
  }
  const ttl = { ttlSeconds, leaseLeftSeconds };
  const members = followed.rrs.flatMap((rr) =>
    rr.type === qtype ? [{ rdata: rr.rdata, ttl, rank: link.rank ?? rr.rank }] : [],
  );
  return members.length > 0
    ? { link, followed, members }
    : { link, followed: { kind: 'unresolved', cnames: followed.rrs }, members };
}

function combineEnds(
  state: LookupState,
  { owner, apex, qtype, isFlat }: Gathering,
  { own, hasAddress }: OwnRecords,
  ends: readonly End[],
): Followed {
  const members = [...own, ...ends.flatMap((end) => end.members)];
  const has = (kind: Followed['kind']): boolean =>
    ends.some(({ followed }) => followed.kind === kind);
  if (members.length > 0) {
    const isPartial =
      has('failed') ||
      has('unresolved') ||
      state.namesLeft <= 0 ||
      ends.some(({ followed }) => followed.kind === 'found' && followed.isPartial);
    const rrs = rrset(owner, qtype, members);
    return { kind: 'found', rrs, isPartial };
  }
  // NODATA, not an error: after an error for A or AAAA musl ignores the addresses of the other family.
  if (ends.length === 0 || hasAddress || has('nodata')) return ownNodata(apex);
  if (has('failed')) return { kind: 'failed' };
  if (!has('unresolved')) return { kind: 'dead' };
  return isFlat ? { kind: 'failed' } : unresolved(state, owner, ends);
}

/**
 * The hosts are outside our zones, and we may not ask another server. The answer gives a single host as a CNAME, which
 * a resolver in front of us can follow. The CNAME gets a short TTL (`isPartial`), because it hides the name's other
 * records from that resolver.
 */
function unresolved(state: LookupState, owner: Name, ends: readonly End[]): Followed {
  const [only, ...others] = ends;
  const { recursionDesired } = state.view;
  if (only?.followed.kind === 'unresolved' && others.length === 0) {
    const rrs = [cnameOf(owner, only.link), ...only.followed.cnames];
    if (lastTarget(rrs).length > 1) return { kind: 'found', rrs, isPartial: true };
  }
  return recursionDesired ? { kind: 'dead' } : { kind: 'failed' };
}

/** The target of the last CNAME. Other servers do not know names of one label. */
function lastTarget(cnames: readonly Rr[]): Name {
  const rdata = cnames.at(-1)?.rdata;
  return rdata?.kind === 'name' ? rdata.target : [];
}
