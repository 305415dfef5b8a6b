/**
 * Selects the services that answer for a name: its own services, the services below it (a directory in SkyDNS's etcd),
 * or the matches of a qname with wildcard labels.
 *
 * A selection has at most a thousand services, about what a full message can carry. Below a node with more, only
 * services that are useful to the question are selected, and the walk begins at another child each time: the leading
 * digit of the fraction `View.sampleStart` (base: the number of children) chooses the child, and the rest of the
 * fraction goes to the next level. Sample starts are spread evenly over [0, 1), so repeated questions reach every
 * service.
 */
import { equalNames, type Label, type Name } from '../../dns/name.ts';
import type { LookupState } from './lookupState.ts';
import { findNode, type Node, type Registration } from './tree.ts';
import type { ZoneSettings } from './view.ts';

/** A service, with the node of its owner name. */
export interface Selected {
  readonly node: Node;
  /** The number of labels of the owner name; the group rule looks for the shallowest services. */
  readonly depth: number;
  readonly registration: Registration;
  /** Set if a stored wildcard answers for a name. */
  readonly standsFor?: StandsFor;
  /** See `Rr.rank`. */
  readonly rank?: number | undefined;
}

/** The name that a service of a stored wildcard answers for. */
export interface StandsFor {
  /** Folded. */
  readonly name: Name;
  /** How many labels the service's own name has in front of the wildcard's. */
  readonly labelsBelow: number;
}

export type Selection =
  | {
      readonly kind: 'exists';
      /** Empty for an empty non-terminal, and if no service matches. */
      readonly services: readonly Selected[];
      /** The selection has all services that answer for the name. */
      readonly isWhole: boolean;
      /** Set if the services are a sample of those below this node. */
      readonly sampledBelow: Node | undefined;
    }
  | { readonly kind: 'missing' };

/** What a question needs from services. */
export interface Purpose {
  /** Whether the service can be part of the answer; called only if there are too many to select all. */
  isUseful(registration: Registration): boolean;
  /** The least octets that its record adds to the reply; called only if the reply's size limits the selection. */
  octetsOf(node: Node, registration: Registration): number;
  /** Services with one address give one record. */
  readonly mergesAddresses: boolean;
  /** The look-up does not compare or answer the services' texts, so their sizes do not limit the selection. */
  readonly ignoresTexts?: boolean;
}

export const MAX_SELECTED = 1_000;
/** For a wildcard over UDP, where the client's address may be forged. */
const MAX_NODES_OVER_UDP = 2_000;
/** The limit of all texts together: comparing large texts blocks the main thread. */
const MAX_TEXT_OCTETS = 200_000;

/**
 * The label below an apex under which name servers and the apex's own addresses are registered. Aggregation leaves out
 * this label.
 */
export const RESERVED: Label = 'dns';

/** The name at and below which the name servers of a zone are registered. */
export function nameServersOf(apex: Name): Name {
  return ['ns', RESERVED, ...apex];
}

/** The name at and below which the apex's own addresses are registered. */
export function apexAddressesOf(apex: Name): Name {
  return ['apex', RESERVED, ...apex];
}

export function isWildcard(label: Label): boolean {
  return label === '*' || label === 'any';
}

/** Whether a folded label of a question matches any label. */
export function isQuestionWildcard({ questionWildcards }: ZoneSettings, label: Label): boolean {
  if (questionWildcards === 'none') return false;
  return label === 'any' || (label === '*' && questionWildcards === 'all');
}

/** The position of the wildcard label closest to the root, in a folded name of a question; -1 if there is none. */
export function firstWildcardOf(settings: ZoneSettings, name: Name): number {
  return name.findLastIndex((label) => isQuestionWildcard(settings, label));
}

/** The services that answer for a folded name. */
export function select(state: LookupState, name: Name, purpose: Purpose): Selection {
  return selectFrom(state, name, purpose, firstWildcardOf(state.view.settings, name));
}

/** The services that answer for a folded name, in which `*` and `any` are labels like others. */
export function selectLiterally(state: LookupState, name: Name, purpose: Purpose): Selection {
  return selectFrom(state, name, purpose, -1);
}

