/**
 * Decides when the reconciler compares again: at once after a change, and after a backoff following a failure. Rests
 * between comparisons bound its share of the processor, and are longer while another writer undoes its writes.
 */
import { backoffMs } from '../../timing/backoff.ts';
import type { Clock } from '../../timing/clock.ts';
import { WakeableSleep } from '../../timing/sleep.ts';
import type { Operation } from './plan.ts';

const BACKOFF = { minMs: 100, maxMs: 5_000 };
/** A rest lasts this many times as long as the comparison before it, so that comparing takes a tenth of the time. */
const REST_PER_WORK = 10;
const MAX_REST_MS = 50;
/** A second undone write within this time delays the next comparison by `UNDONE_REST_MS`. */
const UNDONE_WITHIN_MS = 1_000;
const UNDONE_REST_MS = 100;

export class ReconcilePace {
  readonly #clock: Clock;
  readonly #random: () => number;
  /** `wake` ends it. */
  readonly #sleep: WakeableSleep;
  /** `wake` does not end it. */
  readonly #rest: WakeableSleep;
  readonly #undo = new UndoDetector();
  #failuresInARow = 0;
  #restUntilMs = 0;
  #undoneAtMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
    this.#sleep = new WakeableSleep(clock);
    this.#rest = new WakeableSleep(clock);
  }

  wake(): void {
    this.#sleep.wake();
  }

  close(): void {
    this.#sleep.wake();
    this.#rest.wake();
  }

  /**
   * Waits for `wake` or until `pauseMs` have passed (`undefined`: only for `wake`; 0: not at all), then for the rest.
   */
  async wait(pauseMs: number | undefined): Promise<void> {
    if (pauseMs !== 0) await this.#sleep.sleep(pauseMs);
    const restMs = this.#restUntilMs - this.#clock.monotonicMs();
    if (restMs > 0) await this.#rest.sleep(restMs);
  }

  noteComparison(startMs: number): void {
    const endMs = this.#clock.monotonicMs();
    this.#restUntilMs = endMs + Math.min(MAX_REST_MS, (endMs - startMs) * REST_PER_WORK);
  }

  /** Returns whether the write repeats one that another writer has undone. */
  noteWrite(operation: Operation, leaseId: string): boolean {
    if (!this.#undo.note(operation, leaseId)) return false;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#undoneAtMs < UNDONE_WITHIN_MS) this.#restUntilMs = nowMs + UNDONE_REST_MS;
    this.#undoneAtMs = nowMs;
    return true;
  }

  noteSuccess(): void {
    this.#failuresInARow = 0;
  }

  /** Counts a failure and returns the delay of the next attempt. */
  retryInMs(): number {
    return backoffMs(++this.#failuresInARow, BACKOFF, this.#random);
  }
}

interface LastWrite {
  readonly operation: Operation;
  readonly leaseId: string;
}

const MAX_REMEMBERED = 10_000;

/**
 * Detects another writer that undoes our writes: we write the same value to a key for the second time in a row. One
 * repetition proves nothing, because any client may delete a key. If it happens again and again, another registrar of
 * this engine knows other containers and believes that it holds the lock. Both have to slow down until one of them
 * learns that it does not hold the lock.
 */
class UndoDetector {
  /** By key, the latest write last. */
  readonly #writes = new Map<string, LastWrite>();

  /** Returns whether the last write to that key, under the same lease, was the same one. */
  note(operation: Operation, leaseId: string): boolean {
    const { key } = operation;
    const last = this.#writes.get(key);
    this.#writes.delete(key);
    this.#writes.set(key, { operation, leaseId });
    if (this.#writes.size > MAX_REMEMBERED) {
      const [oldest = ''] = this.#writes.keys();
      this.#writes.delete(oldest);
    }
    return last?.leaseId === leaseId && isSame(last.operation, operation);
  }
}

function isSame(one: Operation, other: Operation): boolean {
  if (one.kind === 'delete' || other.kind === 'delete') return one.kind === other.kind;
  return Buffer.compare(one.value, other.value) === 0;
}
