/** GET of the keys API without `wait`. */
import type { Place, Store } from '../../../store/store.ts';
import type { Leave } from '../exchange/shares.ts';
import type { KeyParameters } from './form.ts';
import { type Child, type Keep, leafAbove, listingText, look } from './listing.ts';
import { type EventJson, failure, now, type V2Failure } from './v2Responses.ts';

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

/** Takes a place for a long leaf, or a long listing; undefined: there is none. */
export type TakePlace = (what: 'leaf' | 'listing') => Promise<Leave | undefined>;

/** Reads a leaf, or lists a directory; what is long takes a place. */
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

/** A reply up to this size is free. All connections together can hold some 80 MB in such ones. */
const SHORT_OCTETS = 64 * 1024;

/** What one reply may keep: a little at will, more when it gets a place. */
function roomFor(takePlace: TakePlace): { readonly keep: Keep; readonly leave: Leave } {
  let octets = 0;
  const held = new Map<'leaf' | 'listing', Leave>();
  const take = async (what: 'leaf' | 'listing'): Promise<boolean> => {
    const leave = await takePlace(what);
    if (leave !== undefined) held.set(what, leave);
    return leave !== undefined;
  };
  return {
    keep(more, what) {
      octets += more;
      return octets <= SHORT_OCTETS || held.has(what) || take(what);
    },
    leave: () => {
      for (const leave of held.values()) leave();
    },
  };
}

async function list(
  store: Store,
  key: string,
  p: KeyParameters,
  keep: Keep,
): Promise<Omit<KeysListing, 'leave'> | V2Failure> {
  const sight = await look(store, key, p.recursive ? 'all' : 'children', keep);
  if (sight === undefined) return failure(300, 'too many long replies at once', 0, 503);
  if (sight.leaf === undefined && sight.directory === undefined) return absent(key, sight.place);
  return { kind: 'listing', index: sight.revision, text: getText(key, sight) };
}

function* getText(key: string, sight: Child): Generator<string, void, undefined> {
  yield '{"action":"get","node":';
  yield* listingText(key, sight, now());
  yield '}\n';
}

/** Why a key is not there: a leaf stands in its way (104), or it just is not, from some component on (100). */
export function absent(key: string, place: Place): V2Failure {
  const inTheWay = leafAbove(key, place);
  if (inTheWay !== undefined) return failure(104, inTheWay, place.revision);
  return failure(100, place.end ?? key, place.revision);
}
