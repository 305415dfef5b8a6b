/**
 * How many connections a proxy carries, in all and for each source address.
 *
 * Node accepts every connection at once and cannot leave one in the kernel's queue: a `net.Server` neither pauses nor
 * listens again on its socket. So connections above the limit are accepted and held. Nothing is read from them, and for
 * the client this is as if the kernel held them: it is connected, and what it sends waits in the kernel. As many are
 * held as the kernel would queue; further ones are reset.
 *
 * A carrier that follows plans connects a client before this process hears of it. It may only while there is ample room
 * below each limit; those that it has connected meanwhile count as running.
 */
import { MAX_BEGUN } from './carry/carrier.ts';

export interface ProxyLimits {
  readonly maxConnections: number;
  readonly maxPerSource: number;
}

/** The length of the kernel's queue that Node asks for. */
export const MAX_HELD = 511;

const AMPLE_ROOM = 2 * MAX_BEGUN;

export type Admitted = 'start' | 'hold' | 'connectionLimit' | 'sourceLimit';

/** A connection that is held until another one ends. */
export interface HeldConnection {
  start(): void;
}

/** The clients that are connected before they are admitted. */
export interface BegunClients {
  /** Whether there may be more of them; called if there may at the start, and at each change. */
  permit(isPermitted: boolean): void;
  /** How many there are at most now. */
  count(): number;
}

export class Admission {
  readonly #limits: ProxyLimits;
  readonly #bySource = new Map<string, number>();
  /** The oldest first. */
  readonly #held = new Set<HeldConnection>();
  readonly #begun: BegunClients;
  #running = 0;
  /** Source addresses without ample room. */
  #tightSources = 0;
  #isAmple = false;
  #isStarting = false;

  constructor(limits: ProxyLimits, begun: BegunClients) {
    this.#limits = limits;
    this.#begun = begun;
    this.#tellAmple();
  }

  /**
   * Counts the connection unless a limit forbids it; then the caller resets it. A counted one must be released once.
   * `source`: empty for a client of a Unix socket, to which only the limit in all applies. `hasBegun`: it is connected
   * already, so it cannot be held.
   */
  admit(source: string, connection: HeldConnection, hasBegun = false): Admitted {
    const { maxPerSource } = this.#limits;
    const ofSource = this.#bySource.get(source) ?? 0;
    // All clients that have begun may come from this source, and the proxy must admit them.
    const begun = hasBegun ? 0 : this.#begun.count();
    if (source !== '' && ofSource + begun >= maxPerSource) return 'sourceLimit';
    const isRoom = hasBegun || (this.#held.size === 0 && this.#hasRoom());
    if (!isRoom && this.#held.size >= MAX_HELD) return 'connectionLimit';
    this.#setCount(source, ofSource, ofSource + 1);
    if (isRoom) this.#running += 1;
    else this.#held.add(connection);
    this.#tellAmple();
    return isRoom ? 'start' : 'hold';
  }

  /** The connection has ended. Starts the connection that has been held longest, if there is room now. */
  release(source: string, connection: HeldConnection): void {
    const ofSource = this.#bySource.get(source) ?? 1;
    this.#setCount(source, ofSource, ofSource - 1);
    if (!this.#held.delete(connection)) this.#running -= 1;
    this.#startHeld();
    this.#tellAmple();
  }

  #hasRoom(): boolean {
    return this.#running + this.#begun.count() < this.#limits.maxConnections;
  }

  #setCount(source: string, before: number, now: number): void {
    if (now === 0) this.#bySource.delete(source);
    else this.#bySource.set(source, now);
    if (source === '') return;
    const ample = this.#limits.maxPerSource - AMPLE_ROOM;
    if (before <= ample && now > ample) this.#tightSources += 1;
    else if (before > ample && now <= ample) this.#tightSources -= 1;
  }

  #tellAmple(): void {
    const { maxConnections, maxPerSource } = this.#limits;
    const isRoom = this.#running + this.#held.size + AMPLE_ROOM <= maxConnections;
    const isAmple = isRoom && AMPLE_ROOM <= maxPerSource && this.#tightSources === 0;
    if (isAmple === this.#isAmple) return;
    this.#isAmple = isAmple;
    this.#begun.permit(isAmple);
  }

  #startHeld(): void {
    if (this.#isStarting) return; // a connection that ended at once: the loop below goes on
    this.#isStarting = true;
    for (const connection of this.#held) {
      if (!this.#hasRoom()) break;
      this.#held.delete(connection);
      this.#running += 1;
      connection.start();
    }
    this.#isStarting = false;
  }
}
