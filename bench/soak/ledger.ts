/**
 * What the store holds at each moment, in memory that the writer and the asker share. Every name goes through numbered
 * states; at any time those from the oldest to the newest may be answered: the newest is the last that was begun, the
 * oldest the last that everybody must have heard of by now.
 */

/** What a name does. */
export type Behaviour =
  /** It is always there. */
  | 'stays'
  /** Its address changes. */
  | 'moves'
  /** It comes and goes, by the store's API or with a container. */
  | 'comes'
  | 'container'
  /** Nobody ever has it. */
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

/** In states of an odd number a name is there, in others not. Names that never go skip the even ones. */
export function isPresent(state: number): boolean {
  return state % 2 === 1;
}

const STATE_BITS = 14;
const STATE_MASK = (1 << STATE_BITS) - 1;

/** The address that only this name has, and only in this state (or one 16,384 later). */
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

  /** To be called before the first thing is done that leads to the state. */
  begin(index: number, state: number): void {
    Atomics.store(this.#newest, index, state);
  }

  /** No state before this one may be answered to questions that are asked from now on. */
  confirm(index: number, state: number): void {
    if (state > this.oldest(index)) Atomics.store(this.#oldest, index, state);
  }
}

/** Whether a name that was in the states from `from` to `to` may be absent. */
export function mayBeAbsent(behaviour: Behaviour, from: number, to: number): boolean {
  if (behaviour === 'stays' || behaviour === 'moves') return false;
  return from !== to || !isPresent(from);
}

/** Whether `host`, the lower 24 bits of an address, is that of the name in one of these states. */
export function isAddressOf(index: number, host: number, from: number, to: number): boolean {
  if (host >> STATE_BITS !== index) return false;
  const state = from + (((host & STATE_MASK) - from) & STATE_MASK);
  return state <= to && isPresent(state);
}
