/**
 * Which names our zones delegate: those that have NS records of their own (field `rr`). The records of other names, even
 * of those directly below, make no cut at a name.
 */
import { foldName, type Name, NameMap, nameKey, printName } from '../dns/name.ts';
import { Type } from '../dns/rr.ts';
import type { ServiceRecord } from '../service/records.ts';
import { ForwardedNames, type ZoneCut } from './tree/forwardedNames.ts';
import type { Node } from './tree/tree.ts';
import { apexAround } from './tree/view.ts';
import { ASTERISK, isReserved } from './tree/wildcard.ts';

/** The names with NS records in a tree. It follows the changes, so that a million other names cost nothing. */
export class DelegatedNames {
  readonly #cuts = new Map<Node, { readonly text: string; readonly cut: ZoneCut }>();

  /** Call this after each set of changes, with the nodes of their owner names. Whether the names are other ones now. */
  apply(nodes: readonly Node[]): boolean {
    let isChanged = false;
    for (const node of nodes) {
      const servers = node.isInTree ? serversAt(node) : NONE;
      if (servers.length === 0) {
        if (this.#cuts.size > 0 && this.#cuts.delete(node)) isChanged = true;
        continue;
      }
      const known = this.#cuts.get(node);
      // An equal cut stays the same object, which is quick to compare.
      if (known !== undefined && namesText(known.cut.servers) === namesText(servers)) continue;
      const name = node.owner();
      this.#cuts.set(node, { text: printName(name), cut: { name, servers } });
      isChanged = true;
    }
    return isChanged;
  }

  /** Ordered by name. */
  cuts(): readonly ZoneCut[] {
    const cuts = [...this.#cuts.values()].sort((a, b) => (a.text < b.text ? -1 : 1));
    return cuts.map(({ cut }) => cut);
  }
}

function namesText(names: readonly Name[]): string {
  return names.map(nameKey).join(' ');
}

/** The name servers in the NS records of the node's own services, each once. */
function serversAt(node: Node): readonly Name[] {
  if (node.recordedCount === 0) return NONE;
  const records: ServiceRecord[] = [];
  for (let at = node.first; at !== undefined; at = at.next) records.push(...at.attributes.records);
  return nameServersIn(records);
}

/** The name servers in NS records, each once and folded. */
export function nameServersIn(records: readonly ServiceRecord[]): readonly Name[] {
  const servers = new Map<string, Name>();
  for (const { type, rdata } of records)
    if (type === Type.NS && rdata.kind === 'name')
      servers.set(nameKey(rdata.target), foldName(rdata.target));
  return [...servers.values()];
}

const NONE: readonly Name[] = [];

export type CutProblem =
  /** The name is in none of our zones. */
  { readonly kind: 'outside' } | { readonly kind: 'without effect'; readonly reason: string };

/**
 * Why the NS records of a folded name make no cut. Nothing is said about other cuts above the name, nor about domains of
 * other servers.
 */
export function cutProblem(name: Name, apexes: readonly Name[]): CutProblem | undefined {
  const apex = apexAround({ apexes }, name);
  if (apex === undefined) return { kind: 'outside' };
  const at = printName(apex);
  if (name.length === apex.length)
    return without(`${at} is a domain itself: its name servers are services at ns.dns.${at}`);
  if (isReserved(name, apex)) return without(`names at and below dns.${at} cannot be delegated`);
  if (name[0] === ASTERISK) return without('a wildcard cannot be delegated');
  return undefined;
}

function without(reason: string): CutProblem {
  return { kind: 'without effect', reason };
}

/**
 * The cuts that are in force. A domain of other servers precedes a cut of the same name. A cut hides the names below it,
 * so their NS records make no cut. They do if one of our zones, or a domain of other servers, is between the two.
 */
export function cutsInForce(
  cuts: readonly ZoneCut[],
  apexes: readonly Name[],
  domains: readonly Name[],
): readonly ZoneCut[] {
  if (cuts.length === 0) return cuts;
  const places = new NameMap<'cut' | 'other'>();
  for (const name of [...apexes, ...domains]) places.set(name, 'other');
  const taken = new Set([...apexes, ...domains].map(nameKey));
  const byDepth = [...cuts].sort((a, b) => a.name.length - b.name.length);
  const kept = new Set<ZoneCut>();
  for (const cut of byDepth) {
    if (taken.has(nameKey(cut.name)) || cutProblem(cut.name, apexes) !== undefined) continue;
    if (places.longest(cut.name) === 'cut') continue;
    places.set(cut.name, 'cut');
    kept.add(cut);
  }
  return cuts.filter((cut) => kept.has(cut));
}

/** The names that zones delegate, where no domain has servers of its own. */
export function delegatedIn(cuts: readonly ZoneCut[], apexes: readonly Name[]): ForwardedNames {
  return new ForwardedNames([], apexes, cutsInForce(cuts, apexes, []));
}
