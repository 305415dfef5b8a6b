/**
 * Compares a snapshot with a replica, page by page. It does not compare values: the same key at the same revision of
 * the same history is the same entry, and revisions of different histories cannot be compared.
 */
import type { Change, Entry } from '../service/change.ts';
import type { SnapshotPage } from './store.ts';

export class SnapshotDiff {
  /** The replica's keys that have not appeared in a page yet, with their revisions. */
  readonly #unseen: Map<string, number>;
  readonly #history: string | undefined;

  /** `history` is the history of the replica's revisions; undefined if it is uncertain. */
  constructor(
    held: Iterable<readonly [key: string, modRevision: number]>,
    history: string | undefined,
  ) {
    this.#unseen = new Map(held);
    this.#history = history;
  }

  /** The page's entries that the replica lacks or has from another write. */
  putsOf(page: SnapshotPage): Change[] {
    const comparable = page.history === this.#history;
    const puts: Change[] = [];
    for (const entry of page.entries) {
      const same = this.#isSameWrite(entry) && comparable;
      if (!same) puts.push({ kind: 'put', entry, previous: undefined });
    }
    return puts;
  }

  /** After the last page: deletes for the replica's keys that the snapshot does not have. */
  deletes(modRevision: number): Change[] {
    const deletes: Change[] = [];
    for (const key of this.#unseen.keys()) {
      deletes.push({ kind: 'delete', key, modRevision, previous: undefined });
    }
    return deletes;
  }

  /** Whether the replica has this write of the key. */
  #isSameWrite(entry: Entry): boolean {
    const held = this.#unseen.get(entry.key);
    if (held === undefined) return false;
    this.#unseen.delete(entry.key);
    return held === entry.modRevision;
  }
}
