/** A closed loop: so many questions outstanding on each socket, which is what keeps a server busy and no more. */
import type { QuestionCursor } from './cursor.ts';
import { BATCH, type Link } from './link.ts';
import type { Stream, StreamResult } from './stream.ts';
import { Tally } from './tally.ts';

const LOST_AFTER_MS = 200;

export class WindowStream implements Stream {
  readonly patient = true;
  readonly links: readonly Link[];
  readonly #cursor: QuestionCursor;
  readonly #window: number;
  readonly #limit: number;
  readonly #outstanding: Int32Array;
  readonly #lastAnswerMs: Float64Array;
  readonly #tally = new Tally();
  #nextId = 0;

  /** Asks at most `limit` questions. */
  constructor(links: readonly Link[], cursor: QuestionCursor, window: number, limit: number) {
    this.links = links;
    this.#cursor = cursor;
    this.#window = window;
    this.#limit = limit;
    this.#outstanding = new Int32Array(links.length);
    this.#lastAnswerMs = new Float64Array(links.length);
  }

  step(elapsedMs: number, mayAsk: boolean): boolean {
    const asks = mayAsk && this.#tally.sent < this.#limit;
    let waiting = 0;
    for (let index = 0; index < this.links.length; index++) {
      // In bulk, as a busy resolver does: a system call for each reply would be the generator's limit.
      const room = this.#window - (this.#outstanding[index] as number);
      if (asks && room * 4 >= this.#window) this.#ask(index, room);
      this.#hear(index, elapsedMs);
      waiting += this.#outstanding[index] as number;
    }
    return asks || waiting > 0;
  }

  #ask(index: number, room: number): void {
    const link = this.links[index] as Link;
    const count = Math.min(room, BATCH, this.#limit - this.#tally.sent);
    for (let slot = 0; slot < count; slot++) {
      const id = this.#nextId++ & 0xffff;
      link.put(slot, this.#cursor.write(link.octets, link.at(slot), id));
    }
    const sent = link.send();
    this.#outstanding[index] = (this.#outstanding[index] as number) + sent;
    this.#tally.sent += sent;
  }

  #hear(index: number, elapsedMs: number): void {
    const link = this.links[index] as Link;
    for (;;) {
      const count = link.receive();
      for (let slot = 0; slot < count; slot++)
        this.#tally.count(link.octets, link.at(slot), link.length(slot));
      if (count <= 0) break;
      this.#lastAnswerMs[index] = elapsedMs;
      this.#outstanding[index] = Math.max(0, (this.#outstanding[index] as number) - count);
      if (count < BATCH) return;
    }
    if (elapsedMs - (this.#lastAnswerMs[index] as number) < LOST_AFTER_MS) return;
    this.#tally.lost += this.#outstanding[index] as number;
    this.#outstanding[index] = 0;
    this.#lastAnswerMs[index] = elapsedMs;
  }

  result(): StreamResult {
    return this.#tally.result();
  }
}
