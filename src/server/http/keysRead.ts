/** GET of the keys API without `wait`. */
import type { Store } from '../../store/store.ts';
import type { KeyParameters } from './form.ts';
import { leafAbove, listingNode, look } from './listing.ts';
import { failure, type V2Failure } from './v2Errors.ts';
import { type EventJson, now } from './v2Json.ts';

/** What a request to the keys API led to. `status` is 201 where a key came into being. */
export interface KeysDone {
  readonly kind: 'done';
  readonly status: 200 | 201;
  /** The store's revision for X-Etcd-Index: a watch from the next one misses nothing. */
  readonly index: number;
  readonly event: EventJson;
}

export type KeysOutcome = KeysDone | V2Failure;

export function done(index: number, event: EventJson, status: 200 | 201 = 200): KeysDone {
  return { kind: 'done', status, index, event };
}

/** Reads a leaf, or lists a directory. */
export async function getKey(store: Store, key: string, p: KeyParameters): Promise<KeysOutcome> {
  const sight = await look(store, key, p.recursive ? 'all' : 'children');
  if (sight.leaf === undefined && sight.directory === undefined) {
    return absent(store, key, sight.revision);
  }
  return done(sight.revision, { action: 'get', node: listingNode(key, sight, now()) });
}

/** Why a key is not there: a leaf stands in its way (104), or it just is not (100). */
export async function absent(store: Store, key: string, revision: number): Promise<V2Failure> {
  const inTheWay = await leafAbove(store, key);
  return inTheWay === undefined ? failure(100, key, revision) : failure(104, inTheWay, revision);
}
