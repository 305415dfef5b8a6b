import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { ActualRecords } from '../../src/docker/actual.ts';
import { Namespace } from '../../src/docker/namespace.ts';
import type { Change, Entry } from '../../src/service/change.ts';

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

describe('what the store holds as far as it concerns us', () => {
  let changes = 0;
  let actual: ActualRecords;
  const revision = (key: string): number | undefined => actual.get(key)?.entry.modRevision;
  const want = (names: readonly string[], bases: readonly string[] = []) =>
    actual.want(
      { names: new Set(names), pointers: new Set<string>(), bases: new Set(bases) },
      NAMESPACE,
    );
  beforeEach(() => {
    changes = 0;
    actual = new ActualRecords('E1', () => changes++);
  });

  it('is also what dangles of our engine’s id: records of other owners that no lease ends', () => {
    actual = new ActualRecords('E1/0a', () => changes++);
    const lease = { id: '7', ttlSeconds: undefined, expiresAtMs: undefined };
    const stamps = ['E1', 'E1/0b', 'E2/0a', 'E1/0a'].map((r) => ({ ...OURS, r }));
    const entries = stamps.map((owner, i) => entry(`/s/${i}`, i + 1, owner));
    actual.apply(
      [...entries, { ...entry('/s/leased', 9, { ...OURS, r: 'E1/0b' }), lease }].map(put),
    );
    assert.deepEqual(
      [...actual.records()].map(({ entry, isOwn, isDangling }) => [entry.key, isOwn, isDangling]),
      [
        ['/s/0', false, true],
        ['/s/1', false, true],
        ['/s/3', true, false],
      ],
    );
  });

  it('is our records, and others’ only where we want one', () => {
    want(['/s/a'], ['/s/n']);
    const theirs = { ...OURS, r: 'E2' };
    const keys = ['/s/a', '/s/b', '/s/n/1', '/s/n/x/1', '/s/c'];
    actual.apply(keys.map((key, i) => put(entry(key, i + 1, key === '/s/c' ? OURS : theirs))));
    assert.deepEqual(
      [...actual.revisions()].map(([key]) => key),
      ['/s/a', '/s/n/1', '/s/c'],
    );
    assert.deepEqual(
      [...actual.records()].filter(({ isOwn }) => isOwn).map((one) => one.entry.key),
      ['/s/c'],
    );
    want([], []);
    assert.deepEqual(
      [...actual.revisions()].map(([key]) => key),
      ['/s/c'],
    );
  });

  it('tells of changes that matter, not of our own and not of others’', () => {
    actual.apply([put(entry('/s/x', 1, { ...OURS, r: 'E2' }))]);
    assert.equal(changes, 0);
    actual.learn('/s/a', entry('/s/a', 2, OURS), 2);
    actual.apply([put(entry('/s/a', 2, OURS))]);
    assert.equal(changes, 0);
    actual.apply([put(entry('/s/a', 3, OURS)), gone('/s/nothing', 4)]);
    assert.equal(changes, 1);
    actual.apply([gone('/s/a', 5)]);
    assert.equal(changes, 2);
  });

  it('is not set back by a watch that is behind', () => {
    actual.learn('/s/a', entry('/s/a', 5, OURS), 5);
    actual.apply([put(entry('/s/a', 3, OURS)), gone('/s/a', 4)]);
    assert.equal(revision('/s/a'), 5);
    actual.learn('/s/a', undefined, 6);
    actual.apply([put(entry('/s/a', 5, OURS))]);
    assert.equal(revision('/s/a'), undefined);
    actual.apply([put(entry('/s/a', 7, OURS))]);
    assert.equal(revision('/s/a'), 7);
  });

  it('is not set back by an answer that is late', () => {
    actual.apply([put(entry('/s/a', 5, OURS))]);
    actual.learn('/s/a', entry('/s/a', 3, OURS), 4);
    assert.equal(revision('/s/a'), 5);
    actual.learn('/s/a', undefined, 4);
    assert.equal(revision('/s/a'), 5);
  });

  it('is the store’s word alone after it has listed all: it may be another store', () => {
    actual.learn('/s/a', entry('/s/a', 500, OURS), 500);
    actual.forgetAhead(2);
    assert.equal(revision('/s/a'), undefined);
    actual.apply([put(entry('/s/a', 3, OURS))]);
    assert.equal(revision('/s/a'), 3);
  });

  it('keeps nothing of what the mirror has passed', () => {
    actual.learn('/s/a', undefined, 5);
    actual.settle(5);
    actual.apply([put(entry('/s/a', 4, OURS))]);
    assert.equal(revision('/s/a'), 4);
  });
});
