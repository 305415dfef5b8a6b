/**
 * The contract of `src/store/store.ts` as tests for every implementation. Each test works below its own prefix, so
 * other clients may use the store. The tests assume nothing about the first revision, the delay of a watch, or (beyond
 * `expirySlackMs`) the delay of an expiry.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import type { Entry } from '../../src/service/change.ts';
import { NewestEntry } from '../../src/store/fingerprint.ts';
import type { FollowedHistory, LeaseStore, Store, WatchBatch } from '../../src/store/store.ts';
import {
  assertAscending,
  assertCode,
  batchesUntil,
  bytes,
  changesUntil,
  comparable,
  drain,
  entriesOf,
  inGroups,
  isDelete,
  keyOf,
  modRevisionOf,
  mustDelete,
  mustHave,
  mustPut,
  nextChanges,
  pagesOf,
  rejectsWith,
  shown,
  soon,
  text,
} from '../support/storeCalls.ts';
import { until } from '../support/until.ts';
import { leases } from './leaseContract.ts';

export interface OpenStore {
  readonly store: LeaseStore;
  /** Ends the store and its servers. Called once, even if the test has closed the store. */
  close(): Promise<void>;
}

export interface ContractOptions {
  /** How long a key may exist after its TTL; default 1000. A busy machine gets 1000 more. */
  readonly expirySlackMs?: number | undefined;
  /**
   * Makes the last opened store forget its changes up to and including the revision. Without it the test is skipped.
   */
  readonly canCompact?: ((revision: number) => Promise<void>) | undefined;
}

export function storeContract(
  name: string,
  open: () => Promise<OpenStore>,
  options: ContractOptions = {},
): void {
  const slackMs = (options.expirySlackMs ?? 1000) + 1000;

  /** Registers a test that gets a store and a prefix that no other test uses. */
  function test(title: string, body: (store: LeaseStore, prefix: string) => Promise<void>): void {
    it(title, { timeout: 60_000 }, async () => {
      const opened = await open();
      try {
        await body(opened.store, `/${randomUUID()}/`);
      } finally {
        await opened.close();
      }
    });
  }

  describe(`store contract: ${name}`, () => {
    readingAndWriting(test);
    refusals(test);
    conditions(test);
    deleting(test);
    locations(test);
    snapshots(test);
    watching(test, options.canCompact);
    histories(test);
    expiry(test, slackMs);
    leases(test, slackMs);
    closing(test);
  });
}

/** Registers a test that gets a store and a prefix that no other test uses. */
export type Register = (
  title: string,
  body: (store: LeaseStore, prefix: string) => Promise<void>,
) => void;

