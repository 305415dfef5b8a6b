/**
 * What a snapshot says that a replica does not hold yet, page by page. Values are not compared: the same key at the
 * same revision of the same history is the same entry, and of another history nothing is known.
 */
import type { Change, Entry } from '../service/change.ts';
import type { SnapshotPage } from './store.ts';

export class Difference {
  /** What the replica holds and no page has named so far. */
  readonly #left: Map<string, number>;
  readonly #history: string | undefined;

  /** `history`: the one that the revisions of all that is held belong to, if it is known. */
  constructor(
    held: Iterable<readonly [key: string, modRevision: number]>,
    history: string | undefined,
  ) {
    this.#left = new Map(held);
    this.#history = history;
  }

  /** The page's entries that the replica lacks or holds from another write. */
  putsOf(page: SnapshotPage): Change[] {
    const comparable = page.history === this.#history;
    const puts: Change[] = [];
    for (const entry of page.entries) {
      const same = this.#take(entry) && comparable;
      if (!same) puts.push({ kind: 'put', entry, previous: undefined });
    }
    return puts;
  }

  /** After the last page: deletes of what the snapshot does not have. */
  deletes(modRevision: number): Change[] {
    const deletes: Change[] = [];
    for (const key of this.#left.keys()) {
      deletes.push({ kind: 'delete', key, modRevision, previous: undefined });
    }
    return deletes;
  }

  /** Whether the replica holds that very write of the key. */
  #take(entry: Entry): boolean {
    const held = this.#left.get(entry.key);
    if (held === undefined) return false;
    this.#left.delete(entry.key);
    return held === entry.modRevision;
  }
}
