/**
 * Bounded numbers of places for requests that hold on to something: a wait, a long reply. A client has a share of them,
 * and clients that are not trusted have three quarters of them between them, so that no crowd of strangers keeps the
 * servers and registrars out that rely on this one.
 */

/** Leaves the place; twice does no harm. */
export type Release = () => void;

/** Who wants a place. */
export interface Caller {
  readonly share: string;
  /** Asked only when its share is used up. */
  isTrusted(): Promise<boolean>;
}

export interface PermitSource {
  /** Takes a place; undefined when there is none for this one, nor comes free within `waitMs`. */
  acquire(caller: Caller, waitMs?: number): Promise<Release | undefined>;
}

/** At once. A place comes free for some of them only. */
const MAX_WAITING = 64;

interface PermitWaiter {
  readonly share: string;
  readonly isTrusted: boolean;
  readonly finish: (release: Release | undefined) => void;
}

export function shares(total: number, perClient: number): PermitSource {
  return new Permits(total, perClient);
}

class Permits implements PermitSource {
  readonly #total: number;
  readonly #perClient: number;
  readonly #forStrangers: number;
  readonly #taken = new Map<string, number>();
  /** In the order of their coming. */
  readonly #waiting = new Set<PermitWaiter>();
  #all = 0;
  #byStrangers = 0;

  constructor(total: number, perClient: number) {
    this.#total = total;
    this.#perClient = perClient;
    this.#forStrangers = Math.ceil((total * 3) / 4);
  }

  async acquire(caller: Caller, waitMs = 0): Promise<Release | undefined> {
    const { share } = caller;
    const release = this.#tryEnter(share, false);
    if (release !== undefined) return release;
    const isTrusted = await caller.isTrusted();
    return this.#tryEnter(share, isTrusted) ?? this.#wait(share, isTrusted, waitMs);
  }

  #tryEnter(share: string, isTrusted: boolean): Release | undefined {
    if (this.#all >= this.#total) return undefined;
    const hasShare =
      (this.#taken.get(share) ?? 0) < this.#perClient && this.#byStrangers < this.#forStrangers;
    if (hasShare) return this.#enter(share);
    return isTrusted ? this.#enter(undefined) : undefined;
  }

  /** Of a share, or beside all shares. */
  #enter(share: string | undefined): Release {
    this.#count(share, 1);
    let isIn = true;
    return () => {
      if (!isIn) return;
      isIn = false;
      this.#count(share, -1);
      this.#admit();
    };
  }

  #count(share: string | undefined, more: 1 | -1): void {
    this.#all += more;
    if (share === undefined) return;
    this.#byStrangers += more;
    const taken = (this.#taken.get(share) ?? 0) + more;
    if (taken === 0) this.#taken.delete(share);
    else this.#taken.set(share, taken);
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

  #admit(): void {
    for (const { share, isTrusted, finish } of this.#waiting) {
      if (this.#all >= this.#total) return;
      const release = this.#tryEnter(share, isTrusted);
      if (release !== undefined) finish(release);
    }
  }
}
