/**
 * Permits for expensive requests, such as a wait or a long reply (see the table in ../limits.ts). Each client has a
 * share of the permits, and all shares together get three quarters of them. The rest is for trusted clients, so many
 * untrusted clients cannot lock out the servers and registrars that rely on this server.
 */
import type { Caller, ClientConnection, Exchange } from './exchange.ts';

/** Releases the permit. A second call does nothing. */
export type Release = () => void;

/** The maximum number of callers that wait at once. Even of these, only some get a permit in time. */
const MAX_WAITING = 64;

interface PermitWaiter {
  readonly share: string;
  readonly isTrusted: boolean;
  readonly finish: (release: Release | undefined) => void;
}

export class Permits {
  readonly #total: number;
  readonly #perClient: number;
  readonly #maxInShares: number;
  readonly #takenByShare = new Map<string, number>();
  /** In the order of their calls. */
  readonly #waiting = new Set<PermitWaiter>();
  #taken = 0;
  #inShares = 0;

  constructor(total: number, perClient: number) {
    this.#total = total;
    this.#perClient = perClient;
    this.#maxInShares = Math.ceil((total * 3) / 4);
  }

  /** Takes a permit; undefined when none is free for this client within `waitMs`. */
  async acquire(caller: Caller, waitMs = 0): Promise<Release | undefined> {
    const { share } = caller;
    const release = this.#tryTake(share, false);
    if (release !== undefined) return release;
    const isTrusted = await caller.isTrusted();
    return this.#tryTake(share, isTrusted) ?? this.#wait(share, isTrusted, waitMs);
  }

  #tryTake(share: string, isTrusted: boolean): Release | undefined {
    if (this.#taken >= this.#total) return undefined;
    const hasShare =
      (this.#takenByShare.get(share) ?? 0) < this.#perClient && this.#inShares < this.#maxInShares;
    if (hasShare) return this.#take(share);
    return isTrusted ? this.#take(undefined) : undefined;
  }

  /** Takes a permit from a client's share, or outside all shares. */
  #take(share: string | undefined): Release {
    this.#count(share, 1);
    let isTaken = true;
    return () => {
      if (!isTaken) return;
      isTaken = false;
      this.#count(share, -1);
      this.#serveWaiting();
    };
  }

  #count(share: string | undefined, more: 1 | -1): void {
    this.#taken += more;
    if (share === undefined) return;
    this.#inShares += more;
    const taken = (this.#takenByShare.get(share) ?? 0) + more;
    if (taken === 0) this.#takenByShare.delete(share);
    else this.#takenByShare.set(share, taken);
  }

  #wait(
    share: string,
    isTrusted: boolean,
    waitMs: number,
  ): Promise<Release | undefined> | undefined {
    if (waitMs === 0 || this.#waiting.size >= MAX_WAITING) return undefined;
    return new Promise((resolve) => {
      const finish = (release: Release | undefined) => {
        clearTimeout(timer);
        this.#waiting.delete(waiting);
        resolve(release);
      };
      const waiting: PermitWaiter = { share, isTrusted, finish };
      const timer = setTimeout(finish, waitMs, undefined);
      this.#waiting.add(waiting);
    });
  }

  #serveWaiting(): void {
    for (const { share, isTrusted, finish } of this.#waiting) {
      if (this.#taken >= this.#total) return;
      const release = this.#tryTake(share, isTrusted);
      if (release !== undefined) finish(release);
    }
  }
}

export type ReleaseLingering = (wasShort?: boolean) => void;

interface KeptPermit {
  readonly release: Release;
  readonly timer: NodeJS.Timeout;
}

/**
 * Permits for long replies. A permit stays taken after the reply was written, because the kernel buffers megabytes for
 * a client that reads nothing. It is released when the client closes the connection (after reading everything, or to
 * stop reading), or after `lingerMs`. Another long reply on the same connection uses the same permit.
 */
export class LingeringPermits {
  readonly #permits: Permits;
  readonly #lingerMs: number;
  readonly #keptBy = new WeakMap<ClientConnection, KeptPermit>();
  readonly #watched = new WeakSet<ClientConnection>();

  constructor(permits: Permits, lingerMs: number) {
    this.#permits = permits;
    this.#lingerMs = lingerMs;
  }

  /** As `Permits.acquire`. The caller releases with `wasShort` if the client has nothing left to read. */
  async acquire(exchange: Exchange, waitMs?: number): Promise<ReleaseLingering | undefined> {
    const kept = this.#takeBack(exchange.connection);
    const release = kept ?? (await this.#permits.acquire(exchange.caller, waitMs));
    if (release === undefined) return undefined;
    const staysOpen = exchange.keepOpen();
    let isReleased = false;
    return (wasShort = false) => {
      if (isReleased) return;
      isReleased = true;
      if (wasShort) release();
      else this.#keep(exchange.connection, release, staysOpen);
    };
  }

  /** Takes back the permit that a connection keeps. */
  #takeBack(connection: ClientConnection): Release | undefined {
    const kept = this.#keptBy.get(connection);
    clearTimeout(kept?.timer);
    this.#keptBy.delete(connection);
    return kept?.release;
  }

  #keep(connection: ClientConnection, release: Release, staysOpen: boolean): void {
    if (staysOpen && !connection.isOpen()) {
      release();
      return;
    }
    const end = () => this.#takeBack(connection)?.();
    this.#keptBy.set(connection, { release, timer: setTimeout(end, this.#lingerMs).unref() });
    if (!staysOpen || this.#watched.has(connection)) return;
    this.#watched.add(connection);
    connection.onClose(end);
  }
}
