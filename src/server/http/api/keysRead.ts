/** GET of the keys API without `wait`. */
import type { KeyLocation, Store } from '../../../store/store.ts';
import type { Release } from '../exchange/permits.ts';
import type { KeyParameters } from './form.ts';
import {
  leafAbove,
  listingText,
  type NodeContent,
  type ReserveMemory,
  readNode,
} from './listing.ts';
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
  readonly release: () => void;
}

export type KeysOutcome = KeysDone | V2Failure;

export function done(index: number, event: EventJson, status: 200 | 201 = 200): KeysDone {
  return { kind: 'done', status, index, event };
}

/** Takes a place for a long leaf, or a long listing; undefined: there is none. */
export type AcquirePermit = (what: 'leaf' | 'listing') => Promise<Release | undefined>;

/** Reads a leaf, or lists a directory; what is long takes a place. */
export async function getKey(
  store: Store,
  key: string,
  p: KeyParameters,
  acquire: AcquirePermit,
): Promise<KeysListing | V2Failure> {
  const { reserve, release } = roomFor(acquire);
  try {
    const outcome = await list(store, key, p, reserve);
    if (outcome.kind !== 'failure') return { ...outcome, release };
    release();
    return outcome;
  } catch (error) {
    release();
    throw error;
  }
}

/** A reply up to this size is free. All connections together can hold some 80 MB in such ones. */
const SHORT_OCTETS = 64 * 1024;

/** What one reply may keep: a little at will, more when it gets a place. */
function roomFor(acquire: AcquirePermit): {
  readonly reserve: ReserveMemory;
  readonly release: Release;
} {
  let octets = 0;
  const held = new Map<'leaf' | 'listing', Release>();
  const take = async (what: 'leaf' | 'listing'): Promise<boolean> => {
    const release = await acquire(what);
    if (release !== undefined) held.set(what, release);
    return release !== undefined;
  };
  return {
    reserve(more, what) {
      octets += more;
      return octets <= SHORT_OCTETS || held.has(what) || take(what);
    },
    release: () => {
      for (const release of held.values()) release();
    },
  };
}

async function list(
  store: Store,
  key: string,
  p: KeyParameters,
  reserve: ReserveMemory,
): Promise<Omit<KeysListing, 'release'> | V2Failure> {
  const node = await readNode(store, key, p.recursive ? 'all' : 'children', reserve);
  if (node === undefined) return failure(300, 'too many long replies at once', 0, 503);
  if (node.leaf === undefined && node.directory === undefined) return absent(key, node.location);
  return { kind: 'listing', index: node.revision, text: getText(key, node) };
}

function* getText(key: string, node: NodeContent): Generator<string, void, undefined> {
  yield '{"action":"get","node":';
  yield* listingText(key, node, now());
  yield '}\n';
}

/** Why a key is not there: a leaf stands in its way (104), or it just is not, from some component on (100). */
export function absent(key: string, location: KeyLocation): V2Failure {
  const inTheWay = leafAbove(key, location);
  if (inTheWay !== undefined) return failure(104, inTheWay, location.revision);
  return failure(100, location.end ?? key, location.revision);
}
