/**
 * Fingerprints of entries, by which a store recognises the history that a watcher has followed. etcd needs them: a
 * cluster that was wiped and started again keeps its id, and its revisions soon reach the old numbers.
 */
import { createHash } from 'node:crypto';
import type { Change, Entry } from '../service/change.ts';
import type { EntryFingerprint, SnapshotPage, WatchBatch } from './store.ts';

/** Equal for equal values on equal leases. */
function digestOf({ value, lease }: Pick<Entry, 'value' | 'lease'>): string {
  const hash = createHash('sha256').update(`${lease?.id ?? ''}\n`);
  return hash.update(value).digest('base64url');
}

/** Whether the entry is the write that the fingerprint identifies. */
export function hasFingerprint(fingerprint: EntryFingerprint, entry: Entry | undefined): boolean {
  return (
    entry !== undefined &&
    entry.key === fingerprint.key &&
    entry.createRevision === fingerprint.createRevision &&
    entry.modRevision === fingerprint.modRevision &&
    digestOf(entry) === fingerprint.digest
  );
}

/**
 * The newest entry that a reader of a store has read, and the last revision at which the key still had it. A store uses
 * the entry's fingerprint to check whether the reader followed its history.
 */
export class NewestEntry {
  #entry: Entry | undefined;
  /** The last revision at which the key had `#entry`. */
  #revision = 0;
  /** The key was deleted after `#revision`. */
  #isDeleted = false;

  /** Undefined before the first entry. */
  fingerprint(): EntryFingerprint | undefined {
    if (this.#entry === undefined) return undefined;
    const { key, createRevision, modRevision } = this.#entry;
    const digest = digestOf(this.#entry);
    return { key, createRevision, modRevision, digest, revision: this.#revision };
  }

  addPage({ revision, entries }: SnapshotPage): void {
    for (const entry of entries) {
      if (this.#entry === undefined || entry.modRevision > this.#entry.modRevision) {
        this.#entry = entry;
      }
    }
    this.#revision = revision;
    this.#isDeleted = false;
  }

  addBatch({ revision, changes }: WatchBatch): void {
    for (const change of changes) this.#addChange(change);
    if (!this.#isDeleted) this.#revision = revision;
  }

  #addChange(change: Change): void {
    if (change.kind === 'put') {
      this.#entry = change.entry;
      // A later change of the same batch may delete the key.
      this.#revision = change.entry.modRevision;
      this.#isDeleted = false;
    } else if (change.key === this.#entry?.key) {
      this.#isDeleted = true;
    }
  }
}
