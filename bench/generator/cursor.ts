/** Goes round and round through the questions and writes the next one where it is to be sent from. */
import { Draw, type Questions } from './questions.ts';

export class QuestionCursor {
  readonly #questions: Questions;
  readonly #draw: Draw;
  #next: number;

  /** Begins with the question `first`, counted round; it also seeds what `?` becomes. */
  constructor(questions: Questions, first: number) {
    this.#questions = questions;
    this.#next = first % questions.count;
    this.#draw = new Draw(first);
  }

  /** Gives back the length of the message. Allocates nothing. */
  write(into: Uint8Array, at: number, id: number): number {
    const { octets, offsets, randomAt, randomLength, count } = this.#questions;
    const index = this.#next;
    this.#next = index + 1 === count ? 0 : index + 1;
    const begin = offsets[index] as number;
    const length = (offsets[index + 1] as number) - begin;
    for (let i = 2; i < length; i++) into[at + i] = octets[begin + i] as number;
    into[at] = id >> 8;
    into[at + 1] = id;
    const random = randomLength[index] as number;
    if (random > 0) this.#draw.fill(into, at + (randomAt[index] as number), random);
    return length;
  }
}