function readingAndWriting(test: Register): void {
  test('get returns what put wrote, and nothing for an absent key', async (store, prefix) => {
    const absent = await store.get(`${prefix}a`);
    assert.equal(absent.entry, undefined);
    const { entry } = await mustPut(store, `${prefix}a`, 'one');
    const got = await store.get(`${prefix}a`);
    assert.deepEqual(comparable(got.entry), comparable(entry));
    assert.equal(text(entry.value), 'one');
    assert.equal(entry.key, `${prefix}a`);
    assert.equal(entry.lease, undefined);
    assert.ok(got.revision >= entry.modRevision);
    assert.ok(absent.revision < entry.modRevision);
  });

  test('Every write has its own revision', async (store, prefix) => {
    const first = await mustPut(store, `${prefix}a`, '1');
    const second = await mustPut(store, `${prefix}b`, '2');
    const again = await mustPut(store, `${prefix}a`, '1');
    const removed = await mustDelete(store, `${prefix}b`);
    const tree = await store.deleteTree(prefix);
    const revisions = [
      first.entry.modRevision,
      second.entry.modRevision,
      again.entry.modRevision,
      removed.revision,
      tree.revision,
    ];
    assert.deepEqual(
      revisions,
      [...new Set(revisions)].sort((a, b) => a - b),
    );
  });

  test('An overwrite keeps createRevision and returns the previous entry', async (store, prefix) => {
    const first = await mustPut(store, `${prefix}a`, 'one');
    const second = await mustPut(store, `${prefix}a`, 'two');
    assert.equal(first.previous, undefined);
    assert.equal(first.entry.createRevision, first.entry.modRevision);
    assert.equal(second.entry.createRevision, first.entry.createRevision);
    assert.ok(second.entry.modRevision > first.entry.modRevision);
    assert.deepEqual(comparable(second.previous), comparable(first.entry));
  });

  test('A key that is deleted and put again has a new createRevision', async (store, prefix) => {
    const first = await mustPut(store, `${prefix}a`, 'one');
    const removed = await mustDelete(store, `${prefix}a`);
    const second = await mustPut(store, `${prefix}a`, 'two');
    assert.ok(removed.revision > first.entry.modRevision);
    assert.ok(second.entry.createRevision > removed.revision);
    assert.equal(second.previous, undefined);
  });

  test('A value can be any octets or empty', async (store, prefix) => {
    const all = Uint8Array.from({ length: 256 }, (_, octet) => octet);
    for (const [key, value] of [
      ['all', all],
      ['none', new Uint8Array(0)],
      ['large', new Uint8Array(60_000).fill(0xff)],
    ] as const) {
      await store.put(prefix + key, value);
      const { entry } = await store.get(prefix + key);
      assert.ok(entry !== undefined && Buffer.compare(entry.value, value) === 0, key);
    }
  });

  test('The store keeps its own copy of a value', async (store, prefix) => {
    const value = bytes('before');
    const pending = store.put(`${prefix}a`, value);
    value.fill(0);
    await pending;
    assert.equal(text(mustHave((await store.get(`${prefix}a`)).entry).value), 'before');
  });

  test('A key can be any Unicode text, including a name of Object.prototype', async (store, prefix) => {
    const keys = [
      '__proto__',
      'constructor',
      'ключ',
      '空',
      '😀',
      'a b',
      '%2f',
      '..',
      'x?y#z',
      '"\\',
    ];
    for (const key of keys) await mustPut(store, prefix + key, key);
    for (const key of keys) {
      assert.equal(text(mustHave((await store.get(prefix + key)).entry).value), key);
    }
    const found = await entriesOf(store, prefix);
    assert.deepEqual(
      found.map((entry) => entry.key),
      keys.map((key) => prefix + key).sort((a, b) => Buffer.compare(bytes(a), bytes(b))),
    );
    assert.equal((await store.get(`${prefix}toString`)).entry, undefined);
  });

  test('The store refuses an entry that it cannot hold as invalid', async (store, prefix) => {
    await rejectsWith('invalid', store.put(`${prefix}a`, new Uint8Array(2 * 1024 * 1024)));
    await rejectsWith('invalid', store.put(`${prefix}a`, bytes('x'), { ttlSeconds: 0 }));
    await rejectsWith('invalid', store.put(`${prefix}a`, bytes('x'), { ttlSeconds: -1 }));
    await rejectsWith('invalid', store.put(`${prefix}a`, bytes('x'), { ttlSeconds: 1e11 }));
    assert.equal((await store.get(`${prefix}a`)).entry, undefined);
  });
}

function refusals(test: Register): void {
  test('Every call refuses an invalid key or prefix as invalid', async (store, prefix) => {
    await mustPut(store, `${prefix}a`, 'x');
    const { signal } = new AbortController();
    for (const key of ['', '!', 'a/', '!/']) {
      await rejectsWith('invalid', store.get(key));
      await rejectsWith('invalid', store.put(key, bytes('x')));
      await rejectsWith('invalid', store.delete(key));
    }
    for (const none of ['', '!', 'a/', '!/', prefix.slice(0, -1), `${prefix}a`]) {
      await rejectsWith('invalid', store.deleteTree(none));
      await rejectsWith('invalid', drain(store.snapshot(none)));
      await rejectsWith('invalid', soon(drain(store.watch(none, 1, signal))));
    }
    assert.equal(text(mustHave((await store.get(`${prefix}a`)).entry).value), 'x');
  });
}

