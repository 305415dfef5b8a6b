/**
 * What a snapshot says that a replica does not hold yet, page by page. Values are not compared: the same key at the
 * same revision of the same history is the same entry, and of another history nothing is known.
 */
import { createHash } from 'node:crypto';
import type { Change, Entry } from '../service/change.ts';
import type { EntryFingerprint, SnapshotPage, WatchBatch } from './store.ts';

export class SnapshotDiff {
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

/**
 * What a reader of a store remembers so that another store in its place is noticed: one entry, the last one written
 * among those that it read, and up to which revision that entry was so.
 */

/** The digest of a `Witness`: equal for equal values on equal leases. */
function digestOf({ value, lease }: Pick<Entry, 'value' | 'lease'>): string {
  const hash = createHash('sha256').update(`${lease?.id ?? ''}\n`);
  return hash.update(value).digest('base64url');
}

/** Whether this is the entry that the witness tells of. */
export function hasFingerprint(fingerprint: EntryFingerprint, entry: Entry | undefined): boolean {
  return (
    entry !== undefined &&
    entry.key === fingerprint.key &&
    entry.createRevision === fingerprint.createRevision &&
    entry.modRevision === fingerprint.modRevision &&
    digestOf(entry) === fingerprint.digest
  );
}

/** Follows what one reader reads, in its order. */
export class NewestEntry {
  #entry: Entry | undefined;
  /** Up to here the entry was so. */
  #revision = 0;
  /** It was changed or deleted since. */
  #isOver = false;

  /** What there is to say to the store; undefined while no entry was read. */
  fingerprint(): EntryFingerprint | undefined {
    if (this.#entry === undefined) return undefined;
    const { key, createRevision, modRevision } = this.#entry;
    const digest = digestOf(this.#entry);
    return { key, createRevision, modRevision, digest, revision: this.#revision };
  }

  readPage({ revision, entries }: SnapshotPage): void {
    for (const entry of entries) {
      if (this.#entry === undefined || entry.modRevision > this.#entry.modRevision) {
        this.#entry = entry;
      }
    }
    this.#revision = revision;
    this.#isOver = false;
  }

  readBatch({ revision, changes }: WatchBatch): void {
    for (const change of changes) this.#readChange(change);
    if (!this.#isOver) this.#revision = revision;
  }

  #readChange(change: Change): void {
    if (change.kind === 'put') {
      this.#entry = change.entry;
      this.#isOver = false;
    } else if (change.key === this.#entry?.key) {
      this.#isOver = true;
    }
  }
}
