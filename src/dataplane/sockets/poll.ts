/** Waiting for whichever of several sockets has something to read. */
import { POLLIN, Pollfd } from './layout.ts';
import type { Libc } from './libc.ts';

export class Poll {
  readonly #libc: Libc;
  readonly #count: number;
  readonly #results: Int16Array;
  readonly #at: number;

  constructor(libc: Libc, fds: readonly number[]) {
    const memory = new ArrayBuffer(Math.max(1, fds.length) * Pollfd.SIZE);
    const view = new DataView(memory);
    fds.forEach((fd, i) => {
      view.setInt32(i * Pollfd.SIZE + Pollfd.FD, fd, true);
      view.setInt16(i * Pollfd.SIZE + Pollfd.EVENTS, POLLIN, true);
    });
    this.#libc = libc;
    this.#count = fds.length;
    this.#results = new Int16Array(memory);
    this.#at = libc.addressOf(memory);
  }

  /** How many are ready within that time; -1 and libc's errno if the call failed. */
  wait(timeoutMs: number): number {
    return this.#libc.poll(this.#at, this.#count, timeoutMs);
  }

  /** Of the last call that found any: whether reading socket `i` gives packets, or its error. */
  isReady(i: number): boolean {
    return this.#results[(i * Pollfd.SIZE + Pollfd.REVENTS) / Int16Array.BYTES_PER_ELEMENT] !== 0;
  }
}
