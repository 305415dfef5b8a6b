/**
 * The owner names of the answer table, kept as the zone tree has them: a name is in the table exactly while it is in the
 * tree, or is one that exists whatever the tree holds (an apex, the special name `local.dns`).
 *
 * Invariant: the table counts each name once that it had no room for, whoever has it, a node or a pin or both.
 */
import { equalNames, type Name, printName } from '../../dns/name.ts';
import { findNode, type Node } from '../../zone/tree.ts';
import type { ZoneSettings } from '../../zone/view.ts';
import { type AnswerTable, NO_ROOM } from '../table/table.ts';
import { wireName } from './negatives.ts';

const RETRIES = 1_000;

export class Owners {
  readonly #root: Node;
  readonly #table: AnswerTable;
  /** Places of the names that exist in any case. */
  readonly #pinned = new Map<string, Pinned>();
  /** Nodes for whose names there was no room. */
  readonly #homeless = new Set<Node>();

  constructor(root: Node, table: AnswerTable) {
    this.#root = root;
    this.#table = table;
  }

  /** The place of a folded name; 0 when it does not exist. */
  placeOf(name: Name): number {
    const place = findNode(this.#root, name)?.place ?? 0;
    return place !== 0 ? place : (this.#pinned.get(printName(name))?.place ?? 0);
  }

  /** Holds a node that came to be. */
  add(node: Node): void {
    const name = node.owner();
    node.place = this.#pinnedPlace(name) ?? this.#table.add(wireName(name));
    if (node.place === NO_ROOM) this.#homeless.add(node);
  }

  /** Looks for room for names that found none, some of them at each call. */
  retry(): void {
    for (const pinned of this.#pinned.values()) {
      if (pinned.place !== NO_ROOM) continue;
      pinned.place = this.#table.addRefused(wireName(pinned.name));
      if (pinned.place === NO_ROOM) return;
      const node = findNode(this.#root, pinned.name);
      if (node?.place === NO_ROOM) this.#house(node, pinned.place);
    }
    let tries = RETRIES;
    for (const node of this.#homeless) {
      if (tries-- === 0) return;
      const place = this.#table.addRefused(wireName(node.owner()));
      if (place === NO_ROOM) return;
      this.#house(node, place);
    }
  }

  #house(node: Node, place: number): void {
    node.place = place;
    this.#homeless.delete(node);
  }

  /**
   * Lets go of a node that is no longer in the tree. Gives the place whose name is gone now, 0 when the name lives on:
   * pinned, or in another node.
   */
  remove(node: Node): number {
    const { place } = node;
    if (place === 0) return 0;
    node.place = 0;
    this.#homeless.delete(node);
    if (this.#pinned.size > 0 && this.#pinnedPlace(node.owner()) !== undefined) return 0;
    return place;
  }

  /** Gives the place of a node that is gone to one of the same name that came since, so that no reader misses it. */
  pass(gone: Node): void {
    if (gone.place === 0) return;
    const heir = findNode(this.#root, gone.owner());
    if (heir === undefined || heir.place !== 0) return;
    heir.place = gone.place;
    gone.place = 0;
    if (this.#homeless.delete(gone)) this.#homeless.add(heir);
  }

  /**
   * Makes exactly the names pinned that these settings give a meaning of their own. Gives the places whose names are gone
   * now.
   */
  pin(settings: ZoneSettings): number[] {
    const wanted = new Map(pinnedNames(settings).map((name) => [printName(name), name]));
    for (const [key, name] of wanted) {
      if (this.#pinned.has(key)) continue;
      const place = findNode(this.#root, name)?.place || this.#table.add(wireName(name));
      this.#pinned.set(key, { name, place });
    }
    const gone: number[] = [];
    for (const [key, { name, place }] of this.#pinned) {
      if (wanted.has(key)) continue;
      this.#pinned.delete(key);
      if (findNode(this.#root, name)?.place !== place) gone.push(place);
    }
    return gone;
  }

  #pinnedPlace(name: Name): number | undefined {
    if (this.#pinned.size === 0) return undefined;
    for (const pinned of this.#pinned.values()) {
      if (equalNames(pinned.name, name)) return pinned.place;
    }
    return undefined;
  }
}

interface Pinned {
  readonly name: Name;
  place: number;
}

function pinnedNames({ apexes, local }: ZoneSettings): Name[] {
  const special = local === undefined ? [] : apexes.map((apex) => ['local', 'dns', ...apex]);
  return [...apexes, ...special];
}

/**
 * Which published answers rest on names other than their own and those below: an alias on its target, an SRV on the
 * addresses of another name. A name that exists is known by its node, one that does not by its text, so that its coming
 * into being is noticed too.
 */

export type Ground = Node | string;

export class Dependents {
  /** Places of owners by what their answers rest on. */
  readonly #places = new Map<Ground, Set<number>>();
  /** The other way round. */
  readonly #grounds = new Map<number, Ground[]>();

  /** Grounds that something rests on. */
  get size(): number {
    return this.#places.size;
  }

  /** An answer of the owner at `place` rests on these too. */
  add(place: number, grounds: readonly Ground[]): void {
    if (grounds.length === 0) return;
    const known = this.#grounds.get(place) ?? [];
    this.#grounds.set(place, known);
    for (const ground of grounds) {
      const places = this.#places.get(ground) ?? new Set();
      this.#places.set(ground, places);
      if (places.has(place)) continue;
      places.add(place);
      known.push(ground);
    }
  }

  /** Places whose answers rest on this. */
  of(ground: Ground): readonly number[] {
    const places = this.#places.get(ground);
    return places === undefined ? [] : [...places];
  }

  /** The answers at the place are gone. */
  forget(place: number): void {
    const grounds = this.#grounds.get(place);
    if (grounds === undefined) return;
    this.#grounds.delete(place);
    for (const ground of grounds) {
      const places = this.#places.get(ground);
      places?.delete(place);
      if (places?.size === 0) this.#places.delete(ground);
    }
  }
}
