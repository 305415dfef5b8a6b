/**
 * Bounded numbers of places for requests that hold on to something: a wait, a long reply. A client has a share of them,
 * and clients that are not trusted have three quarters of them between them, so that no crowd of strangers keeps the
 * servers and registrars out that rely on this one.
 */

/** Leaves the place; twice does no harm. */
export type Leave = () => void;

/** Who wants a place. */
export interface Asker {
  readonly share: string;
  /** Asked only when its share is used up. */
  isTrusted(): Promise<boolean>;
}

export interface Places {
  /** Takes a place; undefined when there is none for this one, nor comes free within `waitMs`. */
  take(asker: Asker, waitMs?: number): Promise<Leave | undefined>;
}

/** At once. A place comes free for some of them only. */
const MAX_WAITING = 64;

interface Waiting {
  readonly share: string;
  readonly isTrusted: boolean;
  readonly settle: (leave: Leave | undefined) => void;
}

export function shares(total: number, perClient: number): Places {
  return new Shares(total, perClient);
}

class Shares implements Places {
  readonly #total: number;
  readonly #perClient: number;
  readonly #forStrangers: number;
  readonly #taken = new Map<string, number>();
  /** In the order of their coming. */
  readonly #waiting = new Set<Waiting>();
  #all = 0;
  #byStrangers = 0;

  constructor(total: number, perClient: number) {
    this.#total = total;
    this.#perClient = perClient;
    this.#forStrangers = Math.ceil((total * 3) / 4);
  }

  async take(asker: Asker, waitMs = 0): Promise<Leave | undefined> {
    const { share } = asker;
    const leave = this.#tryEnter(share, false);
    if (leave !== undefined) return leave;
    const isTrusted = await asker.isTrusted();
    return this.#tryEnter(share, isTrusted) ?? this.#wait(share, isTrusted, waitMs);
  }

  #tryEnter(share: string, isTrusted: boolean): Leave | undefined {
    if (this.#all >= this.#total) return undefined;
    const hasShare =
      (this.#taken.get(share) ?? 0) < this.#perClient && this.#byStrangers < this.#forStrangers;
    if (hasShare) return this.#enter(share);
    return isTrusted ? this.#enter(undefined) : undefined;
  }

  /** Of a share, or beside all shares. */
  #enter(share: string | undefined): Leave {
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

  #wait(share: string, isTrusted: boolean, waitMs: number): Promise<Leave | undefined> | undefined {
    if (waitMs === 0 || this.#waiting.size >= MAX_WAITING) return undefined;
    return new Promise((resolve) => {
      const settle = (leave: Leave | undefined) => {
        clearTimeout(timer);
        this.#waiting.delete(waiting);
        resolve(leave);
      };
      const waiting: Waiting = { share, isTrusted, settle };
      const timer = setTimeout(settle, waitMs, undefined);
      this.#waiting.add(waiting);
    });
  }

  #admit(): void {
    for (const { share, isTrusted, settle } of this.#waiting) {
      if (this.#all >= this.#total) return;
      const leave = this.#tryEnter(share, isTrusted);
      if (leave !== undefined) settle(leave);
    }
  }
}
