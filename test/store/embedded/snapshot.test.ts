/** Snapshots with slow readers: all pages are of one revision and small, and no view stays open between two of them. */
import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Entry } from '../../../src/service/change.ts';
import type { ChangeBounds } from '../../../src/store/embedded/history.ts';
import { createMemoryStore } from '../../../src/store/embedded/memoryStore.ts';
import { openFileStore } from '../../../src/store/file/fileStore.ts';
import { type LeaseStore, type SnapshotPage, StoreError } from '../../../src/store/store.ts';
import { withTempDir } from '../../support/tempDir.ts';

const KIB = 1024;
/** Two or three of them fill a page. */
const LARGE = 100 * KIB;
const KEYS = 12;

type Stores = (
  use: (store: LeaseStore) => Promise<void>,
  options?: { readonly history: ChangeBounds },
) => Promise<void>;

const STORES: Readonly<Record<string, Stores>> = {
  memory: async (use, options) => {
    const store = createMemoryStore(options);
    await use(store).finally(() => store.close());
  },
  file: (use, options) =>
    withTempDir(async (dir) => {
      const store = await openFileStore(dir, options);
      await use(store).finally(() => store.close());
    }),
};

type Step =
  | { readonly kind: 'put' | 'delete'; readonly key: number }
  | { readonly kind: 'deleteTree' }
  | { readonly kind: 'read' };

const keys = fc.nat(KEYS - 1);
const steps = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('put' as const), key: keys }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('delete' as const), key: keys }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('deleteTree' as const) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('read' as const) }) },
  ),
  { maxLength: 40 },
);

const keyOf = (key: number): string => `/t/${String(key).padStart(2, '0')}`;
const shown = ({ key, value, createRevision, modRevision }: Entry) =>
  `${key} ${createRevision} ${modRevision} ${value.length} ${value[0]}`;

async function take(store: LeaseStore, step: Step, n: number): Promise<void> {
  switch (step.kind) {
    case 'put':
      await store.put(keyOf(step.key), Buffer.alloc(LARGE + n, n % 256));
      return;
    case 'delete':
      await store.delete(keyOf(step.key));
      return;
    case 'deleteTree':
      await store.deleteTree('/t/');
      return;
    case 'read':
  }
}

async function contentOf(store: LeaseStore): Promise<string[]> {
  const found: string[] = [];
  for await (const { entries } of store.snapshot('/t/')) found.push(...entries.map(shown));
  return found;
}

function octetsOf({ entries }: SnapshotPage): number {
  return entries.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
}

/**
 * Reads a page at each step that requires it, and the rest at the end. Every page must show the state at the time of
 * the first page.
 */
async function readAmong(store: LeaseStore, among: readonly Step[]): Promise<void> {
  for (let n = 0; n < KEYS; n += 2) await store.put(keyOf(n), Buffer.alloc(LARGE, n));
  const expected = await contentOf(store);
  const pages = store.snapshot('/t/')[Symbol.asyncIterator]();
  const found: string[] = [];
  const revisions = new Set<number>();
  const read = async (): Promise<boolean> => {
    const { value, done } = await pages.next();
    if (done === true) return false;
    const page = value as SnapshotPage;
    assert.ok(page.entries.length <= 1 || octetsOf(page) <= 256 * KIB, `${octetsOf(page)}`);
    revisions.add(page.revision);
    found.push(...page.entries.map(shown));
    return true;
  };
  await read();
  for (const [n, step] of among.entries()) {
    if (step.kind === 'read') await read();
    else await take(store, step, n);
  }
  while (await read());
  assert.deepEqual(found, expected);
  assert.equal(revisions.size, 1);
}

for (const [name, withStore] of Object.entries(STORES)) {
  describe(`${name} snapshots`, () => {
    it(`A snapshot of a ${name} store shows one revision in pages of 256 KiB while other writes go on`, async () => {
      await withStore((store) =>
        fc.assert(
          fc
            .asyncProperty(steps, (among) => readAmong(store, among))
            .afterEach(async () => void (await store.deleteTree('/t/'))),
          { numRuns: 60 },
        ),
      );
    });

    it(`A snapshot of a ${name} store shows a key that expires meanwhile, and the watch delivers its deletion`, async () => {
      await withStore(async (store) => {
        for (let n = 0; n < 6; n++) await store.put(keyOf(n), Buffer.alloc(LARGE));
        await store.put(keyOf(7), Buffer.from('brief'), { ttlSeconds: 1 });
        const found: string[] = [];
        let revision = 0;
        for await (const page of store.snapshot('/t/')) {
          revision = page.revision;
          found.push(...page.entries.map(({ key }) => key));
          if (found.length < 4) await new Promise((resolve) => setTimeout(resolve, 1200));
        }
        assert.ok(found.includes(keyOf(7)), found.join());
        const ending = new AbortController();
        for await (const { changes } of store.watch('/t/', revision + 1, ending.signal)) {
          assert.equal(changes[0]?.kind === 'delete' && changes[0].key, keyOf(7));
          ending.abort();
        }
      });
    });

    it(`A snapshot of a ${name} store ends with compacted when more changes follow than the history holds`, async () => {
      const history = { changes: 20, octets: 32 * 1024 * KIB };
      await withStore(
        async (store) => {
          for (let n = 0; n < KEYS; n++) await store.put(keyOf(n), Buffer.alloc(LARGE));
          const pages = store.snapshot('/t/')[Symbol.asyncIterator]();
          await pages.next();
          for (let n = 0; n < 21; n++) await store.put('/other', Buffer.from('x'));
          await assert.rejects(
            async () => {
              for (let n = 0; n < KEYS; n++) await pages.next();
            },
            (error) => error instanceof StoreError && error.code === 'compacted',
          );
        },
        { history },
      );
    });
  });
}

it('A snapshot shows the lease of a key although the lease ends while the snapshot waits', async () => {
  const store = createMemoryStore();
  const { id } = await store.grantLease(60);
  for (const n of [0, 1]) await store.put(keyOf(n), Buffer.alloc(2 * LARGE), { lease: id });
  const pages = store.snapshot('/t/')[Symbol.asyncIterator]();
  await pages.next();
  // The second page has the revision of the put, and waits until that is delivered.
  const writes = [store.put('/other', Buffer.from('x')), store.revokeLease(id)];
  const { value } = await pages.next();
  assert.deepEqual(
    (value as SnapshotPage).entries.map(({ key, lease }) => [key, lease?.id]),
    [[keyOf(1), id]],
  );
  await Promise.all(writes);
  await store.close();
});

it('A stalled reader of a snapshot does not make the file grow', { timeout: 120_000 }, async () => {
  await withTempDir(async (dir) => {
    const sizes: number[] = [];
    for (const [n, isRead] of [false, true].entries()) {
      const folder = join(dir, String(n));
      const store = await openFileStore(folder);
      for (let key = 0; key < 100; key++) await store.put(keyOf(key), Buffer.alloc(40 * KIB));
      const pages = store.snapshot('/t/')[Symbol.asyncIterator]();
      if (isRead) await pages.next();
      for (let round = 0; round < 1000; round++) {
        await store.put(keyOf(round % 100), Buffer.alloc(40 * KIB, round));
      }
      sizes.push((await stat(join(folder, 'data.mdb'))).size);
      await pages.return?.();
      await store.close();
    }
    const [without = 0, held = 0] = sizes;
    assert.ok(held < without * 1.5, `${held} octets with a reader, ${without} without`);
  });
});
