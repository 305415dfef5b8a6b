/**
 * Reads the holders of names from the store: of the names that our containers want, of the names above and below those,
 * and of numbers. It reads each name once, when it is first wanted; later changes come from the mirror.
 */
import type { Store } from '../../store/store.ts';
import type { StampedRecord } from '../describe/storedValue.ts';
import { keysOfName, nameKeyOf } from '../describe/storedValue.ts';
import { possibleNames } from './claims.ts';
import { type Namespace, parentPath, pathOf } from './namespace.ts';
import type { RelevantNames, WantedNames } from './relevance.ts';
import type { StoredRecords } from './storedRecords.ts';

const GETS_AT_ONCE = 32;
/** A server serves only a few long answers at the same time. */
const SCANS_AT_ONCE = 4;

export class HolderLookup {
  readonly #store: Store;
  readonly #stored: StoredRecords;
  /** Keys that were read: of wanted names and of the names above them. */
  readonly #knownKeys = new Set<string>();
  /** Names below which `#readBelow` has read enough. */
  readonly #knownBelow = new Set<string>();
  /** Those of them that it has read in part: enough while a record that it has read hides ours. */
  readonly #partlyReadBelow = new Set<string>();
  /** Names below which all numbers were read. */
  readonly #knownBases = new Set<string>();

  constructor(store: Store, stored: StoredRecords) {
    this.#store = store;
    this.#stored = stored;
  }

  /** Rejects with a `StoreError` when the store cannot be read. */
  async lookUp(desired: readonly StampedRecord[], namespace: Namespace): Promise<void> {
    const wanted = wantedOf(desired);
    const relevant = this.#stored.want(wanted, namespace);
    this.#forget(wanted, relevant);
    const end = this.#stored.beginReading();
    try {
      await this.#read(wanted, relevant);
    } finally {
      end();
    }
  }

  async #read({ names, bases }: WantedNames, relevant: RelevantNames): Promise<void> {
    const keys = new Set([...names, ...[...relevant.above()].flatMap(keysOfName)]);
    await inParallel(GETS_AT_ONCE, notKnown(keys, this.#knownKeys), (key) => this.#readKey(key));
    await inParallel(SCANS_AT_ONCE, notKnown(names, this.#knownBelow), (name) =>
      this.#readBelow(name),
    );
    for (const base of notKnown(bases, this.#knownBases)) await this.#readBase(base);
  }

  #forget({ names, bases }: WantedNames, relevant: RelevantNames): void {
    const above = relevant.above();
    for (const key of this.#knownKeys)
      if (!names.has(key) && !above.has(nameKeyOf(key))) this.#knownKeys.delete(key);
    for (const name of this.#knownBelow) if (!names.has(name)) this.#knownBelow.delete(name);
    for (const base of this.#knownBases) if (!bases.has(base)) this.#knownBases.delete(base);
    for (const name of this.#partlyReadBelow)
      if (!names.has(name) || !this.#isHidden(name)) {
        this.#partlyReadBelow.delete(name);
        this.#knownBelow.delete(name);
      }
    for (const name of this.#stored.takeIncomplete()) {
      this.#knownBelow.delete(name);
      this.#knownBases.delete(parentPath(name));
    }
  }

  async #readKey(key: string): Promise<void> {
    if (this.#stored.get(key) === undefined) {
      const { entry, revision } = await this.#store.get(key);
      if (entry !== undefined) this.#stored.learn(key, entry, revision);
    }
    this.#knownKeys.add(key);
  }

  /** Stops at a record that is older than our own at this name, because one is enough and there may be a million. */
  async #readBelow(name: string): Promise<void> {
    for await (const { entries, revision } of this.#store.snapshot(`${name}/`)) {
      for (const entry of entries) this.#stored.learn(entry.key, entry, revision);
      if (!this.#isHidden(name)) continue;
      this.#partlyReadBelow.add(name);
      break;
    }
    this.#knownBelow.add(name);
  }

  #isHidden(name: string): boolean {
    const own = keysOfName(name).flatMap((key) => this.#stored.get(key) ?? []);
    const ownSince = Math.min(...own.flatMap(({ isOwn, since }) => (isOwn ? since : [])));
    for (const { since, isOwn } of this.#stored.below(name))
      if (!isOwn && since < ownSince) return true;
    return false;
  }

  async #readBase(base: string): Promise<void> {
    for await (const { entries, revision } of this.#store.snapshot(`${base}/`))
      for (const entry of entries) this.#stored.learn(entry.key, entry, revision);
    this.#knownBases.add(base);
  }
}

function wantedOf(desired: readonly StampedRecord[]): WantedNames {
  const names = new Set<string>();
  const pointers = new Set<string>();
  const bases = new Set<string>();
  for (const stamped of desired) {
    const { key, pointer, instance } = stamped.record;
    if (instance === 'auto') {
      bases.add(pathOf(key));
      continue;
    }
    if (pointer !== undefined) {
      pointers.add(pathOf(key));
      continue;
    }
    for (const name of possibleNames(stamped)) names.add(pathOf(name));
  }
  return { names, pointers, bases };
}

function notKnown(wanted: ReadonlySet<string>, known: ReadonlySet<string>): readonly string[] {
  return [...wanted].filter((name) => !known.has(name));
}

async function inParallel<T>(
  count: number,
  all: readonly T[],
  work: (one: T) => Promise<void>,
): Promise<void> {
  const waiting = all.values();
  const worker = async (): Promise<void> => {
    for (const one of waiting) await work(one);
  };
  await Promise.all(Array.from({ length: Math.min(count, all.length) }, worker));
}
