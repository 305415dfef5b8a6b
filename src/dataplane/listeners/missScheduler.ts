/**
 * The main thread's side of the rings: it takes misses out of them and answers them, in time slices of a few
 * milliseconds, between which the event loop does its other work. Pending questions come first, because each of their
 * answers goes into the table and prevents many misses. In one of eight answers the slow rings come first, so that they
 * never starve. When more misses come than this thread can answer, its slices are short and its pauses long. A worker
 * may share this core; with long slices half of the worker's questions would arrive during a slice, and would wait for
 * its end.
 *
 * Wildcards are answered one at a time, when no other miss waits. After each one the thread answers no wildcard for as
 * long as that answer took, so a flood of wildcards cannot delay other questions.
 */
import type { MainChannel } from './controlChannel.ts';
import { Miss, type RingKind, RingReader } from './handover.ts';

/** How long the main thread answers misses before the event loop continues. */
const SLICE_MS = 3;
/** One answer in this many takes the slow rings first. */
const SLOW_SHARE = 8;
/** The time slice in a flood, and the pause after it. */
const FLOODED_SLICE_MS = 0.3;
const FLOODED_PAUSE_MS = 1;
/** When the other rings are never empty, one answer in this many is a wildcard's. */
const WILDCARD_SHARE = 64;

export interface MissSchedulerOptions {
  readonly ringMemory: SharedArrayBuffer;
  readonly workers: number;
  readonly channel: MainChannel;
  /** The packet's memory is used again after the call. Must not throw. */
  readonly answer: (miss: Miss) => void;
}

export class MissScheduler {
  readonly #channel: MainChannel;
  readonly #answer: (miss: Miss) => void;
  readonly #pending: Rings;
  readonly #slow: Rings;
  readonly #wildcard: Rings;
  readonly #miss = new Miss();
  #count = 0;
  /** The earliest moment for the next wildcard. */
  #wildcardAtMs = 0;
  #nextRun: NodeJS.Immediate | undefined;
  #pause: NodeJS.Timeout | undefined;

  constructor({ ringMemory, workers, channel, answer }: MissSchedulerOptions) {
    this.#channel = channel;
    this.#answer = answer;
    this.#pending = new Rings(ringMemory, workers, 'pending');
    this.#slow = new Rings(ringMemory, workers, 'slow');
    this.#wildcard = new Rings(ringMemory, workers, 'wildcard');
  }

  /** Call this when a worker reports that it has handed over packets. */
  run(): void {
    this.#cancel();
    const isFlooded = this.#slow.takeOverrun();
    const untilMs = performance.now() + (isFlooded ? FLOODED_SLICE_MS : SLICE_MS);
    if (this.#answerUntil(untilMs)) {
      this.#channel.markAsleep();
      // A worker may have put a packet into its ring after the last look at it, while this thread was still marked
      // awake.
      const isEmpty = this.#pending.isEmpty() && this.#slow.isEmpty();
      if (isEmpty && this.#wildcard.isEmpty()) return;
      if (isEmpty) {
        this.#sleepUntilWildcard();
        return;
      }
      if (!this.#channel.markAwake()) return;
    }
    if (isFlooded) this.#pause = setTimeout(() => this.run(), FLOODED_PAUSE_MS);
    else this.#nextRun = setImmediate(() => this.run());
  }

  /** Answers all packets that wait, for at most `timeoutMs`. */
  drain(timeoutMs: number): void {
    const untilMs = performance.now() + timeoutMs;
    let isDone = false;
    while (!isDone && performance.now() < untilMs) {
      this.#wildcardAtMs = 0;
      this.#answerUntil(untilMs);
      isDone = this.#pending.isEmpty() && this.#slow.isEmpty() && this.#wildcard.isEmpty();
    }
  }

  /** Call this when a worker has died, before a new one starts on its thread number. */
  releaseBusySlots(thread: number): void {
    for (const rings of [this.#pending, this.#slow, this.#wildcard]) rings.releaseBusySlots(thread);
  }

  close(): void {
    this.#cancel();
  }

  /** Sleeps until the next wildcard may be answered, unless a worker reports before. */
  #sleepUntilWildcard(): void {
    const restMs = Math.max(0, Math.ceil(this.#wildcardAtMs - performance.now()));
    this.#pause = setTimeout(() => {
      this.#channel.markAwake();
      this.run();
    }, restMs);
  }

  /** True if the rings are empty, except for wildcards that must still wait. */
  #answerUntil(untilMs: number): boolean {
    while (this.#answerNext()) if (performance.now() >= untilMs) return false;
    return true;
  }

  #answerNext(): boolean {
    const isWildcardFirst = ++this.#count % WILDCARD_SHARE === 0;
    if (isWildcardFirst && this.#answerWildcard()) return true;
    if (!this.#take()) return this.#answerWildcard();
    this.#answer(this.#miss);
    return true;
  }

  #take(): boolean {
    const isSlowFirst = this.#count % SLOW_SHARE === 0;
    const [first, second] = isSlowFirst ? [this.#slow, this.#pending] : [this.#pending, this.#slow];
    return first.take(this.#miss) || second.take(this.#miss);
  }

  #answerWildcard(): boolean {
    const beganMs = performance.now();
    if (beganMs < this.#wildcardAtMs || !this.#wildcard.take(this.#miss)) return false;
    this.#answer(this.#miss);
    const endedMs = performance.now();
    this.#wildcardAtMs = endedMs + (endedMs - beganMs);
    return true;
  }

  #cancel(): void {
    clearImmediate(this.#nextRun);
    clearTimeout(this.#pause);
    this.#nextRun = undefined;
    this.#pause = undefined;
  }
}

/** The rings of one kind, one of each worker, which take turns. */
class Rings {
  readonly #rings: readonly RingReader[];
  /** The ring that comes first next time; otherwise a flood in one ring would starve the others. */
  #next = 0;

  constructor(memory: SharedArrayBuffer, workers: number, kind: RingKind) {
    this.#rings = Array.from({ length: workers }, (_, i) => new RingReader(memory, i + 1, kind));
  }

  /** Takes the oldest packet of the next ring that has one; false if all are empty. */
  take(miss: Miss): boolean {
    const count = this.#rings.length;
    for (let i = 0; i < count; i++) {
      const at = (this.#next + i) % count;
      if (this.#rings[at]?.take(miss) !== true) continue;
      this.#next = (at + 1) % count;
      return true;
    }
    return false;
  }

  isEmpty(): boolean {
    return this.#rings.every((ring) => ring.isEmpty());
  }

  /** Whether packets were overwritten since the last call. */
  takeOverrun(): boolean {
    let overrun = false;
    for (const ring of this.#rings) {
      overrun ||= ring.overran;
      ring.overran = false;
    }
    return overrun;
  }

  releaseBusySlots(thread: number): void {
    this.#rings[thread - 1]?.releaseBusySlots();
  }
}
