/**
 * Derived names: names without services of their own, whose answers follow from other names, such as `leader.NAME` from
 * NAME. The table holds those that clients have asked for. A reader hands over a question for a derived name that the
 * table lacks only if the name that it follows from is in the table, so the main thread sees few questions for random
 * names. For a leader that is the name without its first label. For others there are rules, in one immutable block:
 *
 *     words of the block, number of rules, address of each rule relative to the block (longest suffix first)
 *     rule: form, suffix octets, base octets, suffix (padded), base (padded)
 */
import { MAX_NAME_OCTETS } from '../../dns/name.ts';
import { finishHash, hashStep, UNKNOWN_RULES, wordsFor } from '../table/layout.ts';
import { NameBuffer, type NameFinder } from './nameFinder.ts';
import type { QuestionReader } from './question.ts';

/** A rule about the names below a suffix. Names are folded and in wire form. */
export interface PackedRule {
  readonly suffix: Uint8Array;
  readonly base: Uint8Array;
  /** One of `RuleForm`. */
  readonly form: number;
}

/** What the labels in front of the suffix have to be (`DerivedForm` of the zone). */
export const RuleForm = { SERVICE: 0, SRV: 1, WHOLE: 2, ADDRESS: 3, ANY: 4 } as const;

/** Words at the start of a rule. */
const RULE_HEAD_WORDS = 3;

/** Packs the rules into one block. There is at least one, and all suffixes are at or below the shortest one. */
export function packRules(rules: readonly PackedRule[]): Int32Array {
  const longestFirst = [...rules].sort((a, b) => b.suffix.length - a.suffix.length);
  const addresses: number[] = [];
  let size = 2 + longestFirst.length;
  for (const { suffix, base } of longestFirst) {
    addresses.push(size);
    size += RULE_HEAD_WORDS + wordsFor(suffix.length) + wordsFor(base.length);
  }
  const words = new Int32Array(size);
  const octets = new Uint8Array(words.buffer);
  words.set([size, longestFirst.length, ...addresses]);
  longestFirst.forEach(({ form, suffix, base }, i) => {
    const at = addresses[i] as number;
    words.set([form, suffix.length, base.length], at);
    octets.set(suffix, (at + RULE_HEAD_WORDS) * 4);
    octets.set(base, (at + RULE_HEAD_WORDS + wordsFor(suffix.length)) * 4);
  });
  return words;
}

/** Whether a folded name in wire form begins with the label `leader`. */
export function beginsWithLeader(name: Uint8Array): boolean {
  for (let i = 0; i < LEADER_OCTETS.length; i++) if (name[i] !== LEADER_OCTETS[i]) return false;
  return true;
}

/** The label `leader` in wire form. */
export const LEADER_OCTETS: Uint8Array = Uint8Array.from('\x06leader', (letter) =>
  letter.charCodeAt(0),
);
const UNDERSCORE = 0x5f;

export class DerivedCheck {
  /** Address of the current block of rules; 0 for none, or `UNKNOWN_RULES`. */
  block = 0;
  readonly #words: Int32Array;
  readonly #octets: Uint8Array;
  readonly #question: QuestionReader;
  readonly #finder: NameFinder;
  /** The name that is looked for. */
  readonly #buffer = new NameBuffer();
  #length = 0;
  // The labels in front of the suffix of the rule that applies.
  #labels = 0;
  #lastLabelAt = 0;

  constructor(words: Int32Array, octets: Uint8Array, question: QuestionReader, finder: NameFinder) {
    this.#words = words;
    this.#octets = octets;
    this.#question = question;
    this.#finder = finder;
  }

