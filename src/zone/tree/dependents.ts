/**
 * Which answers and transferred records depend on names outside their own subtree: an alias depends on its target, an SRV
 * on the addresses of another name.
 */
import { isSubdomainOf, type Name, printName } from '../../dns/name.ts';
import type { Basis } from './lookupState.ts';
import { findNode, type Node } from './tree.ts';

/**
 * A name on which an answer depends: the node of an existing name, or the text of a missing one. The text stands for
 * whether the name exists, so the first record of a missing name also withdraws answers.
 */
export type Dependency = Node | string;

/** `Id` stands for the owner name of an answer: its address in the answer table, or its octets. */
export class Dependents<Id> {
  /** Owner names, by the dependencies of their answers. */
  readonly #owners = new Map<Dependency, Set<Id>>();
  /** The inverse of `#owners`. */
  readonly #dependencies = new Map<Id, Dependency[]>();

  /** Number of dependencies. */
  get size(): number {
    return this.#owners.size;
  }

  /** Adds dependencies of an answer of the owner. */
  add(owner: Id, dependencies: readonly Dependency[]): void {
    if (dependencies.length === 0) return;
    const noted = this.#dependencies.get(owner) ?? [];
    this.#dependencies.set(owner, noted);
    for (const dependency of dependencies) {
      const owners = this.#owners.get(dependency) ?? new Set();
      this.#owners.set(dependency, owners);
      if (owners.has(owner)) continue;
      owners.add(owner);
      noted.push(dependency);
    }
  }

  /** The owners whose answers depend on this one. */
  of(dependency: Dependency): readonly Id[] {
    const owners = this.#owners.get(dependency);
    return owners === undefined ? [] : [...owners];
  }

  /** Call this when the answers of the owner are withdrawn. */
  forget(owner: Id): void {
    const dependencies = this.#dependencies.get(owner);
    if (dependencies === undefined) return;
    this.#dependencies.delete(owner);
    for (const dependency of dependencies) {
      const owners = this.#owners.get(dependency);
      owners?.delete(owner);
      if (owners?.size === 0) this.#owners.delete(dependency);
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
