/**
 * Which services a name stands for: its own, or those below it (a directory in SkyDNS's etcd), or those that a query
 * with wildcard labels matches.
 *
 * Work is bounded. A question's `Budget` holds how many services it may collect and how many nodes it may look at,
 * whatever lies below the name. Where there is more than the budget, the walk begins at another child each time: `turn`
 * is read as a mixed-radix number, one digit a level, so that turns 0, 1, 2, ... come round to every service.
 */
import type { Label, Name } from '../dns/name.ts';
import { findNode, type Node, type Registration } from './tree.ts';

/** A service with the node whose name it carries. */
export interface Selected {
  readonly node: Node;
  /** Labels of the owner name; the groups rule looks for the shallowest. */
  readonly depth: number;
  readonly registration: Registration;
}

export type Selection =
  /** Something is at or below the name; `services` may be empty all the same (an empty non-terminal, a filter). */
  | { readonly kind: 'exists'; readonly services: readonly Selected[] }
  | { readonly kind: 'missing' };

/** What to do with a value at a name that also has names below it (SkyDNS's etcd v2 could not hold one). */
export type ParentValue =
  /** CoreDNS: only what is below counts. */
  'hidden' | 'wins' | 'merged';

/** Counts down as a question is answered; shared by all its look-ups. */
export interface Budget {
  services: number;
  nodes: number;
}

/** About what a full message can carry; a thousand A records are 16 KB. */
export function newBudget(): Budget {
  return { services: 1_000, nodes: 20_000 };
}

export interface SelectOptions {
  readonly parentValue: ParentValue;
  /** Labels of the zone's apex: `dns` right below it is reserved and found only by its name. */
  readonly apexDepth: number;
  readonly turn: number;
  readonly budget: Budget;
}

const RESERVED: Label = 'dns';

export function isWildcard(label: Label): boolean {
  return label === '*' || label === 'any';
}

/** The services that a folded name stands for. */
export function select(root: Node, name: Name, options: SelectOptions): Selection {
  const firstWildcard = name.findLastIndex(isWildcard);
  if (firstWildcard >= 0) return selectWildcard(root, name, firstWildcard, options);
  const node = findNode(root, name);
  if (node === undefined) return { kind: 'missing' };
  const services: Selected[] = [];
  const hasChildren = node.children !== undefined;
  if (!hasChildren || options.parentValue !== 'hidden') {
    collectOwn(node, name.length, services, options.budget);
  }
  const isDone = services.length > 0 && options.parentValue === 'wins';
  if (hasChildren && !isDone) walk(node, name.length, options.turn, services, options);
  return { kind: 'exists', services };
}

/** Only what is registered at exactly this folded name (CNAME and PTR; labels `*` and `any` are plain labels here). */
export function selectExact(root: Node, name: Name, budget: Budget): Selection {
  const node = findNode(root, name);
  if (node === undefined) return { kind: 'missing' };
  const services: Selected[] = [];
  collectOwn(node, name.length, services, budget);
  return { kind: 'exists', services };
}

function collectOwn(node: Node, depth: number, into: Selected[], budget: Budget): void {
  for (let at = node.first; at !== undefined && budget.services > 0; at = at.next) {
    into.push({ node, depth, registration: at });
    budget.services--;
  }
}

/** Collects everything below the node, beginning at the child that `turn` names where not all will fit. */
function walk(
  node: Node,
  depth: number,
  turn: number,
  into: Selected[],
  options: SelectOptions,
): void {
  const { budget } = options;
  const children = node.children;
  if (children === undefined) return;
  const isPartial = node.services > budget.services;
  const start = isPartial ? turn % children.length : 0;
  const next = isPartial ? Math.floor(turn / children.length) : turn;
  for (let i = 0; i < children.length; i++) {
    if (budget.services <= 0 || budget.nodes-- <= 0) return;
    const child = children[(start + i) % children.length] as Node;
    if (depth === options.apexDepth && child.label === RESERVED) continue;
    collectOwn(child, depth + 1, into, budget);
    walk(child, depth + 1, next, into, options);
  }
}

/**
 * A wildcard label stands for exactly one label; keys may be deeper than the query, never shallower. When nothing
 * matches but the part right of the first wildcard exists, the answer is NODATA.
 */
function selectWildcard(
  root: Node,
  name: Name,
  firstWildcard: number,
  options: SelectOptions,
): Selection {
  const top = findNode(root, name.slice(firstWildcard + 1));
  if (top === undefined) return { kind: 'missing' };
  const services: Selected[] = [];
  match(top, name, firstWildcard, options.turn, services, options);
  return { kind: 'exists', services };
}

/** Matches `name[at]` and what is left of it below a node that matched what is right of it. */
function match(
  node: Node,
  name: Name,
  at: number,
  turn: number,
  into: Selected[],
  options: SelectOptions,
): void {
  const { budget } = options;
  if (at < 0) {
    collectOwn(node, name.length, into, budget);
    walk(node, name.length, turn, into, options);
    return;
  }
  const label = name[at] as Label;
  if (!isWildcard(label)) {
    const child = node.child(label);
    if (child !== undefined && budget.nodes-- > 0) match(child, name, at - 1, turn, into, options);
    return;
  }
  const children = node.children;
  if (children === undefined) return;
  const depth = name.length - 1 - at;
  const start = turn % children.length;
  const isPartial = node.services > budget.services || children.length > budget.nodes;
  const next = isPartial ? Math.floor(turn / children.length) : turn;
  for (let i = 0; i < children.length; i++) {
    if (budget.services <= 0 || budget.nodes-- <= 0) return;
    const child = children[isPartial ? (start + i) % children.length : i] as Node;
    if (depth === options.apexDepth && child.label === RESERVED) continue;
    match(child, name, at - 1, next, into, options);
  }
}