function conditions(test: Register): void {
  test('A put with the condition absent writes only a missing key', async (store, prefix) => {
    const first = await store.put(`${prefix}a`, bytes('1'), { if: { kind: 'absent' } });
    assert.ok(first.done);
    const second = await store.put(`${prefix}a`, bytes('2'), { if: { kind: 'absent' } });
    assert.ok(!second.done);
    assert.deepEqual(comparable(second.current), comparable(first.entry));
    assert.ok(second.revision >= first.entry.modRevision);
  });

  test('A put with the condition present writes only an existing key', async (store, prefix) => {
    const refused = await store.put(`${prefix}a`, bytes('1'), { if: { kind: 'present' } });
    assert.ok(!refused.done && refused.current === undefined);
    await mustPut(store, `${prefix}a`, '1');
    assert.ok((await store.put(`${prefix}a`, bytes('2'), { if: { kind: 'present' } })).done);
  });

  test('A put with the condition modRevision overwrites only that write', async (store, prefix) => {
    const first = await mustPut(store, `${prefix}a`, '1');
    const { modRevision } = first.entry;
    const condition = { kind: 'modRevision', modRevision } as const;
    assert.ok((await store.put(`${prefix}a`, bytes('2'), { if: condition })).done);
    const late = await store.put(`${prefix}a`, bytes('3'), { if: condition });
    assert.ok(!late.done && late.current !== undefined);
    assert.equal(text(late.current.value), '2');
    const absent = await store.put(`${prefix}b`, bytes('3'), { if: condition });
    assert.ok(!absent.done && absent.current === undefined);
  });

  test('A put with the condition value overwrites only those octets', async (store, prefix) => {
    await mustPut(store, `${prefix}a`, '1');
    const wrong = await store.put(`${prefix}a`, bytes('2'), {
      if: { kind: 'value', value: bytes('0') },
    });
    assert.ok(!wrong.done);
    const right = await store.put(`${prefix}a`, bytes('2'), {
      if: { kind: 'value', value: bytes('1') },
    });
    assert.ok(right.done && text(mustHave(right.previous).value) === '1');
  });

  test('A write whose condition fails changes nothing', async (store, prefix) => {
    const { entry } = await mustPut(store, `${prefix}a`, '1');
    await store.put(`${prefix}a`, bytes('2'), { ttlSeconds: 5, if: { kind: 'absent' } });
    await store.delete(`${prefix}a`, { if: { kind: 'value', value: bytes('9') } });
    assert.deepEqual(comparable((await store.get(`${prefix}a`)).entry), comparable(entry));
    await mustPut(store, `${prefix}b`, 'end');
    const seen = await changesUntil(store, prefix, entry.modRevision, `${prefix}b`);
    assert.deepEqual(seen.map(shown), [`put ${prefix}a 1`, `put ${prefix}b end`]);
  });

  test('Exactly one of 20 concurrent creators succeeds', async (store, prefix) => {
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        store.put(`${prefix}a`, bytes(`${i}`), { if: { kind: 'absent' } }),
      ),
    );
    const winners = results.filter((result) => result.done);
    assert.equal(winners.length, 1);
    const { entry } = await store.get(`${prefix}a`);
    assert.deepEqual(
      comparable(entry),
      comparable(winners[0]?.done ? winners[0].entry : undefined),
    );
    for (const result of results) {
      if (!result.done) assert.deepEqual(comparable(result.current), comparable(entry));
    }
  });

  test('Ten concurrent counters that use compare-and-swap lose no step', async (store, prefix) => {
    const key = `${prefix}count`;
    await mustPut(store, key, '0');
    async function increment(): Promise<void> {
      for (;;) {
        const current = mustHave((await store.get(key)).entry);
        const next = bytes(String(Number(text(current.value)) + 1));
        const { modRevision } = current;
        const result = await store.put(key, next, { if: { kind: 'modRevision', modRevision } });
        if (result.done) return;
      }
    }
    await Promise.all(Array.from({ length: 10 }, increment));
    assert.equal(text(mustHave((await store.get(key)).entry).value), '10');
  });
}

