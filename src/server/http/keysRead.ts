/** GET of the keys API without `wait`. */
import type { Store } from '../../store/store.ts';
import type { KeyParameters } from './form.ts';
import { type Child, firstMissing, type Keep, leafAbove, listingText, look } from './listing.ts';
import type { TakePlace } from './places.ts';
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
  /** To be called when it was sent, or will not be. */
  readonly leave: () => void;
}

export type KeysOutcome = KeysDone | V2Failure;

export function done(index: number, event: EventJson, status: 200 | 201 = 200): KeysDone {
  return { kind: 'done', status, index, event };
}

/** Reads a leaf, or lists a directory; a long listing takes one of the places. */
export async function getKey(
  store: Store,
  key: string,
  p: KeyParameters,
  takePlace: TakePlace,
): Promise<KeysListing | V2Failure> {
  const { keep, leave } = roomFor(takePlace);
  try {
    const outcome = await list(store, key, p, keep);
    if (outcome.kind !== 'failure') return { ...outcome, leave };
    leave();
    return outcome;
  } catch (error) {
    leave();
    throw error;
  }
}

/** A listing up to this size is free. All connections together can hold some 80 MB in such ones. */
const SHORT_OCTETS = 64 * 1024;

/** What one listing may keep: a little at will, more when it gets a place. */
function roomFor(takePlace: TakePlace): { readonly keep: Keep; readonly leave: () => void } {
  let octets = 0;
  let leavePlace: (() => void) | undefined;
  return {
    keep(more) {
      octets += more;
      if (octets > SHORT_OCTETS) leavePlace ??= takePlace();
      return octets <= SHORT_OCTETS || leavePlace !== undefined;
    },
    leave: () => leavePlace?.(),
  };
}

async function list(
  store: Store,
  key: string,
  p: KeyParameters,
  keep: Keep,
): Promise<Omit<KeysListing, 'leave'> | V2Failure> {
  const sight = await look(store, key, p.recursive ? 'all' : 'children', keep);
  if (sight === undefined) return failure(300, 'too many long listings at once', 0, 503);
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
