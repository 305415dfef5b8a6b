/** How long to wait for promises: a deadline for one promise, and a timeout that adapts to how long answers take. */
import { type Clock, systemClock, type Timer } from './clock.ts';

export interface DeadlineOptions {
  /** Ends the wait early. */
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock;
}

/** The shortest delay of Node's timers. */
const LAST_POLL_MS = 1;

/** Why the wait for a promise ended before the promise did. */
export type WaitEnd = 'timeout' | 'aborted';

/**
 * Settles as `work` does, or with what `instead` returns or throws once `timeoutMs` have passed or the signal is
 * aborted. Leaves no timer and no listener. A later result or rejection of `work` is ignored.
 *
 * If this process was blocked past the deadline, a result that arrived meanwhile still counts: a second timer, which
 * starts when the first one fires, lets the event loop poll once before the wait ends.
 */
export function withDeadline<T, Instead>(
  work: PromiseLike<T>,
  timeoutMs: number,
  instead: (end: WaitEnd) => Instead,
  { signal, clock = systemClock }: DeadlineOptions = {},
): Promise<T | Instead> {
  return new Promise((resolve, reject) => {
    let timer: Timer | undefined;
    const release = (): void => {
      timer?.cancel();
      signal?.removeEventListener('abort', onAbort);
    };
    const end = (reason: WaitEnd): void => {
      release();
      try {
        resolve(instead(reason));
      } catch (error) {
        reject(error);
      }
    };
    const onAbort = (): void => end('aborted');
    work.then(
      (value) => {
        release();
        resolve(value);
      },
      (error: unknown) => {
        release();
        reject(error);
      },
    );
    if (signal?.aborted) return onAbort();
    signal?.addEventListener('abort', onAbort);
    timer = clock.startTimer(timeoutMs - LAST_POLL_MS, () => {
      timer = clock.startTimer(LAST_POLL_MS, () => end('timeout'));
    });
  });
}

/** Longer than etcd takes to elect a leader; the former leader never answers the calls that it received. */
const MIN_TIMEOUT_MS = 2_000;
/** By then a call to etcd has failed by itself. */
const MAX_TIMEOUT_MS = 10_000;
const ANSWER_TIME_FACTOR = 2;
/** A quick answer shortens the timeout to this fraction of its length. */
const DECAY = 0.9;

/**
 * A timeout for a store's answers, twice as long as its last answers took: repeated calls do not make a slow store
 * faster.
 */
export class AdaptiveTimeout {
  #timeoutMs = MIN_TIMEOUT_MS;

  get timeoutMs(): number {
    return this.#timeoutMs;
  }

  /** Call it for each answer, in time or not. */
  noteAnswer(tookMs: number): void {
    const aimMs = Math.max(tookMs * ANSWER_TIME_FACTOR, this.#timeoutMs * DECAY);
    this.#timeoutMs = Math.min(MAX_TIMEOUT_MS, Math.max(MIN_TIMEOUT_MS, aimMs));
  }
}
