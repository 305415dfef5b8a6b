/**
 * The states of the names at each moment, in memory shared by the writer and the query thread. Every name goes through
 * numbered states. Answers from the oldest to the newest state are right: the newest is the last one begun, the oldest is
 * the last one that the server must have applied.
 */

/** How a name changes during the soak. */
export type Behaviour =
  /** It always exists. */
  | 'stays'
  /** Its address changes. */
  | 'moves'
  /** It is created and deleted, in the store or by a container. */
  | 'comes'
  | 'container'
  /** It never exists. */
  | 'never';

export interface SoakName {
  /** Its number in the ledger. */
  readonly index: number;
  readonly behaviour: Behaviour;
  /** Without the last dot. */
  readonly name: string;
  readonly key: string;
}

const COUNTS: Readonly<Record<Behaviour, number>> = {
  stays: 300,
  moves: 100,
  comes: 60,
  container: 24,
  never: 60,
};

/** All names of a soak. */
export const SOAK_NAMES: readonly SoakName[] = (Object.keys(COUNTS) as Behaviour[])
  .flatMap((behaviour) => Array.from({ length: COUNTS[behaviour] }, (_, i) => ({ behaviour, i })))
  .map(({ behaviour, i }, index) => ({
    index,
    behaviour,
    name: `n${i}.${behaviour}.soak.skydns.local`,
    key: `/skydns/local/skydns/soak/${behaviour}/n${i}`,
  }));

/** A name exists in odd states and not in even ones. Names that always exist skip the even states. */
export function isPresent(state: number): boolean {
  return state % 2 === 1;
}

const STATE_BITS = 14;
const STATE_MASK = (1 << STATE_BITS) - 1;

/** An address unique to this name and state (it repeats after 16,384 states). */
export function addressOf(index: number, state: number): string {
  const host = (index << STATE_BITS) | (state & STATE_MASK);
  return `10.${host >> 16}.${(host >> 8) & 255}.${host & 255}`;
}

export class Ledger {
  readonly memory: SharedArrayBuffer;
  readonly #oldest: Int32Array;
  readonly #newest: Int32Array;

  constructor(memory?: SharedArrayBuffer) {
    const count = SOAK_NAMES.length;
    this.memory = memory ?? new SharedArrayBuffer(2 * 4 * count);
    this.#oldest = new Int32Array(this.memory, 0, count);
    this.#newest = new Int32Array(this.memory, 4 * count, count);
  }

  oldest(index: number): number {
    return Atomics.load(this.#oldest, index);
  }

  newest(index: number): number {
    return Atomics.load(this.#newest, index);
  }

  /** Call this before the change to the state starts. */
  begin(index: number, state: number): void {
    Atomics.store(this.#newest, index, state);
  }

  /** From now on an answer with a state before this one is wrong. */
  confirm(index: number, state: number): void {
    if (state > this.oldest(index)) Atomics.store(this.#oldest, index, state);
  }
}

/** Whether NXDOMAIN is right for a name in the states `from` to `to`. */
export function mayBeAbsent(behaviour: Behaviour, from: number, to: number): boolean {
  if (behaviour === 'stays' || behaviour === 'moves') return false;
  return from !== to || !isPresent(from);
}

/** Whether `host`, the lower 24 bits of an address, belongs to the name in one of these states. */
export function isAddressOf(index: number, host: number, from: number, to: number): boolean {
  if (host >> STATE_BITS !== index) return false;
  const state = from + (((host & STATE_MASK) - from) & STATE_MASK);
  return state <= to && isPresent(state);
}
