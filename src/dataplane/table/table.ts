/**
 * dataplane/table/: The answer table in shared memory: one writer, many readers, no locks.
 * Imports: dns.
 * Used by: app, dataplane/listeners, dataplane/publish, dataplane/sockets, server.
 *
 * The answer table as its one writer sees it: owner names, and for each the answers that were worked out so far.
 *
 * It knows no semantics: whoever writes says which names exist, what is answered, and what no longer holds. What it holds
 * is bounded by the memory that it was given; beyond that names and answers are refused and counted, never garbled.
 */
import { UDP_SIZE } from '../../dns/edns.ts';
import { Heap } from './heap.ts';
import {
  AnswerField,
  answerWordsOf,
  Control,
  FOREVER,
  finishHash,
  HEAP_START,
  hashStep,
  isNegative,
  KINDS,
  packHead,
  RECORD_HEAD_WORDS,
  type TableHandle,
  wordsFor,
} from './layout.ts';
import { NameIndex } from './nameIndex.ts';
import { Reclaim } from './reclaim.ts';

export interface TableStats {
  /** Owner names held. */
  readonly names: number;
  readonly answers: number;
  /** Octets in use, those included that wait until no reader can see them any more. */
  readonly usedOctets: number;
  readonly capacityOctets: number;
  /** How often there was no room for a name or an answer. */
  readonly withoutRoom: number;
}

/** An answer's words, but for what the table itself fills in (`Answer.ERA`, the size in its head). */
export interface NewAnswer {
  readonly untilSecond: number;
  readonly ttlsAtSecond: number;
  readonly rcode: number;
  readonly authoritative: boolean;
  readonly plainOnly: boolean;
  readonly fixedOrder: boolean;
  readonly variants: number;
  /** From `Answer.VARIANTS` on. */
  readonly words: Int32Array;
}

/** A place whose name found no room. */
export const NO_ROOM = -1;

/** From here on answers that no longer hold are looked for. */
const SCARCE_SHARE = 0.75;
/** Names looked at in a call: about a millisecond's. */
const SWEPT_PAIRS = 50_000;

const MIN_OCTETS = 1 << 18;
/** Addresses of octets stay below 2³¹, where V8 counts fastest. */
const MAX_OCTETS = 2 ** 31 - 2 ** 16;

export class AnswerTable {
  readonly handle: TableHandle;
  readonly #words: Int32Array;
  readonly #octets: Uint8Array;
  readonly #heap: Heap;
  readonly #reclaim: Reclaim;
  readonly #index: NameIndex;
  readonly #seed: number;
  /** One answer for all names and types that have none: the zone's SOA, NOERROR. */
  #nodata = 0;
  #answers = 0;
  #missingNames = 0;
  #withoutRoom = 0;

  /** Memory is only taken as it is used. `seed` should be hard to guess. Throws RangeError without address space. */
  constructor(capacityOctets: number, seed: number, maxUdpOctets: number = UDP_SIZE) {
    const octets = Math.min(Math.max(capacityOctets, MIN_OCTETS), MAX_OCTETS) & ~3;
    const memory = new SharedArrayBuffer(octets);
    this.handle = { memory, maxUdpOctets };
    this.#words = new Int32Array(memory);
    this.#octets = new Uint8Array(memory);
    this.#seed = seed | 0;
    this.#words[Control.SEED] = this.#seed;
    this.#heap = new Heap(this.#words);
    this.#reclaim = new Reclaim(this.#words, (block, words) => this.#heap.giveBack(block, words));
    this.#index = new NameIndex(this.#words, this.#heap, this.#reclaim);
    this.newEra();
  }

