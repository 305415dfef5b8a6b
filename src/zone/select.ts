/**
 * Which services a name stands for: its own, or those below it (a directory in SkyDNS's etcd), or those that a query
 * with wildcard labels matches.
 *
 * A selection holds a thousand services at most, about what a full message can carry. Below a node with more, only
 * services of use to the question count, and the walk begins at another child each time: `View.turn` is read as a
 * fraction, its leading digit (base: the number of children) chooses the child, the rest of it goes to the next level. As
 * turns are spread evenly over [0, 1), repeated questions come round to every service.
 */
import { equalNames, type Label, type Name } from '../dns/name.ts';
import type { LookupState } from './lookupState.ts';
import { findNode, type Node, type Registration } from './tree.ts';

/** A service with the node whose name it carries. */
export interface Selected {
  readonly node: Node;
  /** Labels of the owner name; the groups rule looks for the shallowest. */
  readonly depth: number;
  readonly registration: Registration;
}

export type Selection =
  | {
      readonly kind: 'exists';
      /** May be empty: an empty non-terminal, or nothing that matches. */
      readonly services: readonly Selected[];
      /** They are all services that the name stands for. */
      readonly isWhole: boolean;
      /** The services are a sample of those below this node. */
      readonly sampledBelow: Node | undefined;
    }
  | { readonly kind: 'missing' };

/** What a question has of a service. */
export interface Purpose {
  /** Whether the service can be part of the answer; asked only where there are too many to take all. */
  isUseful(registration: Registration): boolean;
  /** The least octets that its record adds to the reply; asked only where the reply's room is bounded. */
  octetsOf(node: Node, registration: Registration): number;
  /** Services with one address give one record. */
  readonly mergesAddresses: boolean;
}

const MAX_SELECTED = 1_000;
/** Of a question by wildcard over UDP, which does not prove who asks. */
const MAX_NODES_OVER_UDP = 2_000;
/** Of texts in all; without a bound a few large ones would keep everybody waiting while they are compared. */
const MAX_TEXT_OCTETS = 200_000;

/** Below an apex: name servers and the apex's own addresses. Found by their names, never by aggregation. */
const RESERVED: Label = 'dns';

export function isWildcard(label: Label): boolean {
  return label === '*' || label === 'any';
}

/** The services that a folded name stands for. */
export function select(state: LookupState, name: Name, purpose: Purpose): Selection {
  const firstWildcard = name.findLastIndex(isWildcard);
  const top = find(state, name.slice(firstWildcard + 1));
  if (top === undefined) return { kind: 'missing' };
  let walk = new Walk(state, top, purpose, top.serviceCount > MAX_SELECTED);
  walk.take(name, firstWildcard);
  if (walk.hasOverflown && !walk.isSample) {
    walk = new Walk(state, top, purpose, true);
    walk.take(name, firstWildcard);
  }
  if (walk.isSample) state.isSample = true;
  if (walk.isCut) state.isCut = true;
  state.roomOctets = undefined;
  // What a wildcard leaves of a sample says itself which of it is shallowest.
  const sampledBelow = walk.isSample && firstWildcard < 0 ? top : undefined;
  return { kind: 'exists', services: walk.services, isWhole: walk.isWhole, sampledBelow };
}

/** Only what is registered at exactly this folded name (labels `*` and `any` are plain labels here). */
export function selectExact(state: LookupState, name: Name): Selection {
  return selectNear(state, name, false);
}

/** What is registered at exactly this folded name, and one label below it. */
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

/** Whether anything is at or below a folded name, or at what stands right of its wildcards. */
export function hasName(state: LookupState, name: Name): boolean {
  return find(state, name.slice(name.findLastIndex(isWildcard) + 1)) !== undefined;
}

function find(state: LookupState, name: Name): Node | undefined {
  state.namesRead.push(name);
  return findNode(state.view.root, name);
}

class Walk {
  readonly services: Selected[] = [];
  readonly isSample: boolean;
  /** It stopped before its end because the reply has no room for more, or for a search that long. */
  isCut = false;
  readonly #state: LookupState;
  readonly #top: Node;
  readonly #purpose: Purpose;
  #textOctets = 0;
  /** Octets of the reply, where those count. */
  #room = Number.POSITIVE_INFINITY;
  #nodesLeft = Number.POSITIVE_INFINITY;
  readonly #addresses = new Set<string>();

