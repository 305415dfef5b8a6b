/**
 * ambassador/names/: What the store says about names besides their services. Pure.
 * Imports: ambassador, dns, service, store, timing, zone/tree.
 * Used by: ambassador/follow, app, app/ambassador, app/answering, cli/linking.
 *
 * A table has the values of all keys below a prefix, kept by a mirror. An invalid value counts as absent, and is
 * reported once. The number of keys is bounded.
 */
import { type Change, type Entry, revisionOf } from '../../service/change.ts';
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
  /** More keys are ignored. */
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
    const before = new Map<string, T | undefined>();
    let revision = 0;
    for (const change of changes) {
      revision = Math.max(revision, revisionOf(change));
      const key = change.kind === 'put' ? change.entry.key : change.key;
      if (!before.has(key)) before.set(key, this.#held.get(key)?.row);
      if (change.kind === 'put') this.#put(change.entry);
      else this.#held.delete(key);
    }
    const changed = [...before]
      .map(([key, row]) => ({ before: row, after: this.#held.get(key)?.row }))
      .filter((row) => row.before !== row.after);
    if (changed.length > 0) this.#options.onChange(changed, revision);
  }

  *revisions(): Iterable<readonly [key: string, modRevision: number]> {
    for (const [key, { modRevision }] of this.#held) yield [key, modRevision];
  }

  #put(entry: Entry): void {
    const { key, value, modRevision } = entry;
    const known = this.#held.get(key);
    if (known === undefined && this.#held.size >= this.#maxKeys) {
      this.#refuse(key);
      return;
    }
    // A marker of an empty directory of the v2 keys API.
    const isMark = value.length === 0 && key.endsWith('/');
    const parsed = isMark
      ? undefined
      : this.#options.parse(key.slice(this.#options.prefix.length), entry);
    const row = parsed?.kind === 'row' ? parsed.row : undefined;
    const reason = parsed?.kind === 'invalid' ? parsed.reason : undefined;
    this.#held.set(key, { modRevision, row, reason });
    if (reason !== undefined && reason !== known?.reason) this.#options.onInvalid(key, reason);
  }

  #refuse(key: string): void {
    if (!this.#isFull) this.#options.onInvalid(key, `is one of more than ${this.#maxKeys} keys`);
    this.#isFull = true;
  }
}
