/**
 * ambassador/names/: What the store says about names besides their services. Pure.
 * Imports: ambassador, dns, service, store, timing, zone/tree.
 * Used by: ambassador/follow, app, app/ambassador, app/answering, cli/linking.
 *
 * A table has the values of all keys below a prefix, kept by a mirror. An invalid value counts as absent, and is
 * reported once. The number of keys is bounded: as many more wait until there is room, so that servers whose store fits
 * again have the same rows.
 */
import { type Change, type Entry, keyOfChange, revisionOf } from '../../service/change.ts';
import type { Replica } from '../../store/mirror.ts';

export type ParsedRow<T> =
  | { readonly kind: 'row'; readonly row: T }
  | { readonly kind: 'invalid'; readonly reason: string };

/** A key's row before and after some changes; `undefined`: none. */
export interface RowChange<T> {
  readonly before: T | undefined;
  readonly after: T | undefined;
}

export interface StoreTableOptions<T> {
  /** Ends in a slash. */
  readonly prefix: string;
  /** As many more keys wait, without effect, until others are deleted. Still more are ignored. */
  readonly maxKeys?: number;
  /** `path`: the key without the prefix. Must not throw. */
  readonly parse: (path: string, entry: Entry) => ParsedRow<T>;
  /**
   * Receives the rows that changes have changed, once per set of changes, with the greatest revision of the set. Must not
   * throw.
   */
  readonly onChange: (changes: readonly RowChange<T>[], revision: number) => void;
  readonly onInvalid: (key: string, reason: string) => void;
}

const MAX_KEYS = 100_000;

interface StoredRow<T> {
  readonly modRevision: number;
  readonly row: T | undefined;
  /** Why there is no row. */
  readonly reason: string | undefined;
}

export class StoreTable<T> implements Replica {
  readonly #options: StoreTableOptions<T>;
  readonly #maxKeys: number;
  readonly #held = new Map<string, StoredRow<T>>();
  /** For keys above the limit, the one that came first in front. */
  readonly #waiting = new Map<string, StoredRow<T>>();
  #isFull = false;

  constructor(options: StoreTableOptions<T>) {
    this.#options = options;
    this.#maxKeys = options.maxKeys ?? MAX_KEYS;
  }

  /** Number of keys without a valid value. */
  get invalid(): number {
    let count = 0;
    for (const { reason } of this.#held.values()) if (reason !== undefined) count++;
    return count;
  }

  *rows(): Iterable<T> {
    for (const { row } of this.#held.values()) if (row !== undefined) yield row;
  }

  /** The row of a key; undefined without a valid value. */
  row(key: string): T | undefined {
    return this.#held.get(key)?.row;
  }

  apply(changes: readonly Change[]): void {
    const last = new Map<string, Change>();
    let revision = 0;
    for (const change of changes) {
      revision = Math.max(revision, revisionOf(change));
      last.set(keyOfChange(change), change);
    }
    const before = new Map<string, T | undefined>();
    for (const key of last.keys()) before.set(key, this.#held.get(key)?.row);
    // A listing has its deletions at the end, but they make room for its new keys.
    for (const [key, { kind }] of last) if (kind === 'delete') this.#delete(key);
    for (const key of this.#admitWaiting()) if (!before.has(key)) before.set(key, undefined);
    for (const change of last.values()) if (change.kind === 'put') this.#put(change.entry);
    const changed = [...before]
      .map(([key, row]) => ({ before: row, after: this.#held.get(key)?.row }))
      .filter((row) => row.before !== row.after);
    if (changed.length > 0) this.#options.onChange(changed, revision);
  }

  *revisions(): Iterable<readonly [key: string, modRevision: number]> {
    for (const rows of [this.#held, this.#waiting]) {
      for (const [key, { modRevision }] of rows) yield [key, modRevision];
    }
  }

  #delete(key: string): void {
    this.#held.delete(key);
    this.#waiting.delete(key);
  }

  /** Moves waiting keys into the room that there is, and returns them. */
  #admitWaiting(): readonly string[] {
    const admitted: string[] = [];
    for (const [key, stored] of this.#waiting) {
      if (this.#held.size >= this.#maxKeys) break;
      this.#waiting.delete(key);
      this.#held.set(key, stored);
      if (stored.reason !== undefined) this.#options.onInvalid(key, stored.reason);
      admitted.push(key);
    }
    return admitted;
  }

  #put(entry: Entry): void {
    const { key } = entry;
    const known = this.#held.get(key);
    if (known === undefined && this.#held.size >= this.#maxKeys) {
      this.#refuse(key);
      const hasRoom = this.#waiting.has(key) || this.#waiting.size < this.#maxKeys;
      if (hasRoom) this.#waiting.set(key, this.#storedRow(entry));
      return;
    }
    const stored = this.#storedRow(entry);
    this.#held.set(key, stored);
    const { reason } = stored;
    if (reason !== undefined && reason !== known?.reason) this.#options.onInvalid(key, reason);
  }

  #storedRow(entry: Entry): StoredRow<T> {
    const { key, value, modRevision } = entry;
    // A marker of an empty directory of the v2 keys API.
    const isMark = value.length === 0 && key.endsWith('/');
    const parsed = isMark
      ? undefined
      : this.#options.parse(key.slice(this.#options.prefix.length), entry);
    const row = parsed?.kind === 'row' ? parsed.row : undefined;
    const reason = parsed?.kind === 'invalid' ? parsed.reason : undefined;
    return { modRevision, row, reason };
  }

  #refuse(key: string): void {
    if (!this.#isFull) this.#options.onInvalid(key, `is one of more than ${this.#maxKeys} keys`);
    this.#isFull = true;
  }
}
