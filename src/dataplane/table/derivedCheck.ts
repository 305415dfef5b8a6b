/**
 * Derived names: names without services of their own, whose answers follow from other names, such as `leader.NAME` from
 * NAME. The table holds those that clients have asked for. A reader hands over a question for a derived name that the
 * table lacks only if the name that it follows from is in the table. So the main thread does not see questions for
 * random names.
 */
import { finishHash, hashStep } from './layout.ts';
import { NameBuffer, type NameFinder } from './nameFinder.ts';
import type { QuestionReader } from './question.ts';

/** Whether the name of `nameOctets` octets begins with the label `leader`. */
export function beginsWithLeader(name: Uint8Array): boolean {
  if (name[0] !== LEADER.length) return false;
  for (let i = 0; i < LEADER.length; i++) if (name[1 + i] !== LEADER[i]) return false;
  return true;
}

const LEADER = Uint8Array.from('leader', (letter) => letter.charCodeAt(0));

export class DerivedCheck {
  readonly #question: QuestionReader;
  readonly #finder: NameFinder;
  readonly #buffer = new NameBuffer();

  constructor(question: QuestionReader, finder: NameFinder) {
    this.#question = question;
    this.#finder = finder;
  }

  /** Whether the question's name, which the table lacks, may be a derived name. */
  mayExist(): boolean {
    const { name, nameOctets } = this.#question;
    if (!beginsWithLeader(name)) return false;
    return this.#has(name, 1 + LEADER.length, nameOctets);
  }

  /** Whether the table has the name in `name[from..to)`. */
  #has(name: Uint8Array, from: number, to: number): boolean {
    const { octets, words } = this.#buffer;
    let hash = this.#question.seed;
    let length = 0;
    for (let at = from; at < to; at++) {
      const octet = name[at] as number;
      octets[length++] = octet;
      hash = hashStep(hash, octet);
    }
    octets[length] = 0;
    octets[length + 1] = 0;
    octets[length + 2] = 0;
    return this.#finder.find(finishHash(hash), length, words) !== 0;
  }
}
