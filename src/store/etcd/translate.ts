/**
 * Translation between etcd's types and the store's: keys are octets in etcd and strings here; revisions are int64 in
 * etcd (decimal strings on the wire) and numbers here.
 *
 * Invariant: `keyBytes(keyText(octets))` returns the same octets for all octets, so two keys never become one.
 */
import { isUtf8 } from 'node:buffer';
import type { ICompare, IKeyValue } from 'etcd3';
import { type Change, type Entry, type Lease, revisionOf } from '../../service/change.ts';
import { type Condition, StoreError, type WatchBatch } from '../store.ts';
import { DELETE, PUT, type WatchEvent, type WatchedKv } from './watchCodec.ts';

/** An octet that is not UTF-8 becomes a lone low surrogate, which no UTF-8 text can produce. */
const ESCAPE_BASE = 0xdc00;
const LONE_SURROGATE = /\p{Surrogate}/u;
const NO_LEASE = '0';

/**
 * The key as text. If the octets are not UTF-8, octets 0x80–0xFF become U+DC80–U+DCFF, as in Python's surrogateescape.
 */
export function keyText(octets: Buffer): string {
  if (isUtf8(octets)) return octets.toString('utf8');
  let text = '';
  for (const octet of octets)
    text += String.fromCharCode(octet < 0x80 ? octet : ESCAPE_BASE + octet);
  return text;
}

/** The octets of a key that `keyText` returned. Throws StoreError `invalid` for text that `keyText` never returns. */
export function keyBytes(key: string): Buffer {
  if (!LONE_SURROGATE.test(key)) return Buffer.from(key, 'utf8');
  const octets = Buffer.from(Array.from(key, (char) => char.charCodeAt(0) & 0xff));
  if (keyText(octets) !== key) throw new StoreError('invalid', 'the key is not Unicode text');
  return octets;
}

/** The first key after all keys that begin with the prefix, which ends in `/`. */
export function prefixEnd(prefix: string): Buffer {
  const end = keyBytes(prefix);
  end[end.length - 1] = '/'.charCodeAt(0) + 1;
  return end;
}

/** The smallest key after this one. */
export function keyAfter(octets: Buffer): Buffer {
  return Buffer.concat([octets, Buffer.of(0)]);
}

/** The entry of a key-value pair; `leaseOf` returns the shared lease of an id. */
export function entryOfKv(kv: IKeyValue, leaseOf: (id: string) => Lease): Entry {
  return {
    key: keyText(kv.key),
    value: kv.value,
    createRevision: Number(kv.create_revision),
    modRevision: Number(kv.mod_revision),
    lease: kv.lease === NO_LEASE ? undefined : leaseOf(kv.lease),
  };
}

type LeaseById = (id: string) => Lease;

function entryOfWatched(kv: WatchedKv, leaseOf: LeaseById): Entry {
  const { value, createRevision, modRevision, lease } = kv;
  return {
    key: keyText(kv.key),
    value,
    createRevision,
    modRevision,
    lease: lease === NO_LEASE ? undefined : leaseOf(lease),
  };
}

function changeOf(
  { type, kv, previous: before }: WatchEvent,
  leaseOf: LeaseById,
): Change | undefined {
  if (kv === undefined) return undefined;
  const previous = before && entryOfWatched(before, leaseOf);
  if (type === PUT) return { kind: 'put', entry: entryOfWatched(kv, leaseOf), previous };
  if (type !== DELETE) return undefined;
  // etcd does not say why it deleted a key. Later the lease's end says nothing about this deletion.
  const endMs = previous?.lease?.expiresAtMs;
  const ranOut = endMs === undefined ? undefined : endMs <= performance.now();
  return { kind: 'delete', key: keyText(kv.key), modRevision: kv.modRevision, previous, ranOut };
}

/** The changes of the events whose type this version knows. */
export function* changesOf(events: readonly WatchEvent[], leaseOf: LeaseById): Generator<Change> {
  for (const event of events) {
    const change = changeOf(event, leaseOf);
    if (change !== undefined) yield change;
  }
}

/** Changes in ascending order, as etcd sends them, as one batch for each revision. */
export function* batchesOf(all: Iterable<Change>): Generator<WatchBatch> {
  let changes: Change[] = [];
  let revision = 0;
  for (const change of all) {
    if (changes.length > 0 && revisionOf(change) !== revision) {
      yield { revision, changes };
      changes = [];
    }
    revision = revisionOf(change);
    changes.push(change);
  }
  if (changes.length > 0) yield { revision, changes };
}

/** The condition as comparisons of a transaction, which must all hold. */
export function comparisonsOf(key: Buffer, condition: Condition | undefined): ICompare[] {
  const exists: ICompare = { key, target: 'Create', result: 'Greater', create_revision: '0' };
  if (condition === undefined) return [];
  switch (condition.kind) {
    case 'absent':
      return [{ key, target: 'Create', result: 'Equal', create_revision: '0' }];
    case 'present':
      return [exists];
    case 'modRevision': {
      const mod_revision = String(condition.modRevision);
      return [exists, { key, target: 'Mod', result: 'Equal', mod_revision }];
    }
    case 'value':
      return [
        exists,
        { key, target: 'Value', result: 'Equal', value: Buffer.from(condition.value) },
      ];
  }
}
