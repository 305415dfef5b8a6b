/**
 * Which published answers rest on names other than their own and those below it: an alias on its target, an SRV on the
 * addresses of another name.
 */
import type { Node } from '../../zone/tree.ts';

/**
 * A name that exists, by its node; or one that does not, by its text, so that its first record withdraws answers too.
 */
export type Dependency = Node | string;

export class Dependents {
  /** Table addresses of owner names, by what their answers rest on. */
  readonly #addresses = new Map<Dependency, Set<number>>();
  /** The inverse of `#addresses`. */
  readonly #dependencies = new Map<number, Dependency[]>();

  /** Dependencies that an answer rests on. */
  get size(): number {
    return this.#addresses.size;
  }

  /** Notes that an answer of the name at `address` rests on these too. */
  add(address: number, dependencies: readonly Dependency[]): void {
    if (dependencies.length === 0) return;
    const noted = this.#dependencies.get(address) ?? [];
    this.#dependencies.set(address, noted);
    for (const dependency of dependencies) {
      const addresses = this.#addresses.get(dependency) ?? new Set();
      this.#addresses.set(dependency, addresses);
      if (addresses.has(address)) continue;
      addresses.add(address);
      noted.push(dependency);
    }
  }

  /** Addresses of the names whose answers rest on this. */
  of(dependency: Dependency): readonly number[] {
    const addresses = this.#addresses.get(dependency);
    return addresses === undefined ? [] : [...addresses];
  }

  /** To be called when the answers at the address are withdrawn. */
  forget(address: number): void {
    const dependencies = this.#dependencies.get(address);
    if (dependencies === undefined) return;
    this.#dependencies.delete(address);
    for (const dependency of dependencies) {
      const addresses = this.#addresses.get(dependency);
      addresses?.delete(address);
      if (addresses?.size === 0) this.#addresses.delete(dependency);
    }
  }
}