function selectFrom(
  state: LookupState,
  name: Name,
  purpose: Purpose,
  firstWildcard: number,
): Selection {
  const top = find(state, name.slice(firstWildcard + 1));
  if (top === undefined) return { kind: 'missing' };
  const isLimited = state.view.settings.aggregateDepth !== Number.POSITIVE_INFINITY;
  let walk = new Walk(state, top, purpose, !isLimited && top.aggregateCount > MAX_SELECTED);
  walk.take(name, firstWildcard);
  const isTooMuch = walk.hasTooMuchText || (isLimited && walk.services.length >= MAX_SELECTED);
  if (isTooMuch && !walk.isSample) {
    walk = new Walk(state, top, purpose, true);
    walk.take(name, firstWildcard);
  }
  if (walk.isSample) state.isSample = true;
  if (walk.isCut) state.isCut = true;
  state.roomOctets = undefined;
  // For a wildcard, and in a listing, the group rule takes the shallowest services of those selected.
  const isListing = state.view.listing !== undefined;
  const sampledBelow = walk.isSample && firstWildcard < 0 && !isListing ? top : undefined;
  return { kind: 'exists', services: walk.services, isWhole: walk.isWhole, sampledBelow };
}

/** Only the services at exactly this folded name; labels `*` and `any` are not wildcards here. */
export function selectExact(state: LookupState, name: Name): Selection {
  return selectNear(state, name, false);
}

/** The services at exactly this folded name, and one label below it. */
export function selectExactAndBelow(state: LookupState, name: Name): Selection {
  return selectNear(state, name, true);
}

function selectNear(state: LookupState, name: Name, withChildren: boolean): Selection {
  const node = find(state, name);
  if (node === undefined) return { kind: 'missing' };
  const walk = new Walk(state, node, ANY_SERVICE, false);
  walk.takeOwn(node, name.length);
  if (withChildren) walk.takeChildren(node, name.length);
  const { services, isWhole } = walk;
  return { kind: 'exists', services, isWhole, sampledBelow: undefined };
}

const ANY_SERVICE: Purpose = { isUseful: () => true, octetsOf: () => 0, mergesAddresses: false };

/**
 * Whether services are registered at or below a folded name; of a name with wildcards, only the labels right of the
 * last wildcard count.
 */
export function hasName(state: LookupState, name: Name): boolean {
  return find(state, name.slice(firstWildcardOf(state.view.settings, name) + 1)) !== undefined;
}

/** The node of a folded name; `undefined` if the name does not exist. The answer then depends on the name. */
export function find(state: LookupState, name: Name): Node | undefined {
  state.namesRead.push(name);
  const { root, settings } = state.view;
  const node = findNode(root, name);
  // Without virtual addresses only services make a name exist.
  return node !== undefined && node.serviceCount === 0 && !settings.virtualAddresses
    ? undefined
    : node;
}

function hasAggregateOwn(node: Node): boolean {
  for (let at = node.first; at !== undefined; at = at.next)
    if (at.attributes.aggregate) return true;
  return false;
}

class Walk {
  readonly services: Selected[] = [];
  readonly isSample: boolean;
  /** The walk stopped because the reply was full, or because it had visited too many nodes. */
  isCut = false;
  readonly #state: LookupState;
  readonly #top: Node;
  readonly #purpose: Purpose;
  #textOctets = 0;
  /** Octets left in the reply, if they limit the selection. */
  #room = Number.POSITIVE_INFINITY;
  #nodesLeft = Number.POSITIVE_INFINITY;
  readonly #addresses = new Set<string>();

  constructor(state: LookupState, top: Node, purpose: Purpose, isSample: boolean) {
    this.#state = state;
    this.#top = top;
    this.#purpose = purpose;
    this.isSample = isSample;
  }

  /** All services that answer for the name were selected. */
  get isWhole(): boolean {
    return !(this.isSample || this.isCut || this.#isFull()) && this.#state.nodesLeft > 0;
  }

  /** The walk stopped because of too much text. */
  get hasTooMuchText(): boolean {
    return this.#textOctets > MAX_TEXT_OCTETS && this.#purpose.ignoresTexts !== true;
  }

  take(name: Name, firstWildcard: number): void {
    const { roomOctets } = this.#state;
    const { sampleStart } = this.#state.view;
    const isWildcardName = firstWildcard >= 0;
    if (roomOctets !== undefined && (isWildcardName || this.isSample)) this.#room = roomOctets;
    if (roomOctets !== undefined && isWildcardName) this.#nodesLeft = MAX_NODES_OVER_UDP;
    if (isWildcardName) this.#match(this.#top, name, firstWildcard, sampleStart);
    else this.#takeName(this.#top, name.length);
  }

  /** The services below the name and, as `parentValue` says, those at it. */
  #takeName(node: Node, depth: number): void {
    const { parentValue, aggregateDepth } = this.#state.view.settings;
    const hasBelow = this.#hasAggregateBelow(node, aggregateDepth);
    if (!hasBelow || parentValue !== 'hidden') this.takeOwn(node, depth);
    const isDone = parentValue === 'wins' && this.services.length > 0;
    if (!hasBelow || isDone) return;
    this.#takeBelow(node, depth, this.#state.view.sampleStart, aggregateDepth);
  }

