/**
 * Which published answers depend on names outside their own subtree: an alias depends on its target, an SRV on the
 * addresses of another name.
 */
import { isSubdomainOf, type Name, printName } from '../../dns/name.ts';
import type { Basis } from '../../zone/tree/lookupState.ts';
import { findNode, type Node } from '../../zone/tree/tree.ts';

/**
 * A name on which an answer depends: the node of an existing name, or the text of a missing one. The text stands for
 * whether the name exists, so the first record of a missing name also withdraws answers.
 */
export type Dependency = Node | string;

export class Dependents {
  /** Table addresses of owner names, by the dependencies of their answers. */
  readonly #addresses = new Map<Dependency, Set<number>>();
  /** The inverse of `#addresses`. */
  readonly #dependencies = new Map<number, Dependency[]>();

  /** Number of dependencies. */
  get size(): number {
    return this.#addresses.size;
  }

  /** Adds dependencies of an answer of the name at `address`. */
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

  /** Addresses of the names whose answers depend on this one. */
  of(dependency: Dependency): readonly number[] {
    const addresses = this.#addresses.get(dependency);
    return addresses === undefined ? [] : [...addresses];
  }

  /** Call this when the answers of the name at `address` are withdrawn. */
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

/**
 * The names outside the subtree of `qname` on which its answer depends. The text of a name that exists stands for its
 * existence.
 */
export function dependenciesOf(
  root: Node,
  qname: Name,
  { names, presences }: Pick<Basis, 'names' | 'presences'>,
): Dependency[] {
  const outside = names
    .filter((name) => !isSubdomainOf(name, qname))
    .map((name) => findNode(root, name) ?? printName(name));
  return [...outside, ...presences.map(printName)];
}
