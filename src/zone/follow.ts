/**
 * Addresses and texts of a name, through CNAMEs: in our zones by the tree, elsewhere by what others answered.
 *
 * A name whose only answer is another name becomes a CNAME. A name with several of them, or with addresses of its own
 * beside one, cannot (RFC 2181 §10.1): the addresses at the ends are then published as its own.
 */
import { equalNames, foldName, isSubdomainOf, type Name } from '../dns/name.ts';
import { splitText } from '../dns/rdata.ts';
import { Class, Rcode, type Rr, Type } from '../dns/rr.ts';
import type { Service } from '../service/service.ts';
import { inGroup, withoutDuplicates } from './merge.ts';
import { rrset, shuffle, type TimedRdata } from './rrset.ts';
import { type Selected, type Selection, select } from './select.ts';
import { findNode } from './tree.ts';
import { apexOf, external, ttlOf, type Work } from './view.ts';

export type Followed =
  /** CNAMEs in order, then the RRset at the end; the latter may be missing where another server says NODATA. */
  | { readonly kind: 'records'; readonly records: readonly Rr[] }
  | { readonly kind: 'nodata' }
  | { readonly kind: 'nxdomain' }
  /** Another server had to be asked and gave no answer. */
  | { readonly kind: 'failed' };

/** CoreDNS follows 11 links, SkyDNS 8. */
const MAX_LINKS = 16;

const NODATA: Followed = { kind: 'nodata' };
const FAILED: Followed = { kind: 'failed' };

/** The services that answer for a name in the zone of `apex`, after duplicates and groups. */
export function servicesAt(work: Work, owner: Name, apex: Name, qtype: number): Selection {
  const { root, settings, turn } = work.view;
  const name = nameToLookUp(work, foldName(owner), apex, qtype);
  const selection = select(root, name, {
    parentValue: settings.parentValue,
    apexDepth: apex.length,
    turn,
    budget: work.budget,
  });
  if (selection.kind === 'missing') return selection;
  return { kind: 'exists', services: inGroup(withoutDuplicates(selection.services)) };
}

/** `local.dns.<apex>` is the configured name; addresses of the apex are those at `apex.dns.<apex>` if there are any. */
function nameToLookUp(work: Work, name: Name, apex: Name, qtype: number): Name {
  const { root, settings } = work.view;
  if (settings.local !== undefined && equalNames(name, ['local', 'dns', ...apex])) {
    return settings.local;
  }
  if ((qtype === Type.A || qtype === Type.AAAA) && name.length === apex.length) {
    const apexAddresses = ['apex', 'dns', ...apex];
    if (findNode(root, apexAddresses) !== undefined) return apexAddresses;
  }
  return name;
}

/** A, AAAA or TXT of a name in our zone. `visited` are the folded names on the way here. */
export function follow(
  work: Work,
  owner: Name,
  apex: Name,
  qtype: number,
  visited: readonly Name[] = [],
): Followed {
  const selection = servicesAt(work, owner, apex, qtype);
  if (selection.kind === 'missing') return { kind: 'nxdomain' };
  const own: TimedRdata[] = [];
  const aliases: Selected[] = [];
  const path = [...visited, foldName(owner)];
  for (const selected of selection.services) {
    const { registration } = selected;
    const rdata = rdataOf(registration, qtype);
    if (rdata !== undefined) own.push({ rdata, ttlSeconds: ttlOf(work.view, registration) });
    else if (registration.target !== undefined && leadsOn(registration.target, owner, path)) {
      aliases.push(selected);
    }
  }
  if (qtype === Type.TXT && own.length > 0)
    return { kind: 'records', records: rrset(owner, qtype, own) };
  const only = aliases[0];
  if (only !== undefined && aliases.length === 1 && own.length === 0) {
    return followAlias(work, owner, only, qtype, path);
  }
  return flatten(work, owner, own, aliases, qtype, path);
}

function rdataOf(service: Service, qtype: number): TimedRdata['rdata'] | undefined {
  const { text } = service.attributes;
  switch (qtype) {
    case Type.A:
      return service.family === 4 ? { kind: 'address', address: service.address } : undefined;
    case Type.AAAA:
      return service.family === 6 ? { kind: 'address', address: service.address } : undefined;
    case Type.TXT:
      return text === '' ? undefined : { kind: 'txt', strings: splitText(text) };
    default:
      return undefined;
  }
}

/**
 * Whether following the target can end. A target at or below its owner would come back by aggregation (CoreDNS); one
 * that was on the way here is a loop.
 */
function leadsOn(target: Name, owner: Name, path: readonly Name[]): boolean {
  if (path.length > MAX_LINKS || isSubdomainOf(target, owner)) return false;
  return !path.some((seen) => equalNames(seen, target));
}

function followAlias(
  work: Work,
  owner: Name,
  alias: Selected,
  qtype: number,
  path: readonly Name[],
): Followed {
  const target = alias.registration.target as Name;
  const end = followTarget(work, target, qtype, path);
  if (end.kind === 'failed') return FAILED;
  if (end.kind !== 'records') return NODATA;
  const ttlSeconds = ttlOf(work.view, alias.registration);
  const cname: Rr = {
    owner,
    type: Type.CNAME,
    class: Class.IN,
    ttlSeconds,
    rdata: { kind: 'name', target },
  };
  return { kind: 'records', records: [cname, ...end.records] };
}

/** A, AAAA or TXT of any name, ours or not. */
export function followTarget(
  work: Work,
  target: Name,
  qtype: number,
  path: readonly Name[],
): Followed {
  const apex = apexOf(work.view.settings, target);
  if (apex !== undefined) return follow(work, target, apex, qtype, path);
  const found = external(work, target, qtype);
  if (found === undefined || found.kind === 'failed') return FAILED;
  // Nobody to ask: the bare CNAME still lets a resolver in front of us go on.
  if (found.kind === 'unavailable') return { kind: 'records', records: [] };
  return found.rcode === Rcode.NOERROR ? { kind: 'records', records: found.records } : NODATA;
}

function flatten(
  work: Work,
  owner: Name,
  own: TimedRdata[],
  aliases: readonly Selected[],
  qtype: number,
  path: readonly Name[],
): Followed {
  let failed = false;
  for (const { registration } of aliases) {
    const end = followTarget(work, registration.target as Name, qtype, path);
    if (end.kind === 'failed') failed = true;
    if (end.kind !== 'records') continue;
    let ttlSeconds = ttlOf(work.view, registration);
    for (const rr of end.records) ttlSeconds = Math.min(ttlSeconds, rr.ttlSeconds);
    for (const { type, rdata } of end.records) {
      if (type === qtype) own.push({ rdata, ttlSeconds });
    }
  }
  if (own.length === 0) return failed ? FAILED : NODATA;
  const records = rrset(owner, qtype, own);
  const isShuffled = work.view.settings.roundRobin && qtype !== Type.TXT;
  return { kind: 'records', records: isShuffled ? shuffle(records, work.view.random) : records };
}
