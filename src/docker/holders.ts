/**
 * Who has the names, and the numbers, that our containers are to claim. The mirror brings what changes at a wanted key;
 * what stood there before it was wanted is read here, once.
 */
import type { Store } from '../store/store.ts';
import type { ActualRecords } from './actual.ts';
import { keyIfCloned, type Wish } from './assign.ts';
import { keysOfName } from './claim.ts';

const READS_AT_ONCE = 32;

export class Holders {
  readonly #store: Store;
  readonly #actual: ActualRecords;
  /** Names of which it is known whether somebody has them, at their own key or for both families. */
  readonly #knownNames = new Set<string>();
  /** Keys below which all is known. */
  readonly #knownBases = new Set<string>();

  constructor(store: Store, actual: ActualRecords) {
    this.#store = store;
    this.#actual = actual;
  }

  /** Rejects with a `StoreError` when the store cannot be read. */
  async lookUp(wishes: readonly Wish[]): Promise<void> {
    const names = new Set<string>();
    const keys = new Set<string>();
    const bases = new Set<string>();
    for (const { record, owner } of wishes) {
      const ifCloned = keyIfCloned({ key: record.key, owner });
      if (ifCloned !== undefined) keys.add(ifCloned);
      (record.instance === 'auto' ? bases : keys).add(record.key);
      if (record.keyIfTaken !== undefined) keys.add(record.keyIfTaken);
      if (record.instance === 'named' && record.pointer === undefined) names.add(record.key);
    }
    this.#actual.want({ keys, bases });
    for (const name of this.#knownNames) if (!names.has(name)) this.#knownNames.delete(name);
    for (const base of this.#knownBases) if (!bases.has(base)) this.#knownBases.delete(base);
    const unread = [...names].filter((name) => !this.#knownNames.has(name)).values();
    const readers = Array.from({ length: READS_AT_ONCE }, async () => {
      for (const name of unread) await this.#readName(name);
    });
    await Promise.all(readers);
    for (const base of bases) if (!this.#knownBases.has(base)) await this.#readBase(base);
  }

  /** Puts find out about the keys that they are for, but a name that another container has may have its other keys. */
  async #readName(name: string): Promise<void> {
    const keys = keysOfName(name);
    const isHeld = this.#actual.get(name)?.isOwn === true;
    const found = isHeld ? [] : await Promise.all(keys.map((key) => this.#store.get(key)));
    for (const { entry } of found)
      if (entry !== undefined) this.#actual.learn(entry.key, entry, entry.modRevision);
    this.#knownNames.add(name);
  }

  async #readBase(base: string): Promise<void> {
    for await (const { entries } of this.#store.snapshot(`${base}/`)) {
      for (const entry of entries) this.#actual.learn(entry.key, entry, entry.modRevision);
    }
    this.#knownBases.add(base);
  }
}