function deleting(test: Register): void {
  test('delete returns the deleted entry, and a second delete finds nothing', async (store, prefix) => {
    const { entry } = await mustPut(store, `${prefix}a`, '1');
    const removed = await store.delete(`${prefix}a`);
    assert.ok(removed.done);
    assert.deepEqual(comparable(removed.deleted), comparable(entry));
    assert.ok(removed.revision > entry.modRevision);
    const again = await store.delete(`${prefix}a`);
    assert.ok(!again.done && again.current === undefined);
    assert.equal((await store.get(`${prefix}a`)).entry, undefined);
  });

  test('A delete with a condition deletes only a matching entry', async (store, prefix) => {
    const { entry } = await mustPut(store, `${prefix}a`, '1');
    const wrong = await store.delete(`${prefix}a`, {
      if: { kind: 'modRevision', modRevision: entry.modRevision + 1 },
    });
    assert.ok(!wrong.done);
    assert.deepEqual(comparable(wrong.current), comparable(entry));
    const other = await store.delete(`${prefix}a`, {
      if: { kind: 'value', value: bytes('2') },
    });
    assert.ok(!other.done);
    const right = await store.delete(`${prefix}a`, {
      if: { kind: 'modRevision', modRevision: entry.modRevision },
    });
    assert.ok(right.done);
  });

  test('deleteTree deletes only the keys below the prefix', async (store, prefix) => {
    for (const key of ['a/1', 'a/2/3', 'ab', 'a', 'b/1']) await mustPut(store, prefix + key, key);
    const { deleted, revision } = await store.deleteTree(`${prefix}a/`);
    assert.equal(deleted, 2);
    const left = await entriesOf(store, prefix);
    assert.deepEqual(
      left.map((entry) => entry.key),
      ['a', 'ab', 'b/1'].map((key) => prefix + key),
    );
    const none = await store.deleteTree(`${prefix}a/`);
    assert.equal(none.deleted, 0);
    assert.ok(none.revision >= revision);
  });

  test('deleteTree has one revision, which a watch delivers as one batch', async (store, prefix) => {
    const { revision: before } = await store.get(prefix);
    const keys = Array.from({ length: 120 }, (_, i) => `${prefix}t/${i}`);
    await Promise.all(keys.map((key) => mustPut(store, key, 'x')));
    const { revision } = await store.deleteTree(`${prefix}t/`);
    await mustPut(store, `${prefix}end`, 'x');
    const batches = await batchesUntil(store, prefix, before + 1, `${prefix}end`);
    const deletions = batches.filter((batch) => batch.changes.some(isDelete));
    assert.equal(deletions.length, 1);
    assert.equal(deletions[0]?.revision, revision);
    assert.deepEqual(deletions[0]?.changes.map(keyOf).sort(), keys.sort());
    assert.ok(deletions[0]?.changes.every((change) => modRevisionOf(change) === revision));
  });
}

function locations(test: Register): void {
  test('locate returns the end of the existing path to a key and whether the end has an entry', async (store, prefix) => {
    const deep = `deep${'/d'.repeat(120)}`;
    for (const key of ['a/b/c', 'a/b-x', 'a/b.y', 'a0', 'leaf', 'leaf-2', 'leaf.x/y', 'm/', deep]) {
      await mustPut(store, prefix + key, key);
    }
    const table: readonly [key: string, end: string | undefined, endHasEntry: boolean][] = [
      ['a/b/c', 'a/b/c', true],
      ['a/b', undefined, false],
      ['a', undefined, false],
      ['m', undefined, false],
      ['a/b/x', 'a/b/x', false],
      ['a/b/x/y/z', 'a/b/x', false],
      ['a/b/c/d', 'a/b/c', true],
      ['leaf', 'leaf', true],
      ['leaf/x', 'leaf', true],
      ['leaf/x/y/z', 'leaf', true],
      ['le', 'le', false],
      ['none/x/y', 'none', false],
      ['m/x', 'm/x', false],
      [deep, deep, true],
      [`${deep}/e/f`, deep, true],
      [`deep${'/d'.repeat(60)}/x${'/d'.repeat(60)}`, `deep${'/d'.repeat(60)}/x`, false],
      [`none${'/d'.repeat(130)}`, 'none', false],
    ];
    for (const [key, end, endHasEntry] of table) {
      const { revision, entry, ...found } = await store.locate(prefix + key);
      const expected = { end: end === undefined ? undefined : prefix + end, endHasEntry };
      assert.deepEqual(found, expected, key);
      const got = await store.get(prefix + key);
      assert.deepEqual(comparable(entry), comparable(got.entry), key);
      assert.ok(revision <= got.revision && revision > 0, key);
    }
  });

  test('locate finds no expired key', async (store, prefix) => {
    await store.put(`${prefix}t/x`, bytes('1'), { ttlSeconds: 1 });
    assert.equal((await store.locate(`${prefix}t/x`)).end, `${prefix}t/x`);
    const ended = async () => (await store.locate(`${prefix}t/y`)).end !== `${prefix}t/y`;
    await until('the key is gone', ended, 15_000);
    const { entry, end, endHasEntry } = await store.locate(`${prefix}t/x`);
    assert.deepEqual([entry, endHasEntry], [undefined, false]);
    assert.ok(`${prefix}t`.startsWith(end ?? '!'), end);
  });
}

