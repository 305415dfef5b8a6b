/**
 * Any history of a store and of the wanted names: what the registrar keeps of the store's records leads to the same
 * decisions as the whole store. Writes also happen while the registrar reads.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  keysOfName,
  ownerOf,
  type StampedRecord,
} from '../../../src/registrar/describe/storedValue.ts';
import { HolderLookup } from '../../../src/registrar/reconcile/holderLookup.ts';
import { Namespace } from '../../../src/registrar/reconcile/namespace.ts';
import { MAX_KEPT_BELOW } from '../../../src/registrar/reconcile/oldestBelow.ts';
import { StoredRecords } from '../../../src/registrar/reconcile/storedRecords.ts';
import type { Change, Entry } from '../../../src/service/change.ts';
import { delegateStore } from '../../../src/store/delegate.ts';
import { createMemoryStore } from '../../../src/store/embedded/memoryStore.ts';
import { stamped } from '../../support/desiredRecords.ts';
import { entriesOf } from '../../support/storeCalls.ts';

const ENGINE = 'E1';
const NAMESPACE = new Namespace('/s/', []);
const PAGE = 3;
const COUNT = MAX_KEPT_BELOW + 6;

const BELOW = ['/s/a', '/s/a/b', '/s/n/2'].flatMap((name) =>
  Array.from({ length: COUNT }, (_, i) => `${name}/x${i}`),
);
const AROUND = [
  '/s/a',
  '/s/a/ipv4',
  '/s/a/b',
  '/s/A',
  '/s/n',
  '/s/n/1',
  '/s/n/2',
  '/s/c',
  '/s/c/d',
];
const WANTED: readonly StampedRecord[] = [
  ...['/s/a', '/s/a/b', '/s/c/d'].map((key) => stamped('a', key)),
  stamped('a', '/s/n', { instance: 'auto' }),
];

type Step =
  | { readonly kind: 'put'; readonly key: string; readonly owner: 'ours' | 'theirs' | 'none' }
  | { readonly kind: 'fill'; readonly name: string }
  | { readonly kind: 'delete'; readonly key: string }
  | { readonly kind: 'deleteOldest'; readonly name: string; readonly count: number }
  | { readonly kind: 'takeOverOldest'; readonly name: string }
  | { readonly kind: 'want'; readonly wanted: readonly StampedRecord[] }
  | { readonly kind: 'mirror' }
  | { readonly kind: 'compare'; readonly meanwhile: readonly Step[] };

const name = fc.constantFrom('/s/a', '/s/a/b', '/s/n/2');
const key = fc.oneof(fc.constantFrom(...AROUND), fc.constantFrom(...BELOW));
const owner = fc.constantFrom('ours' as const, 'theirs' as const, 'none' as const);
const write: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('put' as const), key, owner }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('fill' as const), name }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete' as const), key }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('takeOverOldest' as const), name }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('deleteOldest' as const),
      name,
      count: fc.integer({ min: 1, max: COUNT }),
    }),
  },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: write },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('want' as const), wanted: fc.subarray([...WANTED]) }),
  },
  { weight: 3, arbitrary: fc.constant({ kind: 'mirror' } as const) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('compare' as const),
      meanwhile: fc.array(write, { maxLength: 2 }),
    }),
  },
);

class Scene {
  readonly #memory = createMemoryStore();
  readonly #stored = new StoredRecords(ENGINE, () => undefined);
  readonly #lookup: HolderLookup;
  /** What the mirror has not brought yet. */
  #late: Change[] = [];
  #wanted: readonly StampedRecord[] = [];
  #meanwhile: Step[] = [];

  constructor() {
    const store = delegateStore(this.#memory, {
      get: async (key) => {
        const result = await this.#memory.get(key);
        await this.#doNext();
        return result;
      },
      snapshot: (prefix) => this.#pages(prefix),
    });
    this.#lookup = new HolderLookup(store, this.#stored);
  }

  async take(step: Step): Promise<void> {
    switch (step.kind) {
      case 'put':
        return this.#put(step.key, step.owner);
      case 'fill':
        for (let i = 0; i < COUNT; i++) await this.#put(`${step.name}/x${i}`, 'theirs');
        return;
      case 'delete':
        return this.#delete(step.key);
      case 'deleteOldest':
        for (const { key } of (await this.#othersBelow(step.name)).slice(0, step.count))
          await this.#delete(key);
        return;
      case 'takeOverOldest':
        for (const { key } of (await this.#othersBelow(step.name)).slice(0, 1))
          await this.#put(key, 'ours');
        return;
      case 'want':
        this.#wanted = step.wanted;
        return;
      case 'mirror':
        return this.#mirror();
      case 'compare':
        this.#meanwhile.push(...step.meanwhile);
        await this.#lookup.lookUp(this.#wanted, NAMESPACE);
    }
  }

  /** Compares once more, without writes meanwhile, and then with the whole store. */
  async check(): Promise<void> {
    this.#meanwhile = [];
    await this.#mirror();
    await this.#lookup.lookUp(this.#wanted, NAMESPACE);
    const all = await entriesOf(this.#memory, '/s/');
    const ours = all.filter(({ value }) => ownerOf(value)?.id === ENGINE);
    assert.deepEqual(
      revisionsOf([...this.#stored.records()].flatMap(({ entry, isOwn }) => (isOwn ? entry : []))),
      revisionsOf(ours),
    );
    for (const { record } of this.#wanted) {
      const isAuto = record.instance === 'auto';
      const names = isAuto ? [1, 2].map((number) => `${record.key}/${number}`) : [record.key];
      for (const each of names) this.#checkName(each, all);
    }
  }

  #checkName(name: string, all: readonly Entry[]): void {
    const others = all.filter(({ value }) => ownerOf(value)?.id !== ENGINE);
    const own = all.filter(
      (entry) => keysOfName(name).includes(entry.key) && !others.includes(entry),
    );
    const ownSince = Math.min(...own.map(sinceOf));
    const below = others.filter(({ key }) => key.toLowerCase().startsWith(`${name}/`));
    const known = [...this.#stored.below(name)].filter(({ isOwn }) => !isOwn);
    const isHidden = below.some((entry) => sinceOf(entry) < ownSince);
    assert.equal(
      known.some(({ since }) => since < ownSince),
      isHidden,
      `names below ${name}`,
    );
    // A hidden name waits. The holders of its other keys do not matter.
    const keys = isHidden ? [name] : keysOfName(name);
    for (const path of [...keys, ...[...NAMESPACE.above(name)].flatMap(keysOfName)]) {
      const at = others.filter(({ key }) => key.toLowerCase() === path);
      const held = [...this.#stored.at(path)].filter(({ isOwn }) => !isOwn);
      assert.deepEqual(revisionsOf(held.map(({ entry }) => entry)), revisionsOf(at), path);
    }
  }

  async #put(key: string, owner: 'ours' | 'theirs' | 'none'): Promise<void> {
    const stamp = { r: owner === 'ours' ? ENGINE : 'E2', c: 'a'.padEnd(12, '0'), s: 'start' };
    const json = { host: '192.0.2.1', ...(owner === 'none' ? {} : { owner: stamp }) };
    const result = await this.#memory.put(key, Buffer.from(JSON.stringify(json)));
    if (!result.done) return;
    const { entry } = result;
    this.#late.push({ kind: 'put', entry, previous: undefined });
    if (owner === 'ours') this.#stored.learn(key, entry, entry.modRevision);
  }

  async #delete(key: string): Promise<void> {
    const result = await this.#memory.delete(key);
    if (!result.done) return;
    const { revision: modRevision } = result;
    this.#late.push({ kind: 'delete', key, modRevision, previous: undefined });
  }

  async #mirror(): Promise<void> {
    const changes = this.#late;
    this.#late = [];
    this.#stored.apply(changes);
    if (this.#meanwhile.length > 0) return;
    this.#stored.onMirrored((await this.#memory.get('/s/a')).revision);
  }

  async *#pages(prefix: string) {
    for await (const page of this.#memory.snapshot(prefix)) {
      for (let at = 0; at === 0 || at < page.entries.length; at += PAGE) {
        yield { ...page, entries: page.entries.slice(at, at + PAGE) };
        await this.#doNext();
      }
    }
  }

  async #doNext(): Promise<void> {
    const next = this.#meanwhile.shift();
    if (next === undefined) return;
    await this.take(next);
    await this.#mirror();
  }

  /** The records of other owners, the oldest first. */
  async #othersBelow(name: string): Promise<readonly Entry[]> {
    const below = await entriesOf(this.#memory, `${name}/`);
    const others = below.filter(({ value }) => ownerOf(value)?.id !== ENGINE);
    return others.sort((a, b) => a.createRevision - b.createRevision);
  }

  close(): Promise<void> {
    return this.#memory.close();
  }
}

function sinceOf({ createRevision, value }: Entry): number {
  return Math.min(createRevision, ownerOf(value)?.since ?? createRevision);
}

function revisionsOf(entries: readonly Entry[]): readonly string[] {
  return entries.map(({ key, modRevision }) => `${key} ${modRevision}`).sort();
}

async function checkAfter(steps: readonly Step[]): Promise<void> {
  const scene = new Scene();
  try {
    for (const each of steps) {
      await scene.take(each);
      if (each.kind === 'compare') await scene.check();
    }
    await scene.check();
  } finally {
    await scene.close();
  }
}

test('The names below a wanted name are read on once the first of them, which hid it, are gone', () =>
  checkAfter([
    { kind: 'fill', name: '/s/a' },
    { kind: 'mirror' },
    { kind: 'want', wanted: WANTED },
    { kind: 'compare', meanwhile: [] },
    { kind: 'deleteOldest', name: '/s/a', count: COUNT - 1 },
  ]));

test('After any history the kept records lead to the same decisions as the whole store', () =>
  fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 40, size: 'max' }), checkAfter), {
    numRuns: 150,
  }));
