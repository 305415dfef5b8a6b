/**
 * The size of the pages of a snapshot, and the pauses between them. Pages approach a number of octets. When etcd is slow,
 * a bulk reader takes smaller pages, one at a time, with random pauses. etcd keeps every page that it builds in memory,
 * several times, until the reader has it; and while it builds pages for a thousand servers that start at once, it must
 * still renew leases in time, or names end. A reader that is alone gets large pages without pauses.
 */

export interface Paging {
  /** The number of keys of the first page, which shows how busy etcd is. */
  readonly firstKeys: number;
  readonly pageBytes: number;
  /** Pages of a busy etcd have at least this number of octets: for each page etcd walks its index of all keys. */
  readonly leastBytes: number;
  /** Whether the next page is requested before the reader asks for it, as long as etcd is quick. */
  readonly ahead: boolean;
}

export const BULK: Paging = {
  firstKeys: 500,
  pageBytes: 8 << 20,
  leastBytes: 1 << 20,
  ahead: true,
};

export const ON_DEMAND: Paging = {
  firstKeys: 256,
  pageBytes: 512 << 10,
  leastBytes: 512 << 10,
  ahead: false,
};

/** A quick etcd answers the small first page within this time, even if it has a million keys. */
const QUICK_FIRST_MS = 500;
/** The octets of the second page if the first one took longer. */
const CAUTIOUS_BYTES = 1 << 20;
const QUICK_MS = 1_000;
const SLOW_MS = 3_000;
const GROWTH = 2;
const SHRINKAGE = 4;
/** The ceiling of the pause doubles with each page that is not quick, and halves with each quick one. */
const PAUSE = { minMs: 250, maxMs: 5_000 };

export class PagePace {
  readonly #paging: Paging;
  #bytes: number;
  #isFirst = true;
  #isBusy = false;
  #maxPauseMs = 0;
  readonly #random: () => number;

  /** `random` returns 0 to below 1. */
  constructor(paging: Paging, random: () => number = Math.random) {
    this.#paging = paging;
    this.#bytes = paging.pageBytes;
    this.#random = random;
  }

  /** The octets of the next page. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether to request the next page before the reader asks for it. */
  get ahead(): boolean {
    return this.#paging.ahead && !this.#isBusy;
  }

  /** How long to wait before the next page. */
  pauseMs(): number {
    return this.#random() * this.#maxPauseMs;
  }

  /** Records how long etcd took for a page. */
  noteAnswer(tookMs: number): void {
    if (!this.#paging.ahead) return;
    const quickMs = this.#isFirst ? QUICK_FIRST_MS : QUICK_MS;
    const isQuick = tookMs < quickMs;
    if (this.#isFirst && !isQuick) this.#setBytes(CAUTIOUS_BYTES);
    else if (tookMs > SLOW_MS) this.#setBytes(this.#bytes / SHRINKAGE);
    else if (isQuick) this.#setBytes(this.#bytes * GROWTH);
    this.#isFirst = false;
    this.#isBusy = !isQuick;
    this.#setPause(isQuick);
  }

  #setBytes(bytes: number): void {
    const { leastBytes, pageBytes } = this.#paging;
    this.#bytes = Math.min(Math.max(bytes, leastBytes), pageBytes);
  }

  #setPause(isQuick: boolean): void {
    const { minMs, maxMs } = PAUSE;
    const before = this.#maxPauseMs;
    if (!isQuick) this.#maxPauseMs = Math.min(Math.max(before * 2, minMs), maxMs);
    else this.#maxPauseMs = before / 2 < minMs ? 0 : before / 2;
  }
}