function snapshots(test: Register): void {
  test('A snapshot without keys has one page and a revision', async (store, prefix) => {
    const pages = await pagesOf(store, prefix);
    assert.ok(pages.length >= 1);
    assert.deepEqual(
      pages.flatMap((page) => page.entries),
      [],
    );
    const { entry } = await mustPut(store, `${prefix}a`, '1');
    assert.ok((pages[0]?.revision ?? Number.NaN) < entry.modRevision);
  });

  test('A snapshot of 2,500 keys is sorted and has each key once at one revision', async (store, prefix) => {
    const keys = Array.from({ length: 2500 }, (_, i) => `${prefix}${(i * 7919) % 2500}`);
    await inGroups(keys, 100, (key) => mustPut(store, key, key));
    const pages = await pagesOf(store, prefix);
    assert.equal(new Set(pages.map((page) => page.revision)).size, 1);
    const entries = pages.flatMap((page) => page.entries);
    assert.deepEqual(
      entries.map((entry) => entry.key),
      keys.sort(),
    );
    assert.ok(entries.every((entry) => text(entry.value) === entry.key));
  });

  test('A prefix matches whole path components only', async (store, prefix) => {
    for (const key of ['a', 'a/', 'a/x', 'a/x/y', 'a.', 'a0', 'ab', 'ab/c', 'A/x']) {
      await mustPut(store, prefix + key, key);
    }
    const entries = await entriesOf(store, `${prefix}a/`);
    assert.deepEqual(
      entries.map((entry) => entry.key),
      ['a/', 'a/x', 'a/x/y'].map((key) => prefix + key),
    );
  });

  test('A snapshot sorts keys by their UTF-8 octets', async (store, prefix) => {
    const keys = ['z', 'é', '~', '\u{ffee}', '\u{1f600}', '\u{e000}', 'a', 'Z', '\u{10ffff}'];
    for (const key of keys) await mustPut(store, prefix + key, key);
    const found = (await entriesOf(store, prefix)).map((entry) => entry.key);
    const byOctets = [...found].sort((a, b) => Buffer.compare(bytes(a), bytes(b)));
    assert.equal(found.length, keys.length);
    assert.deepEqual(found, byOctets);
  });

  test('A snapshot shows no writes between two of its pages', async (store, prefix) => {
    const keys = Array.from({ length: 2200 }, (_, i) => prefix + String(i).padStart(4, '0'));
    await inGroups(keys, 100, (key) => mustPut(store, key, 'old'));
    const seen: Entry[] = [];
    let revision: number | undefined;
    for await (const page of store.snapshot(prefix)) {
      if (revision === undefined) await disturb(store, prefix, keys);
      revision ??= page.revision;
      assert.equal(page.revision, revision);
      seen.push(...page.entries);
    }
    assert.deepEqual(
      seen.map((entry) => entry.key),
      keys,
    );
    assert.ok(seen.every((entry) => text(entry.value) === 'old'));
    assert.ok(seen.every((entry) => entry.modRevision <= (revision ?? 0)));
    assert.equal((await entriesOf(store, prefix)).length, keys.length);
  });

  test('A snapshot and a watch from the next revision leave no gap', async (store, prefix) => {
    let writing = true;
    const writer = (async () => {
      for (let i = 0; writing; i++) {
        await mustPut(store, `${prefix}${i % 50}`, `${i}`);
        await setImmediate();
      }
    })();
    await sleep(20);
    const folded = new Map<string, string>();
    let revision = 0;
    for await (const page of store.snapshot(prefix)) {
      revision = page.revision;
      for (const entry of page.entries) folded.set(entry.key, text(entry.value));
    }
    await sleep(50);
    writing = false;
    await writer;
    await mustPut(store, `${prefix}end`, 'end');
    for (const change of await changesUntil(store, prefix, revision + 1, `${prefix}end`)) {
      if (change.kind === 'put') folded.set(change.entry.key, text(change.entry.value));
      else folded.delete(change.key);
    }
    const now = (await entriesOf(store, prefix)).map((entry) => [entry.key, text(entry.value)]);
    assert.deepEqual([...folded].sort(), now.sort());
  });
}

async function disturb(store: Store, prefix: string, keys: readonly string[]): Promise<void> {
  await mustPut(store, `${prefix}2199z`, 'new');
  await mustPut(store, keys.at(-1) as string, 'new');
  await mustDelete(store, keys[1500] as string);
}

