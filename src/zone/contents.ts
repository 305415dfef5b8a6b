/**
 * The contents of a zone: all records that its names really have, as a transfer lists them (RFC 5936 §2.2). They are
 * the answers to questions for these names, with what one answer decides anew each time taken out: TTLs do not count
 * down with a lease, and of too many services the first ones count instead of a sample.
 *
 * Not in a zone: answers to `*` and `any` in questions, names with the label `any` if it matches any label, the name
 * `leader` in front of another, and the names below `dns` except the name servers'. No zone can have records beside a
 * CNAME (RFC 1034 §3.6.2), so an alias has nothing else, and hosts outside our zones give a CNAME only if the name has
 * no other records. At and below a cut the zone has the cut's NS and DS, and glue.
 */
import { equalNames, isSubdomainOf, type Name } from '../dns/name.ts';
import { Class, type Rr, Type } from '../dns/rr.ts';
import { NO_SRV } from '../service/service.ts';
import { answer } from './answer.ts';
import { aliasOf, cnameOf } from './chain.ts';
import { isAtCut, recordsAtCut } from './delegation.ts';
import { storedTypes } from './storedRecords.ts';
import { newLookupState } from './tree/lookupState.ts';
import { apexAddressesOf, isQuestionWildcard, nameServersOf } from './tree/select.ts';
import { type NameServices, servicesAt } from './tree/services.ts';
import { findNode, type Node } from './tree/tree.ts';
import {
  apexAround,
  apexOf,
  consulOf,
  NO_EXTERNALS,
  type View,
  type ZoneSettings,
} from './tree/view.ts';
import { ASTERISK, isReserved } from './tree/wildcard.ts';

export interface NameContents {
  /** RRset after RRset; empty for a name without records. */
  readonly rrs: readonly Rr[];
  /** Folded names at or below which services were looked for: the records depend on them. */
  readonly names: readonly Name[];
  /** Folded names: the records also depend on whether each of them exists. */
  readonly presences: readonly Name[];
}

/** Everything that the contents of zones depend on. */
export type ZoneData = Pick<View, 'root' | 'settings' | 'unixSeconds' | 'facts' | 'onFault'>;

/** The view in which a zone's contents are looked up. */
export function listingView(
  data: ZoneData,
  inOrder: (node: Node) => readonly Node[] = childrenInOrder,
): View {
  return {
    ...data,
    settings: listedAs(data.settings),
    nowMs: 0,
    sampleStart: 0,
    externals: NO_EXTERNALS,
    localAddress: undefined,
    recursionDesired: false,
    roomOctets: undefined,
    listing: { inOrder },
  };
}

/** A node's children in the order of their labels' octets. */
export function childrenInOrder(node: Node): readonly Node[] {
  const { children = [] } = node;
  return children.length < 2 ? children : [...children].sort(byLabel);
}

export function byLabel(a: Pick<Node, 'label'>, b: Pick<Node, 'label'>): number {
  return a.label < b.label ? -1 : Number(a.label > b.label);
}

/** The apex of the zone whose contents have the folded name; `undefined` if no zone's have it. */
export function zoneWith(settings: ZoneSettings, name: Name): Name | undefined {
  const apex = apexOf(settings, name);
  if (apex === undefined) return isAtCut(settings, name) ? apexAround(settings, name) : undefined;
  if (consulOf(settings, apex) !== undefined) return undefined;
  if (name.some((label) => isQuestionWildcard(listedAs(settings), label))) return undefined;
  return !isReserved(name, apex) || isSubdomainOf(name, nameServersOf(apex)) ? apex : undefined;
}

/**
 * In a zone `*` is an ordinary label except as the first one (RFC 4592 §2.1.2). Names with it are listed, because names
 * that exist keep wildcards from answering.
 */
function listedAs(settings: ZoneSettings): ZoneSettings {
  return settings.questionWildcards === 'all'
    ? { ...settings, questionWildcards: 'any' }
    : settings;
}

/**
 * All names that the contents of a zone may have, each once, in no order. The tree may change between two names: a name
 * that comes meanwhile may be left out, and one that goes may be given.
 */
export function* namesOf({ root, settings }: ZoneData, apex: Name): Iterable<Name> {
  yield apex;
  const nameServers = nameServersOf(apex);
  const isOwnServer = settings.ownAddresses.length > 0 && findNode(root, nameServers) === undefined;
  if (isOwnServer) yield nameServers;
  const waiting = [{ name: apex, node: findNode(root, apex) }];
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    // A copy: a node's children move when one of them leaves.
    for (const child of [...(at.node?.children ?? [])]) {
      const name = [child.label, ...at.name];
      if (settings.apexes.some((other) => equalNames(other, name))) continue;
      if (zoneWith(settings, name) !== undefined) yield name;
      if (child.children !== undefined) waiting.push({ name, node: child });
    }
  }
}

export interface ContentsRules {
  /** Names without a service of their own have the records of the services below them. */
  readonly aggregates: boolean;
}

/** The records of a folded name in a listing, without the SOA. A name that no zone's contents have has none. */
export function contentsAt(view: View, name: Name, rules: ContentsRules): NameContents {
  const apex = zoneWith(view.settings, name);
  if (apex === undefined) return NOTHING;
  if (apexOf(view.settings, name) === undefined)
    return { rrs: recordsAtCut(view, name), names: [name], presences: [] };
  if (!isListed(view, name, apex)) return NOTHING;
  return name[0] === ASTERISK ? wildcardContents(view, name) : answersAt(view, name, rules);
}

/**
 * Whether the zone lists the folded name itself. A name that the tree lacks may have answers, those of a stored wildcard
 * for example, but the zone has their records elsewhere.
 */
