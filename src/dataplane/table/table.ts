/**
 * dataplane/table/: The answer table in shared memory: one writer, many readers, no locks.
 * Imports: dns.
 * Used by: app, app/answering, dataplane/cache, dataplane/listeners, dataplane/publish, dataplane/reply,
 *   dataplane/sockets, server, server/tcp.
 *
 * The writer's side of the answer table: it stores owner names and the answers published for each. The publisher
 * decides which names exist, which answers they have, and when an answer is withdrawn. The table never exceeds its
 * memory: it leaves out a name or an answer that finds no room, and counts it.
 */

import { UDP_SIZE } from '../../dns/edns.ts';
import { KIND_COUNT } from './answerKinds.ts';
import { Answers, type NewAnswer } from './answers.ts';
import { Heap } from './heap.ts';
import { Control, HEAP_START, labelsOf, type TableHandle, UNKNOWN_RULES } from './layout.ts';
import { NameSet, NO_ROOM, type TableMemory } from './nameSet.ts';
import { Reclaim } from './reclaim.ts';

export interface TableStats {
  /** Owner names held. */
  readonly names: number;
  readonly answers: number;
  /** Octets in use, with those of retired blocks. */
  readonly usedOctets: number;
  readonly capacityOctets: number;
  /** How often a name or an answer found no room. */
  readonly withoutRoom: number;
}

/** Pairs of the indexes of names and of stored wildcards, at first. */
const NAME_PAIRS = 1 << 12;
const WILDCARD_PAIRS = 1 << 4;

/** When more than this share of the memory is used, `sweep` withdraws expired answers. */
const SCARCE_SHARE = 0.75;
/** Pairs of the index that one call of `sweep` visits: about a millisecond's work. */
const SWEPT_PAIRS = 50_000;

const MIN_OCTETS = 1 << 18;
/** Offsets of octets stay below 2³¹: V8's small integers. */
const MAX_OCTETS = 2 ** 31 - 2 ** 16;

export class AnswerTable {
  readonly handle: TableHandle;
  readonly #words: Int32Array;
  readonly #heap: Heap;
  readonly #reclaim: Reclaim;
  readonly #memory: TableMemory;
  readonly #names: NameSet;
  /** Made with the first stored wildcard: without it readers do not look for any. */
  #wildcards: NameSet | undefined;
  readonly #answers: Answers;
  /** Of the hashes of names. */
  readonly seed: number;
  #missingNames = 0;
  #withoutRoom = 0;