function watching(test: Register, canCompact: ContractOptions['canCompact']): void {
  test('A watch from an old revision gets every change once and in order', async (store, prefix) => {
    const first = await mustPut(store, `${prefix}a`, '1');
    await mustPut(store, `${prefix}b/c`, '2');
    await mustPut(store, `${prefix}a`, '3', 100);
    await mustDelete(store, `${prefix}b/c`);
    await mustPut(store, `${prefix}end`, '');
    const batches = await batchesUntil(store, prefix, first.entry.modRevision, `${prefix}end`);
    const changes = batches.flatMap((batch) => batch.changes);
    assert.deepEqual(changes.map(shown), [
      `put ${prefix}a 1`,
      `put ${prefix}b/c 2`,
      `put ${prefix}a 3`,
      `delete ${prefix}b/c`,
      `put ${prefix}end `,
    ]);
    assertAscending(batches);
    const lease = changes[2]?.kind === 'put' ? changes[2].entry.lease : undefined;
    // A store may drop a lease without references, and then requests its expiry again.
    await until('the life of the lease is known', () => lease?.ttlSeconds === 100);
    assert.equal(text(mustHave(changes[2]?.previous).value), '1');
    assert.equal(text(mustHave(changes[3]?.previous).value), '2');
    assert.equal(changes[0]?.previous, undefined);
  });

  test('A watch delivers changes as they happen, only below its prefix', async (store, prefix) => {
    const { revision } = await store.get(prefix);
    const abort = new AbortController();
    const watch = store.watch(`${prefix}a/`, revision + 1, abort.signal)[Symbol.asyncIterator]();
    let pending = nextChanges(watch);
    for (const key of ['ab', 'a', 'b/a/x']) await mustPut(store, prefix + key, 'outside');
    for (const value of ['1', '2', '3']) {
      const { entry } = await mustPut(store, `${prefix}a/x`, value);
      const batch = await soon(pending);
      assert.deepEqual(batch.changes.map(shown), [`put ${prefix}a/x ${value}`]);
      assert.equal(batch.revision, entry.modRevision);
      pending = nextChanges(watch);
    }
    abort.abort();
    await soon(pending.catch(() => undefined));
  });

  test('A watch brings a batch without changes when it is established', async (store, prefix) => {
    const { revision } = await store.get(prefix);
    const abort = new AbortController();
    const watch = store.watch(prefix, revision + 1, abort.signal)[Symbol.asyncIterator]();
    const first = await soon(watch.next());
    assert.ok(first.done !== true);
    assert.deepEqual(first.value.changes, []);
    assert.ok(first.value.revision >= revision);
    abort.abort();
    await soon(Promise.resolve(watch.return?.()));
  });

  test('A watch is established after it has brought the changes up to then', async (store, prefix) => {
    const first = await mustPut(store, `${prefix}a`, '1');
    await mustPut(store, `${prefix}b`, '2');
    const { revision } = await mustDelete(store, `${prefix}b`);
    const abort = new AbortController();
    const batches: WatchBatch[] = [];
    const read = async (): Promise<void> => {
      for await (const batch of store.watch(prefix, first.entry.modRevision, abort.signal)) {
        batches.push(batch);
        if (batch.changes.length === 0) return;
      }
    };
    await soon(read());
    abort.abort();
    assert.deepEqual(
      batches.flatMap(({ changes }) => changes.map(shown)),
      [`put ${prefix}a 1`, `put ${prefix}b 2`, `delete ${prefix}b`],
    );
    assert.ok((batches.at(-1)?.revision ?? 0) >= revision);
  });

  test('A watch from a future revision waits for it', async (store, prefix) => {
    const { revision } = await store.get(prefix);
    const abort = new AbortController();
    const watch = store.watch(prefix, revision + 3, abort.signal)[Symbol.asyncIterator]();
    const pending = nextChanges(watch);
    for (let i = 1; i <= 4; i++) await mustPut(store, `${prefix}a`, `${i}`);
    const batch = await soon(pending);
    assert.ok(batch.revision >= revision + 3);
    assert.ok(batch.changes.every((change) => modRevisionOf(change) >= revision + 3));
    abort.abort();
    await soon(Promise.resolve(watch.return?.()));
  });

  test('Every watcher of a prefix gets every change', async (store, prefix) => {
    const { revision } = await store.get(prefix);
    const watches = Array.from({ length: 5 }, () =>
      changesUntil(store, prefix, revision + 1, `${prefix}end`),
    );
    const keys = Array.from({ length: 40 }, (_, i) => `${prefix}${i}`);
    await inGroups(keys, 10, (key) => mustPut(store, key, 'x'));
    await mustPut(store, `${prefix}end`, 'x');
    for (const changes of await soon(Promise.all(watches))) {
      assert.deepEqual(changes.map(keyOf).sort(), [...keys, `${prefix}end`].sort());
    }
  });

  test('An abort ends a watch without an error, even before the watch has started', async (store, prefix) => {
    const { revision } = await store.get(prefix);
    const abort = new AbortController();
    const ended = drain(store.watch(prefix, revision + 1, abort.signal));
    await sleep(30);
    abort.abort();
    await soon(ended);
    await soon(drain(store.watch(prefix, revision + 1, AbortSignal.abort())));
  });

  test('A watch ends when its reader leaves the loop', async (store, prefix) => {
    const { entry } = await mustPut(store, `${prefix}a`, '1');
    const { signal } = new AbortController();
    for await (const batch of store.watch(prefix, entry.modRevision, signal)) {
      if (batch.changes.length > 0) break;
    }
    await mustPut(store, `${prefix}a`, '2');
  });

  if (canCompact === undefined) return;
  test('A watch from a compacted revision throws compacted', async (store, prefix) => {
    const { entry } = await mustPut(store, `${prefix}a`, '1');
    const last = await mustPut(store, `${prefix}a`, '2');
    await canCompact(last.entry.modRevision);
    const { signal } = new AbortController();
    await rejectsWith('compacted', soon(drain(store.watch(prefix, entry.modRevision, signal))));
    assert.equal(text(mustHave((await store.get(`${prefix}a`)).entry).value), '2');
  });
}

