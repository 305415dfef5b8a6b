/**
 * Looks for the next packet for some microseconds before the worker sleeps. A thread that sleeps on an idle core answers
 * 20 to 40 µs later, and to sleep and wake up costs CPU time too.
 *
 * An account decides whether a spin is worth it. A spin that found a packet has saved a sleep: it earns what a sleep
 * costs, less its own time. One that found none costs its time. While the account is overdrawn, each sleep pays a little
 * back, so that a spin is tried again now and then. Therefore all spins together cost at most the CPU time of the sleeps
 * that they saved, and `TRIAL_US` for each sleep; an idle worker does not spin. A client on the worker's own core cannot
 * ask during a spin, so there the account ends the spins.
 */
import { EAGAIN, type Libc } from '../../kernel/libc.ts';

/** The longest spin. A client that asks one question after the other takes about half of it for the next one. */
const SPIN_US = 30;
/** What a sleep costs: two switches of the thread, a timer, and the interrupt that wakes an idle core. */
const SLEEP_US = 30;
/** What each sleep pays towards the next trial. */
const TRIAL_US = 1;
/** The account holds the cost of a few failures at most, so that it follows a load that changes. */
const MOST_US = 150;

export class Spin {
  readonly #libc: Libc;
  readonly #nowMs: () => number;
  #balanceUs = 0;

  constructor(libc: Libc, nowMs: () => number = () => performance.now()) {
    this.#libc = libc;
    this.#nowMs = nowMs;
  }

  /**
   * Calls `look`, which makes a system call that does not wait, until it returns something other than 0, or -1 with
   * EAGAIN. Returns that result; 0 if nothing came in time, or without a call if a spin is not worth it.
   */
  look(look: () => number): number {
    if (this.#balanceUs < 0) {
      this.#balanceUs += TRIAL_US;
      return 0;
    }
    let found = look();
    if (!this.#isNothing(found)) return found; // The packet was there: no sleep was saved.
    const beganMs = this.#nowMs();
    let micros = 0;
    do {
      found = look();
      micros = (this.#nowMs() - beganMs) * 1000;
      if (!this.#isNothing(found)) {
        this.#balanceUs = Math.min(this.#balanceUs + SLEEP_US - micros, MOST_US);
        return found;
      }
    } while (micros < SPIN_US);
    this.#balanceUs -= micros;
    return 0;
  }

  #isNothing(found: number): boolean {
    return found === 0 || (found < 0 && this.#libc.errno() === EAGAIN);
  }
}