  /** Whether the question's name, which the table lacks, may be a derived name. */
  mayExist(): boolean {
    const { name, nameOctets } = this.#question;
    if (beginsWithLeader(name)) {
      this.#length = 0;
      this.#append(name, LEADER_OCTETS.length, nameOctets);
      if (this.#isInTable()) return true;
    }
    if (this.block === 0) return false;
    return this.block === UNKNOWN_RULES || this.#mayExistByRule();
  }

  #mayExistByRule(): boolean {
    const words = this.#words;
    const { block } = this;
    const end = block + 2 + (words[block + 1] as number);
    // Most questions are for names outside the domain that all rules are about.
    if (!this.#endsWith(block + (words[end - 1] as number))) return false;
    for (let at = block + 2; at < end; at++) {
      const rule = block + (words[at] as number);
      if (this.#endsWith(rule)) return this.#matches(rule);
    }
    return false;
  }

  /** Whether the rule's suffix ends the question's name. If it does, notes the labels in front of it. */
  #endsWith(rule: number): boolean {
    const { name, nameOctets } = this.#question;
    const suffixOctets = this.#words[rule + 1] as number;
    const start = nameOctets - suffixOctets;
    if (start < 0) return false;
    const from = (rule + RULE_HEAD_WORDS) * 4;
    for (let i = 0; i < suffixOctets; i++) {
      if (this.#octets[from + i] !== name[start + i]) return false;
    }
    this.#labels = 0;
    let label = 0;
    for (; label < start; label += 1 + (name[label] as number)) {
      this.#labels++;
      this.#lastLabelAt = label;
    }
    // Octets within a label may equal the suffix.
    return label === start;
  }

  #matches(rule: number): boolean {
    switch (this.#words[rule]) {
      case RuleForm.SERVICE:
        return this.#labels > 0 && this.#hasService(rule);
      case RuleForm.SRV:
        return this.#isServiceForm() && this.#hasService(rule);
      case RuleForm.WHOLE:
        return this.#labels > 0 && this.#hasAtBase(0, rule);
      case RuleForm.ADDRESS:
        return this.#labels === 1 && this.#isHexadecimal();
      default:
        return true;
    }
  }

  /** `_SVC._X`. */
  #isServiceForm(): boolean {
    const { name } = this.#question;
    const isUnderscored = (at: number): boolean =>
      (name[at] as number) > 1 && name[at + 1] === UNDERSCORE;
    return this.#labels === 2 && isUnderscored(0) && isUnderscored(this.#lastLabelAt);
  }

  #hasService(rule: number): boolean {
    if (!this.#isServiceForm()) return this.#hasAtBase(this.#lastLabelAt, rule);
    const { name } = this.#question;
    const { octets } = this.#buffer;
    const length = (name[0] as number) - 1;
    octets[0] = length;
    this.#length = 1;
    this.#append(name, 2, 2 + length);
    return this.#isBelowBase(rule);
  }

  /** Whether the labels from offset `from` to the suffix are a name below the rule's base. */
  #hasAtBase(from: number, rule: number): boolean {
    const { name, nameOctets } = this.#question;
    this.#length = 0;
    this.#append(name, from, nameOctets - (this.#words[rule + 1] as number));
    return this.#isBelowBase(rule);
  }

  #isBelowBase(rule: number): boolean {
    const suffixOctets = this.#words[rule + 1] as number;
    const baseOctets = this.#words[rule + 2] as number;
    if (this.#length + baseOctets > MAX_NAME_OCTETS) return false;
    const from = (rule + RULE_HEAD_WORDS + wordsFor(suffixOctets)) * 4;
    this.#append(this.#octets, from, from + baseOctets);
    return this.#isInTable();
  }

  #isHexadecimal(): boolean {
    const { name } = this.#question;
    const length = name[0] as number;
    if (length !== 8 && length !== 32) return false;
    for (let i = 1; i <= length; i++) {
      const octet = name[i] as number;
      const isDigit = octet >= 0x30 && octet <= 0x39;
      if (!isDigit && !(octet >= 0x61 && octet <= 0x66)) return false;
    }
    return true;
  }

  #append(source: Uint8Array, from: number, to: number): void {
    const { octets } = this.#buffer;
    for (let at = from; at < to; at++) octets[this.#length++] = source[at] as number;
  }

  /** Whether the table has the name in the buffer. */
  #isInTable(): boolean {
    const { octets, words } = this.#buffer;
    const length = this.#length;
    let hash = this.#question.seed;
    for (let i = 0; i < length; i++) hash = hashStep(hash, octets[i] as number);
    octets[length] = 0;
    octets[length + 1] = 0;
    octets[length + 2] = 0;
    return this.#finder.find(finishHash(hash), length, words) !== 0;
  }
}