function histories(test: Register): void {
  /** The entries that a reader of the whole prefix has. */
  async function readAll(store: Store, prefix: string) {
    const pages = await pagesOf(store, prefix);
    const { revision, history } = mustHave(pages[0]);
    for (const page of pages) assert.equal(page.history, history);
    const seen = new NewestEntry();
    for (const page of pages) seen.addPage(page);
    return { revision, followed: { history, fingerprint: seen.fingerprint() } };
  }

  async function firstRevision(
    store: Store,
    prefix: string,
    from: number,
    followed: FollowedHistory,
  ) {
    const watch = store.watch(prefix, from, new AbortController().signal, followed);
    for await (const { revision, changes } of watch) if (changes.length > 0) return revision;
    return undefined;
  }

  test('A watch continues after a batch in which the newest key was put and deleted', async (store, prefix) => {
    await mustPut(store, `${prefix}a`, '1');
    const { history, revision: before } = mustHave((await pagesOf(store, prefix))[0]);
    const seen = new NewestEntry();
    for (const page of await pagesOf(store, prefix)) seen.addPage(page);
    await mustPut(store, `${prefix}b`, '1');
    const { revision } = await mustDelete(store, `${prefix}b`);
    const changes = await changesUntil(store, prefix, before + 1, `${prefix}b`, { kind: 'delete' });
    assert.deepEqual(
      changes.map(({ kind }) => kind),
      ['put', 'delete'],
    );
    seen.addBatch({ revision, changes });
    const followed = { history, fingerprint: seen.fingerprint() };
    const next = await mustPut(store, `${prefix}a`, '2');
    const after = firstRevision(store, prefix, revision + 1, followed);
    assert.equal(await soon(after), next.entry.modRevision);
  });

  test('A watch continues in the same history', async (store, prefix) => {
    const empty = await readAll(store, prefix);
    const first = await mustPut(store, `${prefix}a`, '1');
    const { modRevision } = first.entry;
    const next = firstRevision(store, prefix, empty.revision + 1, empty.followed);
    assert.equal(await soon(next), modRevision);
    const full = await readAll(store, prefix);
    assert.equal(full.followed.fingerprint?.key, `${prefix}a`);
    const second = await mustPut(store, `${prefix}a`, '2');
    const after = firstRevision(store, prefix, modRevision + 1, full.followed);
    assert.equal(await soon(after), second.entry.modRevision);
  });

  test('A watch does not continue in another history', async (store, prefix) => {
    await mustPut(store, `${prefix}a`, '1');
    const { revision, followed } = await readAll(store, prefix);
    const replaced = (from: number, other: FollowedHistory) =>
      rejectsWith('replaced', soon(firstRevision(store, prefix, from, other)));
    await replaced(revision + 1, { ...followed, history: '17' });
    await replaced(revision + 1_000_000, followed);
  });
}

