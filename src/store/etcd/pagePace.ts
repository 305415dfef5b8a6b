/**
 * The size of the pages of a snapshot. Pages approach a number of octets. A bulk reader's number falls when etcd is slow,
 * because etcd keeps every page that it builds in memory, several times, until the reader has it: when a thousand
 * servers start at once, large pages would need more memory than etcd has, and would arrive after their deadline. A
 * reader that is alone gets large pages.
 */

export interface Paging {
  /** The number of keys of the first page, which shows how busy etcd is. */
  readonly firstKeys: number;
  readonly pageBytes: number;
  /** Pages of a busy etcd have at least this number of octets, because each page has a fixed cost. */
  readonly leastBytes: number;
  /** Whether the next page is requested before the reader asks for it, as long as etcd is quick. */
  readonly ahead: boolean;
}

export const BULK: Paging = {
  firstKeys: 500,
  pageBytes: 8 << 20,
  leastBytes: 512 << 10,
  ahead: true,
};

export const ON_DEMAND: Paging = {
  firstKeys: 256,
  pageBytes: 512 << 10,
  leastBytes: 512 << 10,
  ahead: false,
};

/** A quick etcd answers the small first page within this time, even if it has a million keys. */
const QUICK_FIRST_MS = 250;
/** The octets of the second page if the first one took longer. */
const CAUTIOUS_BYTES = 1 << 20;
const QUICK_MS = 1_000;
const SLOW_MS = 3_000;
const GROWTH = 2;
const SHRINKAGE = 4;

export class PagePace {
  readonly #paging: Paging;
  #bytes: number;
  #isFirst = true;
  #isBusy = false;

  constructor(paging: Paging) {
    this.#paging = paging;
    this.#bytes = paging.pageBytes;
  }

  /** The octets of the next page. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether to request the next page before the reader asks for it. */
  get ahead(): boolean {
    return this.#paging.ahead && !this.#isBusy;
  }

  /** Records how long etcd took for a page. */
  noteAnswer(tookMs: number): void {
    if (this.#isFirst) this.#noteFirst(tookMs);
    else if (tookMs > SLOW_MS) this.#set(this.#bytes / SHRINKAGE, true);
    else if (tookMs < QUICK_MS) this.#set(this.#bytes * GROWTH, false);
  }

  #noteFirst(tookMs: number): void {
    this.#isFirst = false;
    if (tookMs > QUICK_FIRST_MS) this.#set(CAUTIOUS_BYTES, true);
  }

  #set(bytes: number, isBusy: boolean): void {
    const { leastBytes, pageBytes } = this.#paging;
    this.#bytes = Math.min(Math.max(bytes, leastBytes), pageBytes);
    this.#isBusy = isBusy;
  }
}
