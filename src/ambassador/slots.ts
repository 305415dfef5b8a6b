/**
 * The slots of a route in the kernel's map: each connection takes one of them by chance, so a backend's share of the
 * slots is its share of the connections. Pure.
 */
import { printSocketAddress, type SocketAddress } from '../dns/address.ts';
import type { Backend } from './route.ts';

/** A route takes at most this many elements of the map. */
const MAX_SLOTS = 256;

/** The least power of two that is `atLeast` or more and gives each backend a slot; at most 256. */
export function slotCount(backends: number, atLeast: number): number {
  let count = 1;
  while (count < MAX_SLOTS && (count < atLeast || count < backends)) count *= 2;
  return count;
}

/**
 * The backend of each slot; no slots if there are no backends. Only backends of the least priority number serve. If
 * there are more of them than slots, those with the greatest weights serve, and of equal weights the first by address.
 *
 * Each serving backend has a slot. One whose share by weight is less than a slot has exactly one; the others divide
 * the remaining slots and have less than one slot more or less than their share.
 *
 * `previous` is the result before a change, or what the kernel has, which may lack slots. A slot keeps its backend while
 * the shares permit it: among backends of equal weight at most ⌈`count` / n⌉ slots change their backend when one of n
 * comes or goes.
 */
export function assignSlots(
  previous: readonly SocketAddress[] | undefined,
  backends: readonly Backend[],
  count: number,
): readonly Backend[] {
  const shares = dividedSlots(servingBackends(backends, count), count);
  const left = new Map(shares.map((share) => [share.id, share]));
  const kept = (previous ?? []).slice(0, count).map(printSocketAddress);
  for (const id of kept) {
    const share = left.get(id);
    if (share !== undefined) share.held++;
  }
  giveRemainders(shares, count);
  const slots = kept.map((id) => takeFrom(left.get(id)));
  const free = roundRobin(shares);
  return shares.length === 0
    ? []
    : Array.from({ length: count }, (_, i) => slots[i] ?? (free.next().value as Backend));
}

/** The slots that the kernel has, with others in place of those that another program has removed. */
export function wholeSlots<T>(found: readonly (T | undefined)[], atLeast: number): readonly T[] {
  const present = found.filter((slot) => slot !== undefined);
  if (present.length === 0) return [];
  return Array.from(
    { length: slotCount(found.length, atLeast) },
    (_, i) => found[i] ?? (present[i % present.length] as T),
  );
}

interface Share {
  readonly backend: Backend;
  readonly id: string;
  /** Slots that the backend gets and that are not assigned yet. */
  slots: number;
  /** What its share by weight exceeds `slots` by: less than one slot. */
  remainder: number;
  /** Its slots before the change. */
  held: number;
}

/** The backends that serve, sorted by address, each address and port once; at most `count`. */
function servingBackends(backends: readonly Backend[], count: number): readonly Backend[] {
  const priority = backends.reduce(
    (least, backend) => Math.min(least, backend.priority),
    Number.POSITIVE_INFINITY,
  );
  const serving = new Map(
    backends
      .filter((backend) => backend.priority === priority)
      .map((backend) => [printSocketAddress(backend), backend]),
  );
  const byAddress = [...serving].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, each]) => each);
  if (byAddress.length <= count) return byAddress;
  const chosen = new Set([...byAddress].sort((a, b) => b.weight - a.weight).slice(0, count));
  return byAddress.filter((backend) => chosen.has(backend));
}

/** Gives each backend the whole slots of its share. There are at most as many backends as slots. */
function dividedSlots(serving: readonly Backend[], count: number): readonly Share[] {
  let weights = serving.reduce((sum, { weight }) => sum + weight, 0);
  let slots = count;
  const shares = serving.map((backend) => {
    return { backend, id: printSocketAddress(backend), slots: 1, remainder: 0, held: 0 };
  });
  let isSmall = true;
  for (const share of [...shares].sort((a, b) => a.backend.weight - b.backend.weight)) {
    const { weight } = share.backend;
    // A backend that gets more than its share leaves less than their share to the others, so the next one by weight may
    // get its one slot in the same way.
    isSmall &&= slots * weight < weights;
    if (isSmall) {
      slots--;
      weights -= weight;
      continue;
    }
    share.slots = Math.floor((slots * weight) / weights);
    share.remainder = ((slots * weight) % weights) / weights;
  }
  return shares;
}

/** Gives the slots that rounding down left over, first to backends that lose a slot otherwise. */
function giveRemainders(shares: readonly Share[], count: number): void {
  const left = count - shares.reduce((sum, { slots }) => sum + slots, 0);
  const inTurn = shares
    .filter(({ remainder }) => remainder > 0)
    .sort((a, b) => lossOf(b) - lossOf(a) || b.remainder - a.remainder);
  for (const share of inTurn.slice(0, left)) share.slots++;
}

function lossOf({ held, slots }: Share): number {
  return held > slots ? 1 : 0;
}

function takeFrom(share: Share | undefined): Backend | undefined {
  if (share === undefined || share.slots === 0) return undefined;
  share.slots--;
  return share.backend;
}

/** The slots that are not assigned yet, one of each backend in turn. */
function* roundRobin(shares: readonly Share[]): Generator<Backend, undefined> {
  for (let left = shares; left.length > 0; left = left.filter(({ slots }) => slots > 0)) {
    for (const share of left) {
      const backend = takeFrom(share);
      if (backend !== undefined) yield backend;
    }
  }
  return undefined;
}
