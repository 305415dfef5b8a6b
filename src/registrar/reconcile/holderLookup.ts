/**
 * Who holds the names that our containers are to claim, the names above and below them, and the numbers. The mirror
 * brings what changes at a name once it is wanted; what stood there before is read here, once.
 */
import type { Store } from '../../store/store.ts';
import { keysOfName, nameKeyOf } from '../describe/record.ts';
import { keyIfCloned, type StampedRecord } from './claims.ts';
import { type Namespace, parentPath, pathOf } from './namespace.ts';
import type { RelevantNames, WantedNames } from './relevance.ts';
import type { StoredRecords } from './storedRecords.ts';

const GETS_AT_ONCE = 32;
/** A server has few places for long answers. */
const SCANS_AT_ONCE = 4;

export class HolderLookup {
  readonly #store: Store;
  readonly #stored: StoredRecords;
  /** Of wanted names their own, and all of the names above them. */
  readonly #knownKeys = new Set<string>();
  /** Names below which enough is known. */
  readonly #knownBelow = new Set<string>();
  /** Names below which all numbers are known. */
  readonly #knownBases = new Set<string>();

  constructor(store: Store, stored: StoredRecords) {
    this.#store = store;
    this.#stored = stored;
  }

  /** Rejects with a `StoreError` when the store cannot be read. */
  async lookUp(desired: readonly StampedRecord[], namespace: Namespace): Promise<void> {
    const wanted = wantedOf(desired);
    const interest = this.#stored.want(wanted, namespace);
    this.#forget(wanted, interest);
    const end = this.#stored.beginReading();
    try {
      await this.#read(wanted, interest);
    } finally {
      end();
    }
  }

  async #read({ names, bases }: WantedNames, interest: RelevantNames): Promise<void> {
    const keys = new Set([...names, ...[...interest.above()].flatMap(keysOfName)]);
    await inParallel(GETS_AT_ONCE, unknown(keys, this.#knownKeys), (key) => this.#readKey(key));
    await inParallel(SCANS_AT_ONCE, unknown(names, this.#knownBelow), (name) =>
      this.#readBelow(name),
    );
    for (const base of unknown(bases, this.#knownBases)) await this.#readBase(base);
  }

  #forget({ names, bases }: WantedNames, interest: RelevantNames): void {
    const above = interest.above();
    for (const key of this.#knownKeys)
      if (!names.has(key) && !above.has(nameKeyOf(key))) this.#knownKeys.delete(key);
    for (const name of this.#knownBelow) if (!names.has(name)) this.#knownBelow.delete(name);
    for (const base of this.#knownBases) if (!bases.has(base)) this.#knownBases.delete(base);
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

  /** A million names may be below. One that was there before our own record of the name is enough. */
  async #readBelow(name: string): Promise<void> {
    for await (const { entries, revision } of this.#store.snapshot(`${name}/`)) {
      for (const entry of entries) this.#stored.learn(entry.key, entry, revision);
      if (this.#isHidden(name)) break;
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
  for (const { record, owner } of desired) {
    const { key, keyIfTaken, pointer, instance } = record;
    if (instance === 'auto') {
      bases.add(pathOf(key));
      continue;
    }
    if (pointer !== undefined) {
      pointers.add(pathOf(key));
      continue;
    }
    for (const name of [key, keyIfTaken, keyIfCloned({ key, owner })])
      if (name !== undefined) names.add(pathOf(name));
  }
  return { names, pointers, bases };
}

function unknown(wanted: ReadonlySet<string>, known: ReadonlySet<string>): readonly string[] {
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