  /** Whether readers may use the table at all; they may not until every name is in it. */
  set active(active: boolean) {
    Atomics.store(this.#words, Control.ACTIVE, active ? 1 : 0);
  }

  set stale(stale: boolean) {
    Atomics.store(this.#words, Control.STALE, stale ? 1 : 0);
  }

  /** How many questions a second each reader passes on, so that somebody can log them. */
  set loggedPerSecond(questions: number) {
    Atomics.store(this.#words, Control.LOGGED, questions);
  }

  /** The most octets that a reply out of the table may have. */
  get maxUdpOctets(): number {
    return this.handle.maxUdpOctets;
  }

  get stats(): TableStats {
    return {
      names: this.#index.size,
      answers: this.#answers,
      usedOctets: (HEAP_START + this.#heap.usedWords) * 4,
      capacityOctets: (HEAP_START + this.#heap.capacityWords) * 4,
      withoutRoom: this.#withoutRoom,
    };
  }

  /** Holds a folded name in wire form. Gives its place, or `NO_ROOM`; both go back to `remove` one day. */
  add(name: Uint8Array): number {
    const record = this.#hold(name);
    if (record === NO_ROOM) {
      this.#withoutRoom++;
      this.#countMissingNames(1);
    }
    return record;
  }

  /** Holds a name for which there was no room before. Gives what `add` gives, in place of what that gave. */
  retryAdd(name: Uint8Array): number {
    const record = this.#hold(name);
    if (record !== NO_ROOM) this.#countMissingNames(-1);
    return record;
  }

  #hold(name: Uint8Array): number {
    const record = this.#heap.take(recordWords(name.length));
    if (record === 0) return NO_ROOM;
    this.#writeRecord(record, name);
    if (this.#index.add(this.#hash(record), record)) return record;
    this.#heap.giveBack(record, recordWords(name.length));
    return NO_ROOM;
  }

  /** The name is no more. */
  remove(record: number): void {
    if (record === NO_ROOM) {
      this.#countMissingNames(-1);
      return;
    }
    this.#index.remove(this.#hash(record), record);
    this.clear(record);
    this.#reclaim.retire(record, recordWords(this.#words[record] as number));
  }

  /** The name's answers no longer hold. */
  clear(record: number): void {
    if (record === NO_ROOM) return;
    for (let kind = 0; kind < KINDS; kind++) {
      if (this.#words[record + 1 + kind] !== 0) this.#swap(record, kind, 0);
    }
  }

  /** Whether the name has an answer of the kind that still holds at `second`. */
  has(record: number, kind: number, second: number): boolean {
    if (record === NO_ROOM) return false;
    const answer = this.#words[record + 1 + kind] as number;
    if (answer === 0) return false;
    const isOfEra = this.#words[answer + AnswerField.ERA] === this.#words[Control.ERA];
    return isOfEra && (this.#words[answer + AnswerField.UNTIL] as number) > second;
  }

  /** Publishes the name's answer of a kind; false when there is no room. */
  publish(record: number, kind: number, answer: NewAnswer): boolean {
    const block = record === NO_ROOM ? 0 : this.#newAnswer(answer, false);
    if (block === 0) {
      this.#withoutRoom++;
      return false;
    }
    this.#swap(record, kind, block);
    this.#answers++;
    return true;
  }

  /** Publishes that the name has nothing of a kind. */
  publishNodata(record: number, kind: number): boolean {
    if (this.#nodata === 0) this.#nodata = this.#newNodata();
    if (record === NO_ROOM || this.#nodata === 0) return false;
    this.#swap(record, kind, this.#nodata);
    return true;
  }

  /** Replaces what names that do not exist get, and NODATA; false when there is no room. */
  setNegatives(words: Int32Array): boolean {
    const block = this.#heap.take(words.length);
    if (block !== 0) this.#words.set(words, block);
    const before = Atomics.exchange(this.#words, Control.NEGATIVES, block);
    if (before !== 0) this.#reclaim.retire(before, this.#words[before] as number);
    return block !== 0;
  }

  /** Nothing that was published so far holds any longer. */
  newEra(): void {
    Atomics.add(this.#words, Control.ERA, 1);
    // Answers of the era before may still lead to the old one, but no reader follows them; it is never given back.
    this.#nodata = this.#newNodata();
  }

  /** Makes room out of what nobody reads any more; to be called now and then, after changes. */
  collect(): void {
    this.#reclaim.collect();
  }

  /**
   * Where room is getting scarce, takes away answers that no longer hold at `second`, of some of the names at each call:
   * a name that nobody asks for any more would keep its own for ever.
   */
  sweep(second: number): void {
    if (this.#heap.usedWords < this.#heap.capacityWords * SCARCE_SHARE) return;
    this.#index.visit(SWEPT_PAIRS, (record) => {
      for (let kind = 0; kind < KINDS; kind++) {
        if (this.#words[record + 1 + kind] === 0 || this.has(record, kind, second)) continue;
        this.#swap(record, kind, 0);
      }
    });
  }

  /** The thread ended, and with it the batch that it was in. */
  forgetReader(thread: number): void {
    this.#reclaim.forget(thread);
  }

  #swap(record: number, kind: number, block: number): void {
    const before = Atomics.exchange(this.#words, record + 1 + kind, block);
    if (before === 0) return;
    const head = this.#words[before + AnswerField.HEAD] as number;
    if (isNegative(head)) return;
    this.#answers--;
    this.#reclaim.retire(before, answerWordsOf(head));
  }

  #newNodata(): number {
    const holds = { untilSecond: FOREVER, ttlsAtSecond: 0, words: new Int32Array(0) };
    const flags = { authoritative: true, plainOnly: false, fixedOrder: false };
    const head = { rcode: 0, variants: 0, ...flags };
    return this.#newAnswer({ ...holds, ...head }, true);
  }

  #newAnswer(answer: NewAnswer, negative: boolean): number {
    const { untilSecond, ttlsAtSecond, ...head } = answer;
    const words = AnswerField.VARIANTS + answer.words.length;
    const block = this.#heap.take(words);
    if (block === 0) return 0;
    this.#words[block + AnswerField.UNTIL] = untilSecond;
    this.#words[block + AnswerField.TTLS_AT] = ttlsAtSecond;
    this.#words[block + AnswerField.ERA] = this.#words[Control.ERA] as number;
    this.#words[block + AnswerField.HEAD] = packHead({ ...head, negative, words });
    this.#words.set(answer.words, block + AnswerField.VARIANTS);
    return block;
  }

  #writeRecord(record: number, name: Uint8Array): void {
    const end = record + recordWords(name.length);
    this.#words[record] = name.length;
    this.#words.fill(0, record + 1, end);
    this.#octets.set(name, (record + RECORD_HEAD_WORDS) * 4);
  }

  #hash(record: number): number {
    const start = (record + RECORD_HEAD_WORDS) * 4;
    const end = start + (this.#words[record] as number);
    let hash = this.#seed;
    for (let at = start; at < end; at++) hash = hashStep(hash, this.#octets[at] as number);
    return finishHash(hash);
  }

  #countMissingNames(by: number): void {
    this.#missingNames += by;
    Atomics.store(this.#words, Control.MISSING_NAMES, this.#missingNames);
  }
}

function recordWords(nameOctets: number): number {
  return RECORD_HEAD_WORDS + wordsFor(nameOctets);
}
