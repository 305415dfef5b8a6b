/** Which values depend on which names: finds those that a change of the zone may change. */
import { type Name, nameKey } from '../../dns/name.ts';
import { findNode, type Node } from './tree.ts';

/** What a value depends on. All names are folded. */
export interface NamesUsed {
  /** The value holds until something at or below one of them changes. */
  readonly names: readonly Name[];
  /** The value holds until one of these names, which exist, has gone. */
  readonly presences: readonly Name[];
}

export class NameDependents<T> {
  readonly #byName = new Map<string, Set<T>>();
  readonly #byPresence = new Map<string, Set<T>>();
  /** The keys in both maps. */
  readonly #keys = new Map<T, readonly [names: Set<string>, presences: Set<string>]>();

  get isEmpty(): boolean {
    return this.#keys.size === 0;
  }

  /** The values that depend on the name, and not only on names above or below it. */
  of(name: Name): readonly T[] {
    return [...(this.#byName.get(nameKey(name)) ?? [])];
  }

  /** The values that changes at these nodes may change. Call it after the changes. */
  affected(root: Node, nodes: readonly Node[]): ReadonlySet<T> {
    const affected = new Set<T>();
    for (const node of nodes) {
      const owner = node.owner();
      for (let i = 0; i <= owner.length; i++) {
        const name = owner.slice(i);
        const key = nameKey(name);
        for (const each of this.#byName.get(key) ?? []) affected.add(each);
        const present = this.#byPresence.get(key);
        // Changes below a name that stays are frequent: the name may be an apex.
        if (present === undefined || findNode(root, name) !== undefined) continue;
        for (const each of present) affected.add(each);
      }
    }
    return affected;
  }

  /** Replaces what the value depends on. */
  note(value: T, { names, presences }: NamesUsed): void {
    this.forget(value);
    const keys = [new Set(names.map(nameKey)), new Set(presences.map(nameKey))] as const;
    this.#keys.set(value, keys);
    this.#maps().forEach((map, i) => {
      for (const key of keys[i] ?? []) map.set(key, (map.get(key) ?? new Set()).add(value));
    });
  }

  forget(value: T): void {
    const keys = this.#keys.get(value);
    if (keys === undefined) return;
    this.#keys.delete(value);
    this.#maps().forEach((map, i) => {
      for (const key of keys[i] ?? []) {
        const values = map.get(key);
        values?.delete(value);
        if (values?.size === 0) map.delete(key);
      }
    });
  }

  clear(): void {
    this.#keys.clear();
    for (const map of this.#maps()) map.clear();
  }

  #maps(): readonly Map<string, Set<T>>[] {
    return [this.#byName, this.#byPresence];
  }
}
