/**
 * A, AAAA and TXT of a name, through CNAMEs: in our zones by the tree, elsewhere by what others answered.
 *
 * A name whose only answer is another name has a CNAME. A name with several of them, or with addresses of its own beside
 * one, cannot have one (RFC 2181 §10.1), nor can an apex, which has an SOA (RFC 1034 §3.6.2): the addresses at the ends
 * are then published as its own.
 */
import { equalNames, foldName, isSubdomainOf, type Name, printName } from '../dns/name.ts';
import { splitText } from '../dns/rdata.ts';
import { Class, type Rdata, type Rr, Type } from '../dns/rr.ts';
import type { Service } from '../service/service.ts';
import { external, foreignPart } from './elsewhere.ts';
import type { External } from './external.ts';
import { rrset, shuffle, type TimedRdata, withinMessage } from './rrset.ts';
import { servicesAt } from './services.ts';
import { ttlOf } from './ttl.ts';
import { apexOf } from './view.ts';
import type { Work } from './work.ts';

export type Followed =
  /** CNAMEs in order, then the RRset at the end; the latter may be missing where another server says NODATA. */
  | { readonly kind: 'found'; readonly rrs: readonly Rr[] }
  | { readonly kind: 'nodata' }
  | { readonly kind: 'nxdomain' }
  /** Another server had to be asked and gave no answer. */
  | { readonly kind: 'failed' };

/** A host name that a service at the owner leads to. */
interface Link {
  readonly target: Name;
  readonly ttlSeconds: number;
}

/** The way to a name. */
export interface Trail {
  /** The folded names on the way, the latest last. */
  readonly names: readonly Name[];
  /** See `MissingQuestion`. */
  readonly isOptional: boolean;
}

const START: Trail = { names: [], isOptional: false };

/** CoreDNS follows 11 links, SkyDNS 8. */
const MAX_LINKS = 16;

const NODATA: Followed = { kind: 'nodata' };
const NXDOMAIN: Followed = { kind: 'nxdomain' };
const FAILED: Followed = { kind: 'failed' };

/** A, AAAA or TXT of a name in the zone of `apex`. */
export function follow(
  work: Work,
  owner: Name,
  apex: Name,
  qtype: number,
  trail: Trail = START,
): Followed {
  if (work.namesLeft-- <= 0) return NODATA;
  const services = servicesAt(work, owner, apex, qtype);
  if (services === undefined) return NXDOMAIN;
  const own: TimedRdata[] = [];
  const links = new Map<string, Link>();
  const here = { ...trail, names: [...trail.names, foldName(owner)] };
  for (const { registration } of services) {
    const ttlSeconds = ttlOf(work, registration);
    const rdata = rdataOf(registration, qtype);
    if (rdata !== undefined) own.push({ rdata, ttlSeconds });
    else addLink(links, registration.target, ttlSeconds, here);
  }
  if (qtype === Type.TXT && own.length > 0) {
    return { kind: 'found', rrs: rrset(owner, qtype, withinMessage(own, work.view.turn)) };
  }
  const [only] = links.values();
  const isApex = owner.length === apex.length;
  if (only !== undefined && links.size === 1 && own.length === 0 && !isApex) {
    return followCname(work, owner, only, qtype, here);
  }
  return gather(work, owner, own, [...links.values()], qtype, here);
}

function rdataOf(service: Service, qtype: number): Rdata | undefined {
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

/** Notes where a service leads, each name once with the least TTL. */
function addLink(
  links: Map<string, Link>,
  target: Name | undefined,
  ttlSeconds: number,
  trail: Trail,
): void {
  if (target === undefined || !leadsOn(target, trail)) return;
  const key = printName(foldName(target));
  const known = links.get(key);
  const least = Math.min(ttlSeconds, known?.ttlSeconds ?? ttlSeconds);
  links.set(key, { target: known?.target ?? target, ttlSeconds: least });
}

/**
 * Whether following the target can end. A target at or below its owner would come back by aggregation (CoreDNS); one
 * that was on the way here is a loop.
 */
function leadsOn(target: Name, { names }: Trail): boolean {
  const owner = names.at(-1) as Name;
  if (names.length > MAX_LINKS || isSubdomainOf(target, owner)) return false;
  return !names.some((seen) => equalNames(seen, target));
}

function followCname(
  work: Work,
  owner: Name,
  { target, ttlSeconds }: Link,
  qtype: number,
  trail: Trail,
): Followed {
  const end = followTarget(work, target, qtype, trail);
  if (end.kind === 'failed') return FAILED;
  // A dead end is no answer (SkyDNS); the name itself exists all the same.
  if (end.kind !== 'found') return NODATA;
  const rdata = { kind: 'name', target } as const;
  const cname = { owner, type: Type.CNAME, class: Class.IN, ttlSeconds, rdata };
  return { kind: 'found', rrs: [cname, ...end.rrs] };
}

/** A, AAAA or TXT of any name, ours or not. */
export function followTarget(work: Work, target: Name, qtype: number, trail: Trail): Followed {
  const apex = apexOf(work.view.settings, target);
  if (apex !== undefined) return follow(work, target, apex, qtype, trail);
  const found = external(work, target, qtype, trail.isOptional);
  if (found === undefined) return FAILED;
  switch (found.kind) {
    case 'failed':
      return FAILED;
    // Nobody to ask: the bare CNAME still lets a resolver in front of us go on.
    case 'unavailable':
      return { kind: 'found', rrs: [] };
    default:
      return followForeign(work, found, qtype, trail);
  }
}

/** What others answered and, where that leads back into our zones, what is there. */
function followForeign(
  work: Work,
  answered: Extract<External, { kind: 'found' | 'nxdomain' }>,
  qtype: number,
  trail: Trail,
): Followed {
  const { rrs, back } = foreignPart(work.view.settings, answered.rrs);
  if (back === undefined) return answered.kind === 'found' ? { kind: 'found', rrs } : NXDOMAIN;
  if (!leadsOn(back, trail)) return NODATA;
  const end = followTarget(work, back, qtype, trail);
  return end.kind === 'found' ? { kind: 'found', rrs: [...rrs, ...end.rrs] } : end;
}

/** One RRset of the owner's rdata and of what its links lead to. */
function gather(
  work: Work,
  owner: Name,
  own: TimedRdata[],
  links: readonly Link[],
  qtype: number,
  trail: Trail,
): Followed {
  const { settings, turn, random } = work.view;
  let failed = false;
  const onward = { ...trail, isOptional: trail.isOptional || own.length > 0 };
  const start = Math.floor(turn * links.length);
  for (let i = 0; i < links.length; i++) {
    const link = links[(start + i) % links.length] as Link;
    const end = followTarget(work, link.target, qtype, onward);
    if (end.kind === 'failed') failed = true;
    if (end.kind === 'found') own.push(...endOf(end.rrs, link, qtype));
  }
  if (own.length === 0) return failed ? FAILED : NODATA;
  const rrs = rrset(owner, qtype, own);
  const isShuffled = settings.roundRobin && qtype !== Type.TXT;
  return { kind: 'found', rrs: isShuffled ? shuffle(rrs, random) : rrs };
}

/** The rdata at the end of a chain, with the least TTL on the way there. */
function endOf(rrs: readonly Rr[], link: Link, qtype: number): TimedRdata[] {
  let { ttlSeconds } = link;
  for (const rr of rrs) ttlSeconds = Math.min(ttlSeconds, rr.ttlSeconds);
  return rrs.flatMap(({ type, rdata }) => (type === qtype ? [{ rdata, ttlSeconds }] : []));
}
