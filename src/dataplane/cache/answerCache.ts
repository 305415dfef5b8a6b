/**
 * dataplane/cache/: Keeps other servers' answers in shared memory, where the workers find them.
 * Imports: dataplane/table, dns.
 * Used by: app, app/answering, dataplane/publish, dataplane/reply.
 *
 * The writer's side of the cache. It never exceeds its memory: the oldest answers leave before a new one finds no room.
 * When an answer is the oldest, has not expired, and a reader has found it since it was written, it is written again at
 * the head of the ring instead. So answers that clients ask for stay (the CLOCK algorithm, with the ring as the clock).
 *
 * An answer leaves when its slot no longer has its block. The block stays in the ring until it is the oldest.
 */
import { Control, hashOfName, type TableHandle } from '../table/layout.ts';
import { BlockRing } from './blockRing.ts';
import {
  Blocks,
  blockWords,
  type CachedAnswer,
  type CacheEntry,
  type CacheQuestion,
} from './blocks.ts';
import { Buckets } from './buckets.ts';
import {
  BlockField,
  BUCKET_SLOTS,
  CacheControl,
  NOTE_COUNT,
  NOTES_AT,
  questionHash,
} from './layout.ts';

export interface CacheStats {
  readonly answers: number;
  readonly usedOctets: number;
  readonly capacityOctets: number;
  /** Since the start: answers written, and answers that left before they expired because others needed the memory. */
  readonly published: number;
  readonly evicted: number;
}

export const LEAST_CACHE_OCTETS: number = 1 << 18;

/** This part of the ring stays free, so that a new answer does not wait until readers have left the oldest ones. */
const FREE_PART = 16;
/** The largest block, as a part of the ring. */
const LARGEST_PART = 64;
/** How many blocks that readers have found are written again for one new answer, at most. */
const MOST_MOVED = 16;
/** Octets of memory for each slot of the buckets. An answer takes about 150, so few buckets are ever full. */
const OCTETS_PER_SLOT = 64;

export class AnswerCache {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #blocks: Blocks;
  readonly #buckets: Buckets;
  readonly #ring: BlockRing;
  readonly #seed: number;
  readonly #asked: AskedBefore;
  /** Where the next look for notes begins, so that none waits longer than the others. */
  #nextNote = 0;
  #published = 0;
  #evicted = 0;

  /**
   * The readers of `table` are also the cache's. The system commits memory when the cache first writes it. Throws
   * RangeError if the address space is too small.
   */
  constructor(capacityOctets: number, table: TableHandle) {
    const octets = Math.max(capacityOctets, LEAST_CACHE_OCTETS) & ~7;
    this.memory = new SharedArrayBuffer(octets);
    this.#words = new Int32Array(this.memory);
    this.#blocks = new Blocks(this.#words, new Uint8Array(this.memory));
    const tableWords = new Int32Array(table.memory);
    this.#seed = tableWords[Control.SEED] as number;
    const buckets = 1 << (31 - Math.clz32(octets / OCTETS_PER_SLOT / BUCKET_SLOTS));
    this.#words[CacheControl.BUCKET_MASK] = buckets - 1;
    this.#buckets = new Buckets(this.#words, buckets);
    this.#ring = new BlockRing(this.#words, this.#buckets.end, tableWords);
    this.#asked = new AskedBefore(buckets * BUCKET_SLOTS);
  }

  get stats(): CacheStats {
    return {
      answers: this.#buckets.occupied,
      usedOctets: this.#ring.usedWords * 4,
      capacityOctets: this.memory.byteLength,
      published: this.#published,
      evicted: this.#evicted,
    };
  }

