/**
 * timing/: The clock, and what waits on it: backoff, a sleep that can be woken, deadlines, fair time slices, file stamps.
 * Imports: nothing.
 * Used by: ambassador/follow, ambassador/names, ambassador/nft, ambassador/proxy, ambassador/proxy/carry, app,
 *   app/ambassador, app/answering, app/registrar, cli/host, cli/linking, dataplane/listeners, dnstap, forward,
 *   forward/domains, forward/exchange, forward/tls, registrar, registrar/engine, registrar/leadership,
 *   registrar/observe, registrar/reconcile, server, server/http/api, server/tcp, server/tls, server/transfer, store,
 *   store/embedded, store/etcd, store/file, tools/doctor.
 *
 * Code that keeps deadlines or pauses takes a `Clock`, so that tests can put a fake one in place of the system's.
 */
export interface Clock {
  /** Never goes back and never jumps; its zero is arbitrary. */
  monotonicMs(): number;
  /** Milliseconds since 1970; may jump either way. */
  wallMs(): number;
  /**
   * Calls back once, when `monotonicMs` has advanced by at least the delay. A delay above `MAX_TIMER_MS` fires at once.
   */
  startTimer(delayMs: number, callback: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}

/** The longest delay that Node's timers take. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  startTimer(delayMs, callback) {
    const dueMs = performance.now() + (delayMs <= MAX_TIMER_MS ? delayMs : 0);
    // Node counts whole milliseconds: a timeout often ends a fraction of one early.
    const fire = (): void => {
      const leftMs = dueMs - performance.now();
      if (leftMs > 0) timeout = setTimeout(fire, Math.ceil(leftMs));
      else callback();
    };
    let timeout = setTimeout(fire, delayMs);
    return { cancel: () => clearTimeout(timeout) };
  },
};

/** One timer for a point in time, however far away: a store sets it to the earliest deadline that it has. */
export class Alarm {
  readonly #clock: Clock;
  readonly #callback: () => void;
  #atMs: number | undefined;
  #timer: Timer | undefined;

  constructor(clock: Clock, callback: () => void) {
    this.#clock = clock;
    this.#callback = callback;
  }

  /** Calls back once at or after this monotonic time, in place of the time set before. `undefined` switches it off. */
  set(atMs: number | undefined): void {
    if (atMs === this.#atMs) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#atMs = atMs;
    if (atMs !== undefined) this.#wait(atMs);
  }

  #wait(atMs: number): void {
    const leftMs = Math.ceil(atMs - this.#clock.monotonicMs());
    const delayMs = Math.min(Math.max(leftMs, 1), MAX_TIMER_MS);
    this.#timer = this.#clock.startTimer(delayMs, () => this.#onTimer(atMs));
  }

  #onTimer(atMs: number): void {
    if (this.#clock.monotonicMs() < atMs) {
      this.#wait(atMs);
      return;
    }
    this.#timer = undefined;
    this.#atMs = undefined;
    this.#callback();
  }
}