function isListed({ root }: View, name: Name, apex: Name): boolean {
  const existsAlways = name.length === apex.length || equalNames(name, nameServersOf(apex));
  return existsAlways || findNode(root, name) !== undefined;
}

/** The records that answers about a folded name have, whether or not the tree has the name. */
function answersAt(view: View, name: Name, rules: ContentsRules): NameContents {
  const apex = apexOf(view.settings, name);
  if (apex === undefined) return NOTHING;
  const isApex = name.length === apex.length;
  const rrs: Rr[] = [];
  const names: Name[] = [];
  const presences: Name[] = [];
  const take = (types: readonly number[]): void => {
    for (const qtype of types) {
      const decided = answer(view, { qname: name, qtype, qclass: Class.IN });
      if (decided.kind !== 'response') continue;
      // Not a CNAME that leads outside our zones, and not the records at the end of one.
      const isOwn = ({ type, owner }: Rr) => type === qtype && equalNames(owner, name);
      rrs.push(...decided.response.answer.filter(isOwn));
      names.push(...(decided.basis?.names ?? []));
      presences.push(...(decided.basis?.presences ?? []));
    }
  };
  if (isApex) take([Type.NS]);
  const isNameServer = isSubdomainOf(name, nameServersOf(apex));
  if (!rules.aggregates && !isNameServer && !hasOwn(view, name, isApex)) {
    return { rrs, names: [name, ...names], presences };
  }
  const state = newLookupState(view);
  const at = servicesAt(state, name, apex, Type.CNAME);
  const wildcard = at?.wildcard;
  const others = at === undefined ? [] : storedTypes(state, { owner: name, apex, wildcard });
  const types = at === undefined ? [] : inOrder([...typesOf(at), ...others]);
  const alias = at && !isNameServer && aliasOf(state, name, apex, at);
  names.push(...state.namesRead);
  presences.push(...state.presencesRead);
  if (alias) return { rrs: [cnameOf(name, alias)], names, presences };
  // An apex may have addresses that no service at or below it has.
  if (isApex || isNameServer) take(ADDRESS_TYPES);
  if (!isNameServer) take(isApex ? types.filter((type) => !ADDRESS_TYPES.includes(type)) : types);
  return { rrs, names, presences };
}

/**
 * The records of a stored wildcard: those of a name that does not exist, with the wildcard in the place of that name.
 * None if no service is kept there, or if wildcards in the store answer for no other name.
 */
function wildcardContents(view: View, name: Name): NameContents {
  const absent = [ABSENT, ...name.slice(1)];
  const { rrs, names, presences } = answersAt(view, absent, { aggregates: true });
  const renamed = (each: Name): Name => (equalNames(each, absent) ? name : each);
  return { rrs: rrs.map((rr) => withNames(rr, renamed)), names: [name, ...names], presences };
}

/** A label that no key of a store has. */
const ABSENT = '\0';

function withNames(rr: Rr, renamed: (name: Name) => Name): Rr {
  const { rdata } = rr;
  const owner = renamed(rr.owner);
  if (rdata.kind === 'srv')
    return { ...rr, owner, rdata: { ...rdata, target: renamed(rdata.target) } };
  if (rdata.kind === 'mx') {
    return { ...rr, owner, rdata: { ...rdata, exchange: renamed(rdata.exchange) } };
  }
  return { ...rr, owner };
}

/** The SOA of a zone with that serial. */
export function soaOf(view: View, apex: Name, serial: number): Rr {
  const decided = answer(view, { qname: apex, qtype: Type.SOA, qclass: Class.IN });
  const soa = decided.kind === 'response' ? decided.response.answer[0] : undefined;
  if (soa?.rdata.kind !== 'soa') throw new Error('an apex has no SOA');
  return { ...soa, rdata: { ...soa.rdata, serial } };
}

const NOTHING: NameContents = { rrs: [], names: [], presences: [] };

/** The types that services may give to a name, in the order of the listing. */
const SERVICE_TYPES: readonly number[] = [Type.A, Type.AAAA, Type.TXT, Type.SRV, Type.MX, Type.PTR];

const ADDRESS_TYPES: readonly number[] = [Type.A, Type.AAAA];

/** Whether a name has something besides the services below it. */
function hasOwn({ root, settings }: View, name: Name, isApex: boolean): boolean {
  const node = findNode(root, name);
  if (node === undefined) return false;
  if (isApex && findNode(root, apexAddressesOf(name)) !== undefined) return true;
  return (
    node.first !== undefined || (settings.virtualAddresses && node.virtualAddresses.length > 0)
  );
}

/** The types of which the services may make records. */
function typesOf({ services, given }: NameServices): readonly number[] {
  const types = new Set<number>(given === undefined ? [] : ADDRESS_TYPES);
  for (const { registration } of services) {
    const { family, target, attributes } = registration;
    if (family === 4 || target !== undefined) types.add(Type.A);
    if (family === 6 || target !== undefined) types.add(Type.AAAA);
    if (attributes.text !== '' || target !== undefined) types.add(Type.TXT);
    if (family === 0 && target === undefined) continue;
    if (attributes.port !== NO_SRV) types.add(Type.SRV);
    if (attributes.mail) types.add(Type.MX);
    if (target !== undefined) types.add(Type.PTR);
  }
  return [...types];
}

/** Each type once: those that services may give first, then the others by their numbers. */
function inOrder(types: readonly number[]): readonly number[] {
  const others = types.filter((type) => !SERVICE_TYPES.includes(type)).sort((a, b) => a - b);
  return [...SERVICE_TYPES.filter((type) => types.includes(type)), ...new Set(others)];
}
