/**
 * Which published answers rest on names other than their own and those below: an alias on its target, an SRV on the
 * addresses of another name. A name that exists is known by its node, one that does not by its text, so that its coming
 * into being is noticed too.
 */
import type { Node } from '../../zone/tree.ts';

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
