/**
 * A replica that detects missing changes: the entry that a change replaces must be the one that the replica has. It
 * also records its number of keys after each `apply`, to show that no step was applied in part.
 */
import type { Change, Entry } from '../../src/service/change.ts';
import type { Replica } from '../../src/store/mirror.ts';
import type { Store } from '../../src/store/store.ts';

export class CheckedReplica implements Replica {
  readonly entries = new Map<string, Entry>();
  /**
   * Changes that do not match the replica's entry. After a relist there may be some, because it skips changes in
   * between.
   */
  readonly gaps: string[] = [];
  /** Number of keys after each `apply`. */
  readonly sizes: number[] = [];

  apply(changes: readonly Change[]): void {
    for (const change of changes) this.#applyOne(change);
    this.sizes.push(this.entries.size);
  }

  *revisions(): Iterable<readonly [string, number]> {
    for (const [key, { modRevision }] of this.entries) yield [key, modRevision];
  }

  /** One line for each key, in order, to compare with `contentOf`. */
  content(): string[] {
    return [...this.entries.values()].map(lineOf).sort();
  }

  #applyOne(change: Change): void {
    const key = change.kind === 'put' ? change.entry.key : change.key;
    const held = this.entries.get(key);
    if (!fits(change, held)) {
      const before = change.previous?.modRevision ?? 'nothing';
      this.gaps.push(`${change.kind} ${key}: over ${before}, held ${held?.modRevision}`);
    }
    if (change.kind === 'put') this.entries.set(key, change.entry);
    else this.entries.delete(key);
  }
}

function fits(change: Change, held: Entry | undefined): boolean {
  if (change.previous !== undefined) return held?.modRevision === change.previous.modRevision;
  if (change.kind === 'delete') return held !== undefined;
  return change.entry.createRevision !== change.entry.modRevision || held === undefined;
}

const lineOf = (entry: Entry): string =>
  `${entry.key} ${entry.createRevision} ${entry.modRevision} ${Buffer.from(entry.value).toString('base64')} ${entry.lease?.id ?? '-'}`;

/** A store's entries below a prefix, in the form of `CheckedReplica.content`. */
export async function contentOf(store: Store, prefix: string): Promise<string[]> {
  const lines: string[] = [];
  for await (const { entries } of store.snapshot(prefix)) lines.push(...entries.map(lineOf));
  return lines.sort();
}