  /** Whether services at most `levels` labels below the node count in its name's answers. */
  #hasAggregateBelow(node: Node, levels: number): boolean {
    if (levels <= 0 || !node.hasAggregateBelow) return false;
    const { forwarded } = this.#state.view.settings;
    if (levels === Number.POSITIVE_INFINITY && !forwarded.hidesBelow(node)) return true;
    for (const child of node.children ?? []) {
      if (this.#state.nodesLeft-- <= 0) return false;
      if (forwarded.hides(child)) continue;
      if (hasAggregateOwn(child) || this.#hasAggregateBelow(child, levels - 1)) return true;
    }
    return false;
  }

  /** The services at the node; `isAggregate`: for the answer of another name. */
  takeOwn(node: Node, depth: number, isAggregate = false): void {
    const takesUseful = this.isSample && this.#state.view.listing === undefined;
    for (let at = node.first; at !== undefined && !this.#isFull(); at = at.next) {
      if (isAggregate && !at.attributes.aggregate) continue;
      if (takesUseful && !this.#purpose.isUseful(at)) continue;
      this.#textOctets += at.attributes.text.length;
      this.services.push({ node, depth, registration: at });
      this.#state.servicesLeft--;
      if (this.#room !== Number.POSITIVE_INFINITY) this.#fill(node, at);
    }
  }

  takeChildren(node: Node, depth: number): void {
    for (const child of node.children ?? []) {
      if (this.#isFull()) return;
      if (!this.#state.view.settings.forwarded.hides(child)) this.takeOwn(child, depth + 1);
    }
  }

  /** Subtracts the room that a service's record needs at least. */
  #fill(node: Node, registration: Registration): void {
    const { address, family } = registration;
    if (this.#purpose.mergesAddresses && family !== 0) {
      if (this.#addresses.has(address)) return;
      this.#addresses.add(address);
    }
    this.#room -= this.#purpose.octetsOf(node, registration);
    if (this.#room < 0) this.isCut = true;
  }

  #takeBelow(node: Node, depth: number, start: number, levels: number): void {
    if (levels <= 0) return;
    this.#eachChild(node, start, (child, rest) => {
      this.takeOwn(child, depth + 1, true);
      this.#takeBelow(child, depth + 1, rest, levels - 1);
    });
  }

  /**
   * Matches `name[at]`, and then the labels left of it, below a node that matched the labels right of it. A wildcard
   * matches exactly one label. Owner names may be deeper than the qname, never shallower.
   */
  #match(node: Node, name: Name, at: number, start: number): void {
    const { settings } = this.#state.view;
    if (at < 0) {
      this.takeOwn(node, name.length, true);
      this.#takeBelow(node, name.length, start, settings.aggregateDepth);
      return;
    }
    const label = name[at] as Label;
    if (isQuestionWildcard(settings, label)) {
      this.#eachChild(node, start, (child, rest) => this.#match(child, name, at - 1, rest));
      return;
    }
    const child = node.child(label);
    if (child !== undefined && this.#mayVisit()) this.#match(child, name, at - 1, start);
  }

  #mayVisit(): boolean {
    if (this.#nodesLeft-- <= 0) this.isCut = true;
    return !this.isCut && this.#state.nodesLeft-- > 0;
  }

  /**
   * Visits children until a limit is reached: from the sample start on if a limit may end the walk, else from the first
   * one.
   */
  #eachChild(node: Node, start: number, visit: (child: Node, rest: number) => void): void {
    const { listing } = this.#state.view;
    const children = listing === undefined ? node.children : listing.inOrder(node);
    if (children === undefined) return;
    const position = this.#startsAnywhere ? start * children.length : 0;
    const first = Math.floor(position);
    for (let i = 0; i < children.length; i++) {
      if (this.#isFull() || !this.#mayVisit()) return;
      const child = children[(first + i) % children.length] as Node;
      if (child.label === RESERVED && this.#isApex(node)) continue;
      if (!this.#state.view.settings.forwarded.hides(child)) visit(child, position - first);
    }
  }

  /** Whether the walk may begin at any child: a limit may end it, and repeated walks must reach all services. */
  get #startsAnywhere(): boolean {
    const mayBeCut = this.#room !== Number.POSITIVE_INFINITY;
    return this.isSample || (mayBeCut && this.#state.view.settings.roundRobin);
  }

  #isApex(node: Node): boolean {
    const owner = node.owner();
    return this.#state.view.settings.apexes.some((apex) => equalNames(apex, owner));
  }

  #isFull(): boolean {
    return (
      this.services.length >= MAX_SELECTED ||
      this.#state.servicesLeft <= 0 ||
      this.hasTooMuchText ||
      this.isCut
    );
  }
}
