/**
 * The open connections of a listener, and how many of them each client has. At the limit a new connection takes the
 * place of the one that has been idle longest, so a flood of idle connections evicts no connection that was active more
 * recently than the flood's own. If all of them have a query under way, the new one has no room.
 */
import type { Socket } from 'node:net';

export interface OpenConnection {
  /** Undefined while a query is under way. */
  readonly idleSinceMs: number | undefined;
  /** Closes the connection if a time limit of its has passed. */
  checkTimes(): void;
  /** Closes the connection after the replies to the queries under way. */
  finish(): void;
  destroy(): void;
}

export interface OpenCounters {
  accepted: number;
  /** Open now. */
  open: number;
  /** Closed on accept because all connections were busy. */
  refused: number;
  /** Closed because the client had `connectionsPerClient`. */
  refusedPerClient: number;
  /** Closed while idle, for a new connection. */
  evicted: number;
}

export interface OpenLimits {
  /** The most connections that are open at a time. */
  readonly connections: number;
  /** The most connections that are open at a time from one client address. */
  readonly connectionsPerClient: number;
}

export class OpenConnections<T extends OpenConnection> {
  readonly #limits: OpenLimits;
  readonly #checkMs: number;
  readonly #counters: OpenCounters;
  /** Each with its client's address. */
  readonly #open = new Map<T, string>();
  readonly #openByAddress = new Map<string, number>();
  #isFinishing = false;
  #checks: NodeJS.Timeout | undefined;

  /** Checks the time limits of all connections every `checkMs`. Counts all but `refusedPerClient`. */
  constructor(limits: OpenLimits, checkMs: number, counters: OpenCounters) {
    this.#limits = limits;
    this.#checkMs = checkMs;
    this.#counters = counters;
  }

  /** Whether the client may have one connection more. */
  hasShare(address: string): boolean {
    return (this.#openByAddress.get(address) ?? 0) < this.#limits.connectionsPerClient;
  }

  /** Makes room for one connection more; false if all open ones are busy. */
  makeRoom(): boolean {
    if (this.#open.size < this.#limits.connections || this.#evictLongestIdle()) return true;
    this.#counters.refused += 1;
    return false;
  }

  /** `onClose` is called when the socket has closed, after the connection has left its client's share. */
  add(connection: T, socket: Socket, address: string, onClose: () => void = () => {}): void {
    this.#open.set(connection, address);
    this.#openByAddress.set(address, (this.#openByAddress.get(address) ?? 0) + 1);
    this.#counters.accepted += 1;
    this.#counters.open = this.#open.size;
    socket.on('close', () => {
      this.#remove(connection);
      onClose();
    });
    // One timer for all connections, since a timer for each would be set again at every message.
    this.#checks ??= setInterval(() => {
      for (const each of this.#open.keys()) each.checkTimes();
    }, this.#checkMs);
    if (this.#isFinishing) connection.finish();
  }

  /** Finishes the connections, also those that are added later. */
  finishAll(): void {
    this.#isFinishing = true;
    for (const connection of this.#open.keys()) connection.finish();
  }

  destroyAll(): void {
    for (const connection of this.#open.keys()) connection.destroy();
  }

  #evictLongestIdle(): boolean {
    let longestIdle: T | undefined;
    let since = Number.POSITIVE_INFINITY;
    for (const connection of this.#open.keys()) {
      const idleSince = connection.idleSinceMs ?? Number.POSITIVE_INFINITY;
      if (idleSince >= since) continue;
      since = idleSince;
      longestIdle = connection;
    }
    if (longestIdle === undefined) return false;
    longestIdle.destroy();
    this.#remove(longestIdle);
    this.#counters.evicted += 1;
    return true;
  }

  /** Called twice for an evicted connection: at the eviction, and when its socket has closed. */
  #remove(connection: T): void {
    const address = this.#open.get(connection);
    if (address === undefined) return;
    this.#open.delete(connection);
    const left = (this.#openByAddress.get(address) ?? 1) - 1;
    if (left === 0) this.#openByAddress.delete(address);
    else this.#openByAddress.set(address, left);
    this.#counters.open = this.#open.size;
    if (this.#open.size > 0) return;
    clearInterval(this.#checks);
    this.#checks = undefined;
  }
}
