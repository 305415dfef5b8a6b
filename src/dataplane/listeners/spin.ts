/**
 * Looks for the next packet for some microseconds before the worker sleeps. A thread that sleeps on an idle core answers
 * 20 to 40 µs later, and to sleep and wake up costs CPU time too.
 *
 * A worker spins while its spins have saved as much CPU time as they cost. A spin that found a packet has saved a sleep:
 * what a sleep costs, less the spin's own time, is added to the time saved. The time of a spin that found none is
 * subtracted. While the sum is negative, each sleep adds a little to it, so that the worker tries a spin again now and
 * then. Therefore all spins together cost at most the CPU time of the sleeps that they saved, and `TRIAL_US` for each
 * sleep; an idle worker does not spin. A client on the worker's own core cannot ask during a spin, so that worker's sum
 * becomes negative, and it stops spinning.
 */
import { EAGAIN, type Libc } from '../../kernel/libc.ts';

/** The longest spin. A client that asks one question after the other takes about half of it for the next one. */
const SPIN_US = 30;
/** What a sleep costs: two switches of the thread, a timer, and the interrupt that wakes an idle core. */
const SLEEP_US = 30;
/** What each sleep adds while the sum is negative. */
const TRIAL_US = 1;
/** The sum is at most the cost of a few vain spins, so that it follows a load that changes. */
const MOST_US = 150;

export class Spin {
  readonly #libc: Libc;
  readonly #nowMs: () => number;
  #savedUs = 0;

  constructor(libc: Libc, nowMs: () => number = () => performance.now()) {
    this.#libc = libc;
    this.#nowMs = nowMs;
  }

  /**
   * Calls `look`, which makes a system call that does not wait, until it returns something other than 0, or -1 with
   * EAGAIN. Returns that result; 0 if nothing came in time, or without a call if a spin is not worth it.
   */
  look(look: () => number): number {
    if (this.#savedUs < 0) {
      this.#savedUs += TRIAL_US;
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
        this.#savedUs = Math.min(this.#savedUs + SLEEP_US - micros, MOST_US);
        return found;
      }
    } while (micros < SPIN_US);
    this.#savedUs -= micros;
    return 0;
  }

  #isNothing(found: number): boolean {
    return found === 0 || (found < 0 && this.#libc.errno() === EAGAIN);
  }
}
