/**
 * How many connections a proxy carries, in all and for each source address.
 *
 * Node accepts every connection at once and cannot leave one in the kernel's queue: a `net.Server` neither pauses nor
 * listens again on its socket. So connections above the limit are accepted and held. Nothing is read from them, and for
 * the client this is as if the kernel held them: it is connected, and what it sends waits in the kernel. As many are
 * held as the kernel would queue; further ones are reset.
 */
export interface ProxyLimits {
  readonly maxConnections: number;
  readonly maxPerSource: number;
}

/** The length of the kernel's queue that Node asks for. */
export const MAX_HELD = 511;

export type Admitted = 'start' | 'hold' | 'connectionLimit' | 'sourceLimit';

/** A connection that is held until another one ends. */
export interface HeldConnection {
  start(): void;
}

export class Admission {
  readonly #limits: ProxyLimits;
  readonly #bySource = new Map<string, number>();
  /** The oldest first. */
  readonly #held = new Set<HeldConnection>();
  #running = 0;
  #isStarting = false;

  constructor(limits: ProxyLimits) {
    this.#limits = limits;
  }

  /**
   * Counts the connection unless a limit forbids it; then the caller resets it. A counted one must be released once.
   * `source`: empty for a client of a Unix socket, to which only the limit in all applies.
   */
  admit(source: string, connection: HeldConnection): Admitted {
    const { maxConnections, maxPerSource } = this.#limits;
    const ofSource = this.#bySource.get(source) ?? 0;
    if (source !== '' && ofSource >= maxPerSource) return 'sourceLimit';
    const isRoom = this.#running < maxConnections && this.#held.size === 0;
    if (!isRoom && this.#held.size >= MAX_HELD) return 'connectionLimit';
    this.#bySource.set(source, ofSource + 1);
    if (isRoom) {
      this.#running += 1;
      return 'start';
    }
    this.#held.add(connection);
    return 'hold';
  }

  /** The connection has ended. Starts the connection that has been held longest, if there is room now. */
  release(source: string, connection: HeldConnection): void {
    const left = (this.#bySource.get(source) ?? 1) - 1;
    if (left === 0) this.#bySource.delete(source);
    else this.#bySource.set(source, left);
    if (!this.#held.delete(connection)) this.#running -= 1;
    this.#startHeld();
  }

  #startHeld(): void {
    if (this.#isStarting) return; // a connection that ended at once: the loop below goes on
    this.#isStarting = true;
    for (const connection of this.#held) {
      if (this.#running >= this.#limits.maxConnections) break;
      this.#held.delete(connection);
      this.#running += 1;
      connection.start();
    }
    this.#isStarting = false;
  }
}
