/**
 * Records by key, and in a tree of the names that their keys stand for. A look-up and a change take time proportional
 * to the depth of the name.
 */
import { parentPath, pathOf } from './namespace.ts';

/** Exists for each name with a record at or below it. */
interface TreeNode {
  /** The keys that stand for the name. */
  readonly keys: Set<string>;
  /** Paths that are one label longer. */
  readonly children: Set<string>;
}

export class RecordTree<T> {
  readonly #records = new Map<string, T>();
  readonly #nodes = new Map<string, TreeNode>();

  get(key: string): T | undefined {
    return this.#records.get(key);
  }

  entries(): Iterable<readonly [key: string, record: T]> {
    return this.#records;
  }

  all(): Iterable<T> {
    return this.#records.values();
  }

  set(key: string, record: T): void {
    if (!this.#records.has(key)) this.#nodeAt(pathOf(key)).keys.add(key);
    this.#records.set(key, record);
  }

  /** Returns whether there was one. */
  delete(key: string): boolean {
    if (!this.#records.delete(key)) return false;
    let path = pathOf(key);
    this.#nodes.get(path)?.keys.delete(key);
    for (;;) {
      const node = this.#nodes.get(path);
      if (node === undefined || node.keys.size > 0 || node.children.size > 0) return true;
      this.#nodes.delete(path);
      const parent = parentPath(path);
      this.#nodes.get(parent)?.children.delete(path);
      path = parent;
    }
  }

  /** The records whose keys stand for the name of that path. */
  *at(path: string): Generator<T, void, undefined> {
    for (const key of this.#nodes.get(path)?.keys ?? []) {
      const record = this.#records.get(key);
      if (record !== undefined) yield record;
    }
  }

  /** The records at all names below that path. */
  *below(path: string): Generator<T, void, undefined> {
    for (const child of this.#nodes.get(path)?.children ?? []) {
      yield* this.at(child);
      yield* this.below(child);
    }
  }

  #nodeAt(path: string): TreeNode {
    const known = this.#nodes.get(path);
    if (known !== undefined) return known;
    const node: TreeNode = { keys: new Set(), children: new Set() };
    this.#nodes.set(path, node);
    if (path !== '') this.#nodeAt(parentPath(path)).children.add(path);
    return node;
  }
}