  /**
   * The system commits memory when the table first writes it. `seed` should be hard to guess. Throws RangeError if the
   * address space is too small.
   */
  constructor(capacityOctets: number, seed: number, maxUdpOctets: number = UDP_SIZE) {
    const octets = Math.min(Math.max(capacityOctets, MIN_OCTETS), MAX_OCTETS) & ~3;
    const memory = new SharedArrayBuffer(octets);
    this.handle = { memory, maxUdpOctets };
    this.#words = new Int32Array(memory);
    this.seed = seed | 0;
    this.#words[Control.SEED] = this.seed;
    this.#heap = new Heap(this.#words);
    this.#reclaim = new Reclaim(this.#words, (block, words) => this.#heap.release(block, words));
    this.#memory = {
      words: this.#words,
      octets: new Uint8Array(memory),
      heap: this.#heap,
      reclaim: this.#reclaim,
    };
    this.#answers = new Answers(this.#words, this.#heap, this.#reclaim);
    this.#names = new NameSet(this.#memory, this.seed, Control.INDEX, NAME_PAIRS);
    this.newEra();
  }

  /** Whether readers use the table. Set it when every name is in the table. */
  set active(active: boolean) {
    Atomics.store(this.#words, Control.ACTIVE, active ? 1 : 0);
  }

  set stale(stale: boolean) {
    Atomics.store(this.#words, Control.STALE, stale ? 1 : 0);
  }

  /** See `Control.LOGGED`. */
  set loggedPerSecond(questions: number) {
    Atomics.store(this.#words, Control.LOGGED, questions);
  }

  /** Octets of the longest reply from the table. */
  get maxUdpOctets(): number {
    return this.handle.maxUdpOctets;
  }

  get stats(): TableStats {
    return {
      names: this.#names.size,
      answers: this.#answers.count,
      usedOctets: (HEAP_START + this.#heap.usedWords) * 4,
      capacityOctets: (HEAP_START + this.#heap.capacityWords) * 4,
      withoutRoom: this.#withoutRoom,
    };
  }

  /** Most of the memory is used. */
  get isScarce(): boolean {
    return this.#heap.usedWords >= this.#heap.capacityWords * SCARCE_SHARE;
  }

  /** Adds a folded name in wire form. Returns the address of its record, or `NO_ROOM`; `remove` takes either. */
  add(name: Uint8Array): number {
    return this.#counted(this.#insertName(name));
  }

  /** As `add`, for the stored wildcard below a name; `removeWildcard` takes its result. */
  addWildcard(encloser: Uint8Array): number {
    return this.#counted(this.#insertWildcard(encloser));
  }

  #counted(record: number): number {
    if (record === NO_ROOM) {
      this.#withoutRoom++;
      this.#countMissingNames(1);
    }
    return record;
  }

  /** As `add`, for a name that the table may lack: if it finds no room, it is not counted, and must not be removed. */
  addOptional(name: Uint8Array): number {
    return this.#insertName(name);
  }

  /** Tries again to add a name that found no room. The result replaces that of `add`. */
  retryAdd(name: Uint8Array): number {
    const record = this.#insertName(name);
    if (record !== NO_ROOM) this.#countMissingNames(-1);
    return record;
  }

  /** As `retryAdd`, for a stored wildcard. */
  retryAddWildcard(encloser: Uint8Array): number {
    const record = this.#insertWildcard(encloser);
    if (record !== NO_ROOM) this.#countMissingNames(-1);
    return record;
  }

  #insertName(name: Uint8Array): number {
    const labels = labelsOf(name);
    if (labels > (this.#words[Control.MOST_LABELS] as number))
      Atomics.store(this.#words, Control.MOST_LABELS, labels);
    return this.#names.insert(name);
  }

  #insertWildcard(encloser: Uint8Array): number {
    try {
      this.#wildcards ??= new NameSet(this.#memory, this.seed, Control.WILDCARDS, WILDCARD_PAIRS);
    } catch {
      return NO_ROOM;
    }
    return this.#wildcards.insert(encloser);
  }

  /** Removes a name. */
  remove(record: number): void {
    this.#removeFrom(this.#names, record);
  }

  removeWildcard(record: number): void {
    this.#removeFrom(this.#wildcards, record);
  }

  #removeFrom(records: NameSet | undefined, record: number): void {
    if (record === NO_ROOM) {
      this.#countMissingNames(-1);
      return;
    }
    records?.hide(record);
    this.withdraw(record);
    records?.retire(record);
  }

  /** Names come and go until `endChange`. */
  beginChange(): void {
    Atomics.add(this.#words, Control.NAMES_VERSION, 1);
  }

  endChange(): void {
    Atomics.add(this.#words, Control.NAMES_VERSION, 1);
  }

  /** One of `QuestionLabels`. */
  set questionWildcards(labels: number) {
    Atomics.store(this.#words, Control.QUESTION_WILDCARDS, labels);
  }

  /**
   * Withdraws the name's answers. If clients have got one of them from the table, returns the kinds of these answers and
   * of those without records, as bits; else 0.
   */
  withdraw(record: number): number {
    if (record === NO_ROOM) return 0;
    let asked = 0;
    let empty = 0;
    for (let kind = 0; kind < KIND_COUNT; kind++) {
      const answer = this.#answerOf(record, kind);
      if (answer === 0) continue;
      if (this.#answers.isNodata(answer)) empty |= 1 << kind;
      else if (this.#answers.isAsked(answer)) asked |= 1 << kind;
      this.#answers.withdraw(wordOf(record, kind));
    }
    return asked === 0 ? 0 : asked | empty;
  }

  /** A copy of the name in wire form. */
  nameOf(record: number): Uint8Array {
    return this.#names.nameOf(record);
  }

  /** Whether the name has an answer of the kind that holds at `second`. */
  has(record: number, kind: number, second: number): boolean {
    return record !== NO_ROOM && this.#answers.holds(this.#answerOf(record, kind), second);
  }

  /** Whether the name has a signed answer of the kind that holds at `second`. */
  hasSigned(record: number, kind: number, second: number): boolean {
    if (!this.has(record, kind, second)) return false;
    return this.#answers.holdsSigned(this.#answerOf(record, kind), second);
  }

  /** Publishes the name's answer of a kind; false if there is no room. */
  publish(record: number, kind: number, answer: NewAnswer): boolean {
    const isPublished = record !== NO_ROOM && this.#answers.publish(wordOf(record, kind), answer);
    return isPublished || this.#countWithoutRoom();
  }

  /** Publishes that the name has no records of a kind. With `isSignable` questions with DO get another answer. */
  publishNodata(record: number, kind: number, isSignable = false): boolean {
    return record !== NO_ROOM && this.#answers.publishNodata(wordOf(record, kind), isSignable);
  }

  /** Publishes the answer for questions with DO, beside the published one; false without that one or without room. */
  publishSigned(record: number, kind: number, answer: NewAnswer): boolean {
    if (record === NO_ROOM || !this.#answers.isSignable(this.#answerOf(record, kind))) return false;
    return this.#answers.publishSigned(wordOf(record, kind), answer) || this.#countWithoutRoom();
  }

  #countWithoutRoom(): false {
    this.#withoutRoom++;
    return false;
  }

  #answerOf(record: number, kind: number): number {
    return this.#words[wordOf(record, kind)] as number;
  }

  /** Replaces the replies of NXDOMAIN and NODATA; false if there is no room. */
  setNegatives(words: Int32Array): boolean {
    return this.#setBlock(Control.NEGATIVES, words);
  }

  /**
   * Replaces the rules about derived names (`undefined`: none); false if there is no room. Then any name may be derived.
   */
  setDerivedRules(words: Int32Array | undefined): boolean {
    if (words === undefined) this.#storeBlock(Control.DERIVED, 0);
    else if (!this.#setBlock(Control.DERIVED, words)) {
      Atomics.store(this.#words, Control.DERIVED, UNKNOWN_RULES);
      return false;
    }
    return true;
  }
  /** Replaces a block whose first word is its size, and whose address is a word of the control block. */
  #setBlock(control: number, words: Int32Array): boolean {
    const block = this.#heap.allocate(words.length);
    if (block !== 0) this.#words.set(words, block);
    this.#storeBlock(control, block);
    return block !== 0;
  }

  #storeBlock(control: number, block: number): void {
    const before = Atomics.exchange(this.#words, control, block);
    if (before > 0) this.#reclaim.retire(before, this.#words[before] as number);
  }

  /** Invalidates every published answer. */
  newEra(): void {
    Atomics.add(this.#words, Control.ERA, 1);
    this.#answers.newEra();
  }

  /** Frees the retired blocks that no reader can see. Call it regularly, and after changes. */
  collect(): void {
    this.#reclaim.collect();
  }

  /**
   * When memory is scarce, withdraws the answers of some names that have expired at `second`. Without it, a name that
   * no client asks for again would keep its expired answers.
   */
  sweep(second: number): void {
    if (!this.isScarce) return;
    this.#names.visit(SWEPT_PAIRS, (record) => {
      for (let kind = 0; kind < KIND_COUNT; kind++) {
        const answer = this.#answerOf(record, kind);
        if (answer === 0 || this.#answers.holds(answer, second)) continue;
        this.#answers.withdraw(wordOf(record, kind));
      }
    });
  }

  /** Call this when a thread has ended, possibly in the middle of a batch. */
  forgetReader(thread: number): void {
    this.#reclaim.forget(thread);
  }

  #countMissingNames(by: number): void {
    this.#missingNames += by;
    Atomics.store(this.#words, Control.MISSING_NAMES, this.#missingNames);
  }
}

/** The word of a name record that has the address of the answer of a kind. */
function wordOf(record: number, kind: number): number {
  if (kind >= KIND_COUNT) throw new RangeError(`a name record has no answer word ${kind}`);
  return record + 1 + kind;
}
