/** GET of the keys API without `wait`. */
import type { Store } from '../../store/store.ts';
import type { KeyParameters } from './form.ts';
import { type Child, firstMissing, leafAbove, listingText, look } from './listing.ts';
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

/** What was read. It may be long, so its JSON comes in pieces. */
export interface KeysListing {
  readonly kind: 'listing';
  readonly index: number;
  readonly text: Iterable<string>;
}

export type KeysOutcome = KeysDone | V2Failure;

export function done(index: number, event: EventJson, status: 200 | 201 = 200): KeysDone {
  return { kind: 'done', status, index, event };
}

/** Reads a leaf, or lists a directory. */
export async function getKey(
  store: Store,
  key: string,
  p: KeyParameters,
): Promise<KeysListing | V2Failure> {
  const sight = await look(store, key, p.recursive ? 'all' : 'children');
  if (sight.leaf === undefined && sight.directory === undefined) {
    return absent(store, key, sight.revision);
  }
  return { kind: 'listing', index: sight.revision, text: getText(key, sight) };
}

function* getText(key: string, sight: Child): Generator<string, void, undefined> {
  yield '{"action":"get","node":';
  yield* listingText(key, sight, now());
  yield '}\n';
}

/** Why a key is not there: a leaf stands in its way (104), or it just is not (100). */
export async function absent(store: Store, key: string, revision: number): Promise<V2Failure> {
  const inTheWay = await leafAbove(store, key);
  if (inTheWay !== undefined) return failure(104, inTheWay, revision);
  return failure(100, await firstMissing(store, key), revision);
}
