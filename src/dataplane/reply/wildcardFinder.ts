/**
 * Finds the stored wildcard that answers for a name which the table lacks (RFC 4592 §3.3.1): walks up from the name to
 * the closest encloser, the longest suffix that is in the table, and looks whether there is a wildcard below that one.
 * `zone/tree/wildcard.ts` has the same rules for the tree.
 *
 * A look-up reads several words, which a change may replace meanwhile. `isSame` tells whether it has.
 */
import { Control, finishHash, hashStep, labelsOf } from '../table/layout.ts';
import { LEADER_OCTETS } from './derivedCheck.ts';
import { NameBuffer, NameFinder } from './nameFinder.ts';
import type { QuestionReader } from './question.ts';

export class WildcardFinder {
  /** There may be stored wildcards. Set by `beginBatch`. */
  hasWildcards = false;
  readonly #words: Int32Array;
  readonly #question: QuestionReader;
  readonly #names: NameFinder;
  readonly #wildcards: NameFinder;
  readonly #buffer = new NameBuffer();
  #version = 0;
  /** Octets of the name above the wildcard that `find` found last. */
  encloserOctets = 0;

  /** `names` finds the names of the table. */
  constructor(words: Int32Array, question: QuestionReader, names: NameFinder) {
    this.#words = words;
    this.#question = question;
    this.#names = names;
    this.#wildcards = new NameFinder(words, Control.WILDCARDS);
  }

  beginBatch(): void {
    this.hasWildcards = Atomics.load(this.#words, Control.WILDCARDS) !== 0;
  }

  /** Call it before a look-up. False while names come and go, and if the table has the question's name. */
  begin(): boolean {
    this.#version = Atomics.load(this.#words, Control.NAMES_VERSION);
    if ((this.#version & 1) !== 0) return false;
    // The indexes of the batch's begin may lack names that were added to newer ones.
    this.#names.beginBatch();
    this.#wildcards.beginBatch();
    const { hash, nameOctets, nameWords } = this.#question;
    return this.#names.find(hash, nameOctets, nameWords) === 0;
  }

  /** Whether no name has come or gone since `begin`. */
  get isSame(): boolean {
    return Atomics.load(this.#words, Control.NAMES_VERSION) === this.#version;
  }

  /**
   * The record with the answers for the question's name, which is in a zone whose apex has that many octets; 0 if no
   * wildcard answers for it.
   */
  find(apexOctets: number): number {
    const { name, nameOctets } = this.#question;
    const { octets, words } = this.#buffer;
    let below = this.#firstBelow();
    for (let start = below + 1 + (name[below] as number); start < nameOctets; ) {
      const length = nameOctets - start;
      let hash = this.#question.seed;
      for (let i = 0; i < length; i++) {
        const octet = name[start + i] as number;
        octets[i] = octet;
        hash = hashStep(hash, octet);
      }
      octets[length] = 0;
      octets[length + 1] = 0;
      octets[length + 2] = 0;
      hash = finishHash(hash);
      if (this.#names.find(hash, length, words) !== 0) {
        this.encloserOctets = length;
        return this.#isExcluded(below, length === apexOctets)
          ? 0
          : this.#wildcards.find(hash, length, words);
      }
      below = start;
      start += 1 + (name[start] as number);
    }
    return 0;
  }

  /**
   * Where the label begins that is below the longest name that may be in the table: a name with more labels than any
   * in the table is not, so its hash is not needed. Without that limit a name of 127 labels would take 127 hashes.
   */
  #firstBelow(): number {
    const { name } = this.#question;
    let surplus = labelsOf(name) - 1 - Atomics.load(this.#words, Control.MOST_LABELS);
    let below = 0;
    for (; surplus > 0; surplus--) below += 1 + (name[below] as number);
    return below;
  }

  /**
   * Whether no wildcard answers for the name although its closest encloser exists: the label at `below` is the one below
   * the encloser. `leader` is a name that exists, and `dns` of an apex is reserved.
   */
  #isExcluded(below: number, isApex: boolean): boolean {
    return (
      (below > 0 && this.#isLabel(below, LEADER_OCTETS)) ||
      (isApex && this.#isLabel(below, RESERVED))
    );
  }

  #isLabel(at: number, label: Uint8Array): boolean {
    const { name } = this.#question;
    for (let i = 0; i < label.length; i++) if (name[at + i] !== label[i]) return false;
    return true;
  }
}

const RESERVED = Uint8Array.from('\x03dns', (letter) => letter.charCodeAt(0));
