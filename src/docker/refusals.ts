/**
 * What was refused of one container, in a bounded list: metadata is written by strangers, and whatever they write must
 * fit on a status page and be safe on a terminal.
 */
import { printable } from '../printable.ts';
import type { Refusal } from './description.ts';

const MAX_REFUSALS = 16;
const MAX_ABOUT = 80;
const MAX_REASON = 240;

export class Refusals {
  readonly #listed = new Map<string, Refusal>();
  #unlisted = 0;

  /** Each pair is listed once. Text is made printable and cut. */
  add(about: string, reason: string): void {
    if (this.isFull) {
      this.#unlisted++;
      return;
    }
    const refusal = { about: shown(about, MAX_ABOUT), reason: shown(reason, MAX_REASON) };
    this.#listed.set(`${refusal.about}\n${refusal.reason}`, refusal);
  }

  /** Whether what is added now is only counted. */
  get isFull(): boolean {
    return this.#listed.size >= MAX_REFUSALS;
  }

  list(): readonly Refusal[] {
    const listed = [...this.#listed.values()];
    if (this.#unlisted === 0) return listed;
    return [...listed, { about: '...', reason: `and ${this.#unlisted} more` }];
  }
}

/** Text from a container as a message may show it: in one line, printable, at most `length` characters. */
export function shown(text: string, length: number = MAX_ABOUT): string {
  // Cut before escaping too, so that a text of megabytes costs no more than a long one.
  const escaped = printable(text.slice(0, length + 1));
  return escaped.length <= length ? escaped : `${escaped.slice(0, length - 3)}...`;
}

/** The reason to refuse a value, behind the name of what has it. */
export function isNot(value: string, expected: string): string {
  return `is "${shown(value, 40)}", which is not ${expected}`;
}
