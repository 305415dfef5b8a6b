/**
 * The allocator of the table's memory. Only the table's writer uses it.
 *
 * Every block belongs to a size class. Size classes are close together, so little memory is wasted. The free blocks of
 * a class form a list. Its links are the blocks' own first words, so the list takes no memory of its own. Memory that
 * was never allocated is never touched, and costs nothing. When all memory has been allocated once, neighbouring free
 * blocks are joined, so that blocks of other sizes can use it.
 */
import { HEAP_START } from './layout.ts';

/** Up to this size every second number of words has a class; above it, every doubling has `STEPS` classes. */
const FINE_WORDS = 64;
const STEPS = 8;
/** Joining visits all free blocks, so it waits until one part in this many of the heap was freed. */
const JOINED_SHARE = 16;

export class Heap {
  readonly #words: Int32Array;
  /** First free block of each class. The second word of a free block is its class. */
  readonly #free = new Int32Array(classOf(2 ** 29) + 1);
  /** New blocks come from the words between here and `#end`, then from the next span. */
  #top = HEAP_START;
  #end: number;
  #spans: readonly Span[] = [];
  /** No block was ever allocated beyond this address, so all words there are zeros. */
  #fresh = HEAP_START;
  #usedWords = 0;
  /** Words freed since free blocks were last joined. */
  #freedWords = 0;

  constructor(words: Int32Array) {
    this.#words = words;
    this.#end = words.length;
  }

  /** Words in allocated blocks. */
  get usedWords(): number {
    return this.#usedWords;
  }

  get capacityWords(): number {
    return this.#words.length - HEAP_START;
  }

  /**
   * Allocates at least `words` words, whose content is undefined. Returns the block's address; 0 if there is no room.
   */
  allocate(words: number): number {
    const sizeClass = classOf(words);
    let block = this.#tryAllocate(sizeClass);
    if (block === 0 && this.#freedWords > this.capacityWords / JOINED_SHARE) {
      this.#join();
      block = this.#tryAllocate(sizeClass);
    }
    if (block !== 0) this.#usedWords += sizeOf(sizeClass);
    return block;
  }

  /** As `allocate`, filled with zeros. */
  allocateZeroed(words: number): number {
    const fresh = this.#fresh;
    const block = this.allocate(words);
    if (block !== 0 && block < fresh) this.#words.fill(0, block, block + words);
    return block;
  }

  /** Frees a block that was allocated with this number of words. */
  release(block: number, words: number): void {
    const sizeClass = classOf(words);
    this.#link(block, sizeClass);
    this.#usedWords -= sizeOf(sizeClass);
    this.#freedWords += sizeOf(sizeClass);
  }

  #link(block: number, sizeClass: number): void {
    this.#words[block] = this.#free[sizeClass] as number;
    this.#words[block + 1] = sizeClass;
    this.#free[sizeClass] = block;
  }

  #tryAllocate(sizeClass: number): number {
    const block = this.#free[sizeClass] as number;
    if (block !== 0) {
      this.#free[sizeClass] = this.#words[block] as number;
      return block;
    }
    const size = sizeOf(sizeClass);
    while (this.#top + size > this.#end) if (!this.#nextSpan(size)) return 0;
    const cut = this.#top;
    this.#top += size;
    this.#fresh = Math.max(this.#fresh, this.#top);
    return cut;
  }

  /** Switches to the next span of at least `words` words; false if no span is that long. */
  #nextSpan(words: number): boolean {
    const at = this.#spans.findIndex(({ start, end }) => end - start >= words);
    const next = this.#spans[at];
    if (next === undefined) return false;
    this.#spans = [...this.#spans.slice(0, at), ...this.#spans.slice(at + 1)];
    this.#linkRest(this.#top, this.#end);
    this.#top = next.start;
    this.#end = next.end;
    return true;
  }

  /** Turns remaining words into free blocks. */
  #linkRest(start: number, end: number): void {
    let at = start;
    while (end - at >= 2) {
      let sizeClass = classOf(end - at);
      if (sizeOf(sizeClass) > end - at) sizeClass--;
      this.#link(at, sizeClass);
      at += sizeOf(sizeClass);
    }
    this.#fresh = Math.max(this.#fresh, end);
  }

  /** Joins neighbouring free blocks into spans, the largest first. */
  #join(): void {
    this.#linkRest(this.#top, this.#end);
    for (const { start, end } of this.#spans) this.#linkRest(start, end);
    const spans: Span[] = [];
    for (const block of this.#unlinkAll()) {
      const end = block + sizeOf(this.#words[block + 1] as number);
      const last = spans.at(-1);
      if (last?.end === block) last.end = end;
      else spans.push({ start: block, end });
    }
    spans.sort((a, b) => b.end - b.start - (a.end - a.start));
    this.#top = HEAP_START;
    this.#end = HEAP_START;
    this.#spans = spans.slice(0, MAX_SPANS);
    for (const { start, end } of spans.slice(MAX_SPANS)) this.#linkRest(start, end);
    this.#freedWords = 0;
  }

  /** Empties all lists, and returns their blocks in the order of addresses. */
  #unlinkAll(): Int32Array {
    let count = 0;
    for (const first of this.#free) {
      for (let block = first; block !== 0; block = this.#words[block] as number) count++;
    }
    const blocks = new Int32Array(count);
    for (const first of this.#free) {
      for (let block = first; block !== 0; block = this.#words[block] as number) {
        blocks[--count] = block;
      }
    }
    this.#free.fill(0);
    return blocks.sort();
  }
}

/** A run of free words. */
interface Span {
  readonly start: number;
  end: number;
}

/** The smallest spans beyond this number become free blocks again. */
const MAX_SPANS = 1_000;

function classOf(words: number): number {
  if (words <= FINE_WORDS) return (words + 1) >>> 1;
  const doubling = 31 - Math.clz32(words - 1);
  const step = ((words - 1) >>> (doubling - 3)) & (STEPS - 1);
  return FINE_WORDS / 2 + (doubling - 6) * STEPS + step + 1;
}

function sizeOf(sizeClass: number): number {
  const fine = FINE_WORDS / 2;
  if (sizeClass <= fine) return sizeClass * 2;
  const doubling = 6 + Math.floor((sizeClass - fine - 1) / STEPS);
  const step = (sizeClass - fine - 1) % STEPS;
  return (STEPS + step + 1) << (doubling - 3);
}
