/**
 * What a reader of a store remembers so that another store in its place is noticed: one entry, the last one written
 * among those that it read, and up to which revision that entry was so.
 */
import { createHash } from 'node:crypto';
import type { Change, Entry } from '../service/change.ts';
import type { SnapshotPage, WatchBatch, Witness } from './store.ts';

/** The digest of a `Witness`: equal for equal values on equal leases. */
function digestOf({ value, lease }: Pick<Entry, 'value' | 'lease'>): string {
  const hash = createHash('sha256').update(`${lease?.id ?? ''}\n`);
  return hash.update(value).digest('base64url');
}

/** Whether this is the entry that the witness tells of. */
export function isWitnessed(witness: Witness, entry: Entry | undefined): boolean {
  return (
    entry !== undefined &&
    entry.key === witness.key &&
    entry.createRevision === witness.createRevision &&
    entry.modRevision === witness.modRevision &&
    digestOf(entry) === witness.digest
  );
}

/** Follows what one reader reads, in its order. */
export class LastSeen {
  #entry: Entry | undefined;
  /** Up to here the entry was so. */
  #revision = 0;
  /** It was changed or deleted since. */
  #isOver = false;

  /** What there is to say to the store; undefined while no entry was read. */
  witness(): Witness | undefined {
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