function expiry(test: Register, slackMs: number): void {
  test('A key expires after its TTL, with a delete at its own revision', async (store, prefix) => {
    const startMs = performance.now();
    const short = await mustPut(store, `${prefix}short`, 'x', 2);
    await mustPut(store, `${prefix}long`, 'x', 3600);
    const lease = mustHave(short.entry.lease);
    assert.equal(lease.ttlSeconds, 2);
    const endMs = mustHave(lease.expiresAtMs);
    assert.ok(endMs > startMs && endMs < performance.now() + 3000);
    const changes = await changesUntil(store, prefix, short.entry.modRevision, `${prefix}short`, {
      kind: 'delete',
    });
    const lateMs = performance.now() - startMs - 2000;
    assert.ok(lateMs > -20 && lateMs < slackMs, `${lateMs} ms late`);
    const end = changes.at(-1);
    assert.ok(end !== undefined && modRevisionOf(end) > short.entry.modRevision);
    assert.equal(text(mustHave(end.previous).value), 'x');
    const { entry, revision } = await store.get(`${prefix}short`);
    assert.equal(entry, undefined);
    assert.ok(revision >= modRevisionOf(end));
    assert.deepEqual(
      (await entriesOf(store, prefix)).map((left) => left.key),
      [`${prefix}long`],
    );
  });

  test('A put with a TTL restarts the TTL, and a put without one removes it', async (store, prefix) => {
    const first = await mustPut(store, `${prefix}renewed`, 'x', 1);
    await mustPut(store, `${prefix}kept`, 'x', 1);
    await mustPut(store, `${prefix}gone`, 'x', 1);
    await mustPut(store, `${prefix}renewed`, 'y', 30);
    const kept = await mustPut(store, `${prefix}kept`, 'y');
    assert.equal(kept.entry.lease, undefined);
    const from = first.entry.modRevision;
    await changesUntil(store, prefix, from, `${prefix}gone`, { kind: 'delete' });
    await sleep(slackMs);
    const left = await entriesOf(store, prefix);
    assert.deepEqual(
      left.map((entry) => entry.key),
      [`${prefix}kept`, `${prefix}renewed`],
    );
    assert.deepEqual(
      left.map((entry) => entry.lease?.ttlSeconds),
      [undefined, 30],
    );
  });

  test('A delete also removes the TTL', async (store, prefix) => {
    await mustPut(store, `${prefix}a`, '1', 1);
    await mustDelete(store, `${prefix}a`);
    const second = await mustPut(store, `${prefix}a`, '2');
    await sleep(1000 + slackMs);
    assert.deepEqual(comparable((await store.get(`${prefix}a`)).entry), comparable(second.entry));
  });

  test('An expired key can be created again', async (store, prefix) => {
    const first = await mustPut(store, `${prefix}a`, '1', 1);
    await changesUntil(store, prefix, first.entry.modRevision, `${prefix}a`, { kind: 'delete' });
    const again = await store.put(`${prefix}a`, bytes('2'), { if: { kind: 'absent' } });
    assert.ok(again.done && again.previous === undefined);
  });

  test('A key with a TTL of 50 days does not expire at once', async (store, prefix) => {
    const { entry } = await mustPut(store, `${prefix}a`, '1', 50 * 86_400);
    await sleep(300);
    assert.equal((await store.get(`${prefix}a`)).entry?.modRevision, entry.modRevision);
    assert.equal(entry.lease?.ttlSeconds, 50 * 86_400);
  });
}

function closing(test: Register): void {
  test('close ends watches, and later calls reject', async (store, prefix) => {
    const { revision } = await store.get(prefix);
    const { signal } = new AbortController();
    const watch = drain(store.watch(prefix, revision + 1, signal));
    const ended = rejectsWith('unavailable', soon(watch));
    await sleep(30);
    await soon(store.close());
    await ended;
    await rejectsWith('unavailable', soon(store.get(prefix)));
    await rejectsWith('unavailable', soon(store.put(`${prefix}a`, bytes('x'))));
    await rejectsWith('unavailable', soon(store.delete(`${prefix}a`)));
    await rejectsWith('unavailable', soon(store.deleteTree(prefix)));
    await rejectsWith('unavailable', soon(store.grantLease(5)));
    await rejectsWith('unavailable', soon(store.renewLease('5')));
    await rejectsWith('unavailable', soon(store.revokeLease('5')));
    await rejectsWith('unavailable', soon(drain(store.snapshot(prefix))));
    await rejectsWith('unavailable', soon(drain(store.watch(prefix, 1, signal))));
    await soon(store.close());
  });

  test('close leaves no call pending', async (store, prefix) => {
    const calls: Promise<unknown>[] = [];
    for (let i = 0; i < 20; i++) calls.push(store.put(`${prefix}${i}`, bytes('x')));
    calls.push(store.get(prefix), drain(store.snapshot(prefix)));
    const settled = Promise.allSettled(calls);
    await soon(store.close());
    for (const result of await soon(settled)) {
      if (result.status === 'rejected') assertCode(result.reason, 'unavailable');
    }
  });
}
