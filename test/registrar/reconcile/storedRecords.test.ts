import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { Namespace } from '../../../src/registrar/reconcile/namespace.ts';
import { MAX_KEPT_BELOW } from '../../../src/registrar/reconcile/oldestBelow.ts';
import { StoredRecords } from '../../../src/registrar/reconcile/storedRecords.ts';
import type { Change, Entry } from '../../../src/service/change.ts';

const OURS = { r: 'E1', c: '0123456789ab', s: '2026-01-01T00:00:00Z' };

function entry(key: string, modRevision: number, owner?: object): Entry {
  const value = Buffer.from(JSON.stringify({ host: `192.0.2.${modRevision}`, owner }));
  return { key, value, createRevision: 1, modRevision, lease: undefined };
}

const NAMESPACE = new Namespace('/s/', []);

const put = (one: Entry): Change => ({ kind: 'put', entry: one, previous: undefined });
const gone = (key: string, modRevision: number): Change => {
  return { kind: 'delete', key, modRevision, previous: undefined };
};

describe('stored records', () => {
  let changes = 0;
  let stored: StoredRecords;
  const revision = (key: string): number | undefined => stored.get(key)?.entry.modRevision;
  const want = (names: readonly string[], bases: readonly string[] = []) =>
    stored.want(
      { names: new Set(names), pointers: new Set<string>(), bases: new Set(bases) },
      NAMESPACE,
    );
  beforeEach(() => {
    changes = 0;
    stored = new StoredRecords('E1', () => changes++);
  });

  it('The stored records include records without a lease whose owner is another registrar with the engine’s id', () => {
    stored = new StoredRecords('E1/0a', () => changes++);
    const lease = { id: '7', ttlSeconds: undefined, expiresAtMs: undefined };
    const stamps = ['E1', 'E1/0b', 'E2/0a', 'E1/0a'].map((r) => ({ ...OURS, r }));
    const entries = stamps.map((owner, i) => entry(`/s/${i}`, i + 1, owner));
    stored.apply(
      [...entries, { ...entry('/s/leased', 9, { ...OURS, r: 'E1/0b' }), lease }].map(put),
    );
    assert.deepEqual(
      [...stored.records()].map(({ entry, isOwn, isDangling }) => [entry.key, isOwn, isDangling]),
      [
        ['/s/0', false, true],
        ['/s/1', false, true],
        ['/s/3', true, false],
      ],
    );
  });

  it('The stored records are the registrar’s own, and others’ only at keys that it wants', () => {
    want(['/s/a'], ['/s/n']);
    const theirs = { ...OURS, r: 'E2' };
    const keys = ['/s/a', '/s/b', '/s/n/1', '/s/n/x/1', '/s/c'];
    stored.apply(keys.map((key, i) => put(entry(key, i + 1, key === '/s/c' ? OURS : theirs))));
    assert.deepEqual(
      [...stored.revisions()].map(([key]) => key),
      ['/s/a', '/s/n/1', '/s/c'],
    );
    assert.deepEqual(
      [...stored.records()].filter(({ isOwn }) => isOwn).map((one) => one.entry.key),
      ['/s/c'],
    );
    want([], []);
    assert.deepEqual(
      [...stored.revisions()].map(([key]) => key),
      ['/s/c'],
    );
  });

  it('The stored records report relevant changes and not the registrar’s own or unrelated ones', () => {
    stored.apply([put(entry('/s/x', 1, { ...OURS, r: 'E2' }))]);
    assert.equal(changes, 0);
    stored.learn('/s/a', entry('/s/a', 2, OURS), 2);
    stored.apply([put(entry('/s/a', 2, OURS))]);
    assert.equal(changes, 0);
    stored.apply([put(entry('/s/a', 3, OURS)), gone('/s/nothing', 4)]);
    assert.equal(changes, 1);
    stored.apply([gone('/s/a', 5)]);
    assert.equal(changes, 2);
  });

  it('A watch that is behind does not revert the stored records', () => {
    stored.learn('/s/a', entry('/s/a', 5, OURS), 5);
    stored.apply([put(entry('/s/a', 3, OURS)), gone('/s/a', 4)]);
    assert.equal(revision('/s/a'), 5);
    stored.learn('/s/a', undefined, 6);
    stored.apply([put(entry('/s/a', 5, OURS))]);
    assert.equal(revision('/s/a'), undefined);
    stored.apply([put(entry('/s/a', 7, OURS))]);
    assert.equal(revision('/s/a'), 7);
  });

  it('A late read does not revert the stored records', () => {
    stored.apply([put(entry('/s/a', 5, OURS))]);
    stored.learn('/s/a', entry('/s/a', 3, OURS), 4);
    assert.equal(revision('/s/a'), 5);
    stored.learn('/s/a', undefined, 4);
    assert.equal(revision('/s/a'), 5);
  });

  it('After a full listing the stored records are only those of the store', () => {
    stored.learn('/s/a', entry('/s/a', 500, OURS), 500);
    stored.onRelisted(2);
    assert.equal(revision('/s/a'), undefined);
    stored.apply([put(entry('/s/a', 3, OURS))]);
    assert.equal(revision('/s/a'), 3);
  });

  it('The stored records forget the registrar’s own writes once the mirror has passed them', () => {
    stored.learn('/s/a', undefined, 5);
    stored.onMirrored(5);
    stored.apply([put(entry('/s/a', 4, OURS))]);
    assert.equal(revision('/s/a'), 4);
  });

  it('The stored records include others’ records above and below the wanted names and the wanted numbers', () => {
    want(['/s/a/b'], ['/s/n']);
    const keys = [
      '/s/a',
      '/s/a/ipv4',
      '/s/a/b/c/d',
      '/s/a/c',
      '/s/n',
      '/s/n/x',
      '/s/n/2/y',
      '/s/B',
    ];
    stored.apply(keys.map((key, i) => put(entry(key, i + 1, { ...OURS, r: 'E2' }))));
    const kept = ['/s/a', '/s/a/ipv4', '/s/a/b/c/d', '/s/n', '/s/n/2/y', '/s/B'];
    assert.deepEqual(
      [...stored.revisions()].map(([key]) => key),
      kept,
    );
    assert.deepEqual(
      [...stored.below('/s/a/b')].map((one) => one.entry.key),
      ['/s/a/b/c/d'],
    );
    assert.deepEqual(
      [...stored.at('/s/b')].map((one) => one.entry.key),
      ['/s/B'],
    );
  });

  it('Of a million records below a wanted name the stored records keep the few oldest, and report the name as incomplete when those are gone', () => {
    want(['/s/a']);
    const count = 1_000_000;
    for (let at = 0; at < count; at += 1_000) {
      const page = Array.from({ length: 1_000 }, (_, i) => {
        const number = ((at + i) * 7_919) % count; // in no order
        return put({ ...entry(`/s/a/${number}/x`, number + 1), createRevision: number + 1 });
      });
      stored.apply(page);
    }
    const kept = [...stored.below('/s/a')].map((one) => one.since).sort((a, b) => a - b);
    assert.deepEqual(
      kept,
      Array.from({ length: MAX_KEPT_BELOW }, (_, i) => i + 1),
    );
    assert.deepEqual(stored.takeIncomplete(), []);
    for (let number = 0; number < MAX_KEPT_BELOW; number++)
      stored.apply([gone(`/s/a/${number}/x`, count + number + 1)]);
    assert.deepEqual(stored.takeIncomplete(), ['/s/a']);
    assert.deepEqual(stored.takeIncomplete(), []);
  });

  it('When a truncated name is no longer wanted and its kept records are gone, the stored records report the wanted name above it as incomplete', () => {
    want(['/s/a', '/s/a/b']);
    stored.apply(
      Array.from({ length: MAX_KEPT_BELOW + 1 }, (_, i) => put(entry(`/s/a/b/${i}`, i + 1))),
    );
    want(['/s/a']);
    assert.deepEqual(stored.takeIncomplete(), []);
    for (let i = 0; i < MAX_KEPT_BELOW; i++) stored.apply([gone(`/s/a/b/${i}`, 100 + i)]);
    assert.deepEqual(stored.takeIncomplete(), ['/s/a']);
  });

  it('The stored records include others’ records at all keys of a wanted name or number, however many are below it', () => {
    want(['/s/a'], ['/s/n']);
    for (const name of ['/s/a', '/s/n/2']) {
      stored.apply(
        Array.from({ length: MAX_KEPT_BELOW + 1 }, (_, i) => {
          return put({ ...entry(`${name}/${i}`, i + 1), createRevision: i + 1 });
        }),
      );
      const key = `${name}/ipv6`;
      stored.apply([put({ ...entry(key, 100), createRevision: 100 })]);
      assert.equal(revision(key), 100);
    }
  });

  it('A record that becomes the registrar’s own no longer counts among the oldest of others below a wanted name', () => {
    want(['/s/a']);
    const keys = Array.from({ length: MAX_KEPT_BELOW + 1 }, (_, i) => `/s/a/${i}`);
    stored.apply(keys.map((key, i) => put({ ...entry(key, i + 1), createRevision: i + 1 })));
    stored.apply([put(entry('/s/a/0', 100, OURS))]);
    for (let i = 1; i < MAX_KEPT_BELOW; i++) stored.apply([gone(`/s/a/${i}`, 100 + i)]);
    assert.deepEqual(stored.takeIncomplete(), ['/s/a']);
    assert.equal(revision('/s/a/0'), 100);
  });

  it('A slow read does not restore a record that was deleted meanwhile', () => {
    want(['/s/a']);
    const end = stored.beginReading();
    stored.apply([gone('/s/a', 6)]);
    stored.learn('/s/a', entry('/s/a', 4, { ...OURS, r: 'E2' }), 5);
    assert.equal(revision('/s/a'), undefined);
    stored.learn('/s/a', entry('/s/a', 7, { ...OURS, r: 'E2' }), 7);
    end();
    assert.equal(revision('/s/a'), 7);
  });

  it('The stored records report the registrar’s own new record once the watch has it, if others have records above or below it', () => {
    want(['/s/a']);
    const theirs = { ...OURS, r: 'E2' };
    stored.apply([put(entry('/s/a/x', 1, theirs))]);
    changes = 0;
    const own = { ...entry('/s/a', 2, OURS), createRevision: 2 };
    stored.learn('/s/a', own, 2);
    stored.apply([put(own)]);
    assert.equal(changes, 1);
  });
});
