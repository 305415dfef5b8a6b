/** Repeats a list of questions and writes each next query into a send buffer. */
import { Draw, type Questions } from './questions.ts';

export class QuestionCursor {
  readonly #questions: Questions;
  readonly #draw: Draw;
  #next: number;

  /** Starts with question number `first` (modulo the count), which also seeds the characters for `?`. */
  constructor(questions: Questions, first: number) {
    this.#questions = questions;
    this.#next = first % questions.count;
    this.#draw = new Draw(first);
  }

  /** Writes the next query; returns its length. Allocates nothing. */
  write(into: Uint8Array, at: number, id: number): number {
    const { octets, offsets, randomAt, randomLength, count } = this.#questions;
    const index = this.#next;
    this.#next = index + 1 === count ? 0 : index + 1;
    const start = offsets[index] as number;
    const length = (offsets[index + 1] as number) - start;
    for (let i = 2; i < length; i++) into[at + i] = octets[start + i] as number;
    into[at] = id >> 8;
    into[at + 1] = id;
    const random = randomLength[index] as number;
    if (random > 0) this.#draw.fill(into, at + (randomAt[index] as number), random);
    return length;
  }
}
