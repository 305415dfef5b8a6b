/** Records by key, and by the tree of the names that their keys stand for. A look or a change costs the name's depth. */
import { parentPath, pathOf } from './namespace.ts';

/** There is one for each name that has a record at it or below it. */
interface Place {
  /** Several keys may stand for one name. */
  readonly keys: Set<string>;
  /** Paths one label longer. */
  readonly children: Set<string>;
}

export class HeldRecords<T> {
  readonly #records = new Map<string, T>();
  readonly #places = new Map<string, Place>();

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
    if (!this.#records.has(key)) this.#placeAt(pathOf(key)).keys.add(key);
    this.#records.set(key, record);
  }

  /** Gives whether there was one. */
  delete(key: string): boolean {
    if (!this.#records.delete(key)) return false;
    let path = pathOf(key);
    this.#places.get(path)?.keys.delete(key);
    for (;;) {
      const place = this.#places.get(path);
      if (place === undefined || place.keys.size > 0 || place.children.size > 0) return true;
      this.#places.delete(path);
      const parent = parentPath(path);
      this.#places.get(parent)?.children.delete(path);
      path = parent;
    }
  }

  /** Those whose keys stand for the name of that path. */
  *at(path: string): Generator<T, void, undefined> {
    for (const key of this.#places.get(path)?.keys ?? []) {
      const record = this.#records.get(key);
      if (record !== undefined) yield record;
    }
  }

  /** Those at all names below that of the path. */
  *below(path: string): Generator<T, void, undefined> {
    for (const child of this.#places.get(path)?.children ?? []) {
      yield* this.at(child);
      yield* this.below(child);
    }
  }

  #placeAt(path: string): Place {
    const known = this.#places.get(path);
    if (known !== undefined) return known;
    const place: Place = { keys: new Set(), children: new Set() };
    this.#places.set(path, place);
    if (path !== '') this.#placeAt(parentPath(path)).children.add(path);
    return place;
  }
}