  constructor(state: LookupState, top: Node, purpose: Purpose, isSample: boolean) {
    this.#state = state;
    this.#top = top;
    this.#purpose = purpose;
    this.isSample = isSample;
  }

  /** Nothing that the name stands for is missing. */
  get isWhole(): boolean {
    return !(this.isSample || this.isCut || this.#isFull()) && this.#state.nodesLeft > 0;
  }

  /** There was too much text to take every service. */
  get hasOverflown(): boolean {
    return this.#textOctets > MAX_TEXT_OCTETS;
  }

  take(name: Name, firstWildcard: number): void {
    const { roomOctets } = this.#state;
    const { sampleStart: turn } = this.#state.view;
    const isWildcardName = firstWildcard >= 0;
    if (roomOctets !== undefined && (isWildcardName || this.isSample)) this.#room = roomOctets;
    if (roomOctets !== undefined && isWildcardName) this.#nodesLeft = MAX_NODES_OVER_UDP;
    if (isWildcardName) this.#match(this.#top, name, firstWildcard, turn);
    else this.#takeName(this.#top, name.length);
  }

  /** What is below the name, and what is at it as `parentValue` says. */
  #takeName(node: Node, depth: number): void {
    const { parentValue } = this.#state.view.settings;
    const hasBelow = node.children !== undefined;
    if (!hasBelow || parentValue !== 'hidden') this.takeOwn(node, depth);
    const isDone = parentValue === 'wins' && this.services.length > 0;
    if (hasBelow && !isDone) this.#takeBelow(node, depth, this.#state.view.sampleStart);
  }

  takeOwn(node: Node, depth: number): void {
    for (let at = node.first; at !== undefined && !this.#isFull(); at = at.next) {
      if (this.isSample && !this.#purpose.isUseful(at)) continue;
      this.#textOctets += at.attributes.text.length;
      this.services.push({ node, depth, registration: at });
      this.#state.servicesLeft--;
      if (this.#room !== Number.POSITIVE_INFINITY) this.#fill(node, at);
    }
  }

  takeChildren(node: Node, depth: number): void {
    for (const child of node.children ?? []) {
      if (this.#isFull()) return;
      this.takeOwn(child, depth + 1);
    }
  }

  /** Takes the room that a service's record needs at least. */
  #fill(node: Node, registration: Registration): void {
    const { address, family } = registration;
    if (this.#purpose.mergesAddresses && family !== 0) {
      if (this.#addresses.has(address)) return;
      this.#addresses.add(address);
    }
    this.#room -= this.#purpose.octetsOf(node, registration);
    if (this.#room < 0) this.isCut = true;
  }

  #takeBelow(node: Node, depth: number, turn: number): void {
    this.#eachChild(node, turn, (child, rest) => {
      this.takeOwn(child, depth + 1);
      this.#takeBelow(child, depth + 1, rest);
    });
  }

  /**
   * Matches `name[at]` and what is left of it below a node that matched what is right of it. A wildcard stands for
   * exactly one label; keys may be deeper than the query, never shallower.
   */
  #match(node: Node, name: Name, at: number, turn: number): void {
    if (at < 0) {
      this.takeOwn(node, name.length);
      this.#takeBelow(node, name.length, turn);
      return;
    }
    const label = name[at] as Label;
    if (isWildcard(label)) {
      this.#eachChild(node, turn, (child, rest) => this.#match(child, name, at - 1, rest));
      return;
    }
    const child = node.child(label);
    if (child !== undefined && this.#mayVisit()) this.#match(child, name, at - 1, turn);
  }

  #mayVisit(): boolean {
    if (this.#nodesLeft-- <= 0) this.isCut = true;
    return !this.isCut && this.#state.nodesLeft-- > 0;
  }

  /** Visits children until the allowance is spent; in turns where it may be spent before the end, else in their order. */
  #eachChild(node: Node, turn: number, visit: (child: Node, rest: number) => void): void {
    const { children } = node;
    if (children === undefined) return;
    const place = this.#isInTurns ? turn * children.length : 0;
    const start = Math.floor(place);
    for (let i = 0; i < children.length; i++) {
      if (this.#isFull() || !this.#mayVisit()) return;
      const child = children[(start + i) % children.length] as Node;
      if (child.label !== RESERVED || !this.#isApex(node)) visit(child, place - start);
    }
  }

  /** Another part of what the name stands for comes first each time. */
  get #isInTurns(): boolean {
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
      this.hasOverflown ||
      this.isCut
    );
  }
}