  /** Withdraws every answer by changing one word. Call this when other servers' answers may mean something else. */
  newEra(): void {
    Atomics.add(this.#words, CacheControl.ERA, 1);
  }

  /** The question about a folded name in wire form. */
  question(name: Uint8Array, qtype: number): CacheQuestion {
    return { name, qtype, hash: questionHash(hashOfName(name, this.#seed), qtype) };
  }

  /** Whether the question was asked before; remembers it. */
  ask({ hash }: CacheQuestion): boolean {
    return this.#asked.ask(hash);
  }

  /**
   * Puts the answer in place of an earlier one to the same question. False if there is no room: then the cache has
   * neither.
   */
  publish(entry: CacheEntry, nowSecond: number): boolean {
    const block = this.#allocate(blockWords(entry), nowSecond);
    if (block === 0) {
      this.remove(entry);
      return false;
    }
    this.#blocks.write(block, entry);
    const slot = this.#slotOf(entry) || this.#newSlot(entry.hash, nowSecond);
    this.#buckets.point(slot, entry.hash, block);
    this.#published++;
    return true;
  }

  /**
   * Lets readers serve the answer to the question as a stale one before that second, when it has expired. False if the
   * cache has none.
   */
  serveStale(question: CacheQuestion, untilSecond: number): boolean {
    const slot = this.#slotOf(question);
    return slot !== 0 && this.#blocks.serveStale(this.#buckets.blockIn(slot), untilSecond);
  }

  /** The answer to the question, even if it has expired. */
  find(question: CacheQuestion): CachedAnswer | undefined {
    const slot = this.#slotOf(question);
    return slot === 0 ? undefined : this.#blocks.answerOf(this.#buckets.blockIn(slot));
  }

  remove(question: CacheQuestion): void {
    const slot = this.#slotOf(question);
    if (slot !== 0) this.#buckets.point(slot, 0, 0);
  }

  /**
   * Questions whose answers readers have found in the last part of their lives, `most` of them at most. Notes that this
   * call leaves are for later ones, and a reader that finds no place for its note leaves it to the next reader.
   */
  takeNotes(most: number): CacheQuestion[] {
    const taken: CacheQuestion[] = [];
    for (let i = 0; i < NOTE_COUNT && taken.length < most; i++) {
      const slot = Atomics.exchange(this.#words, NOTES_AT + this.#nextNote, 0);
      this.#nextNote = (this.#nextNote + 1) & (NOTE_COUNT - 1);
      const block = slot === 0 ? 0 : this.#buckets.blockIn(slot);
      // The slot may have got another block since.
      if (block !== 0 && this.#blocks.takeNote(block)) taken.push(this.#blocks.questionOf(block));
    }
    return taken;
  }

  /** Removes the answers to the questions about these names. Returns how many still held at `nowSecond`. */
  flush(isMeant: (name: Uint8Array) => boolean, nowSecond: number): number {
    let removed = 0;
    this.#buckets.visit((slot, block) => {
      if (!isMeant(this.#blocks.questionOf(block).name)) return;
      if (this.#blocks.holds(block, nowSecond)) removed++;
      this.#buckets.point(slot, 0, 0);
    });
    return removed;
  }

  /** Allocates a block; 0 if there is no room. */
  #allocate(words: number, nowSecond: number): number {
    if (words > this.#ring.capacityWords / LARGEST_PART) return 0;
    this.#makeRoom(nowSecond);
    return this.#ring.allocate(words);
  }

  /**
   * Keeps a part of the ring free. If one call cannot, because readers have found too many of the oldest blocks, the
   * next calls continue. When half of that part is used, even such blocks leave.
   */
  #makeRoom(nowSecond: number): void {
    const ring = this.#ring;
    const free = ring.capacityWords / FREE_PART;
    let moved = 0;
    while (ring.usedWords > ring.capacityWords - free) {
      const block = ring.oldest();
      const slot = this.#buckets.holding(block);
      const isPressed = ring.usedWords > ring.capacityWords - free / 2;
      if (slot === 0 || this.#mayGo(block, nowSecond) || (isPressed && moved === MOST_MOVED)) {
        if (slot !== 0) this.#evict(slot, block, nowSecond);
      } else {
        if (moved === MOST_MOVED || !this.#moveToHead(slot, block)) return;
        moved++;
      }
      ring.retireOldest();
    }
  }

  #evict(slot: number, block: number, nowSecond: number): void {
    this.#countEvicted(block, nowSecond);
    this.#buckets.point(slot, 0, 0);
  }

  /** Writes the block again at the head of the ring; false if there is no room. */
  #moveToHead(slot: number, block: number): boolean {
    const copy = this.#ring.allocate(this.#words[block + BlockField.SIZE] as number);
    if (copy === 0) return false;
    this.#blocks.copy(block, copy);
    this.#buckets.repoint(slot, copy);
    return true;
  }

  /** A slot for a question that has none. */
  #newSlot(hash: number, nowSecond: number): number {
    const slot = this.#buckets.choose(hash, (block) => this.#mayGo(block, nowSecond));
    const block = this.#buckets.blockIn(slot);
    if (block !== 0) this.#countEvicted(block, nowSecond);
    return slot;
  }

  /** No client has asked lately, or readers no longer serve the answer. */
  #mayGo(block: number, nowSecond: number): boolean {
    return !this.#blocks.isUsed(block) || !this.#blocks.isServed(block, nowSecond);
  }

  #countEvicted(block: number, nowSecond: number): void {
    if (this.#blocks.holds(block, nowSecond)) this.#evicted++;
  }

  #slotOf(question: CacheQuestion): number {
    return this.#buckets.find(question.hash, (block) => this.#blocks.isOf(block, question));
  }
}

/** The number of places in a group. A question has one of its group's. */
const GROUP = 4;

/**
 * Remembers which questions were asked before, approximately and in fixed memory: a question's hash goes to one of the
 * few places of its group, where that of a later question may replace it.
 */
class AskedBefore {
  readonly #hashes: Uint32Array;
  #next = 0;

  /** `places` is a power of two. */
  constructor(places: number) {
    this.#hashes = new Uint32Array(places);
  }

  /** Whether a question with that hash was asked before. */
  ask(hash: number): boolean {
    const hashes = this.#hashes;
    const sought = hash >>> 0 || 1; // 0 is an empty place
    const first = (sought ^ (sought >>> 16)) & (hashes.length - 1) & -GROUP;
    let place = first + (this.#next++ & (GROUP - 1));
    for (let at = first; at < first + GROUP; at++) {
      if (hashes[at] === sought) return true;
      if (hashes[at] === 0) place = at;
    }
    hashes[place] = sought;
    return false;
  }
}
