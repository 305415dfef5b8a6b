/** GET of the keys API without `wait`, and the results that all requests of the keys API share. */
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

/** The result of a request. `status` is 201 if the request created the key. */
export interface KeysDone {
  readonly kind: 'done';
  readonly status: 200 | 201;
  /** The store's revision for X-Etcd-Index. A watch from the next revision misses nothing. */
  readonly index: number;
  readonly event: EventJson;
}

/** The result of a read. It may be long, so its JSON comes in pieces. */
export interface KeysListing {
  readonly kind: 'listing';
  readonly index: number;
  readonly text: Iterable<string>;
  /** Releases the reply's permits. The caller runs it after sending the reply, or when it does not send it. */
  readonly release: () => void;
}

export type KeysOutcome = KeysDone | V2Failure;

export function done(index: number, event: EventJson, status: 200 | 201 = 200): KeysDone {
  return { kind: 'done', status, index, event };
}

/** Takes a permit for a long leaf or a long listing; undefined if none is free. */
export type AcquirePermit = (what: 'leaf' | 'listing') => Promise<Release | undefined>;

/** Reads a leaf or lists a directory. A long reply takes a permit. */
export async function getKey(
  store: Store,
  key: string,
  p: KeyParameters,
  acquire: AcquirePermit,
): Promise<KeysListing | V2Failure> {
  const { reserve, release } = memoryFor(acquire);
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

/** A reply up to this size needs no permit. All connections together can occupy about 80 MB with such replies. */
const SHORT_OCTETS = 64 * 1024;

/** Counts the memory of one reply, and takes a permit when the reply becomes long. */
function memoryFor(acquire: AcquirePermit): {
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

/** Why the key does not exist: a leaf above it blocks its path (104), or its path ends (100). */
export function absent(key: string, location: KeyLocation): V2Failure {
  const blockingLeaf = leafAbove(key, location);
  if (blockingLeaf !== undefined) return failure(104, blockingLeaf, location.revision);
  return failure(100, location.end ?? key, location.revision);
}
