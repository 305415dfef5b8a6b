/** An open loop: questions by a timetable, and the time that each answer took. */
import type { QuestionCursor } from './cursor.ts';
import { Latencies } from './latency.ts';
import { BATCH, type Link } from './link.ts';
import { dueAfter, intendedMs, latestOfId } from './pacing.ts';
import type { Stream, StreamResult } from './stream.ts';
import { Tally } from './tally.ts';

const DRAIN_MS = 300;
/** Behind its timetable it asks only so many before it reads again. */
const MAX_BATCHES = 4;

export class PacedStream implements Stream {
  readonly patient = false;
  readonly links: readonly Link[];
  readonly #cursor: QuestionCursor;
  readonly #perSecond: number;
  readonly #limit: number;
  readonly #elapsedMs: () => number;
  /** By id: it waits for an answer. */
  readonly #waiting = new Uint8Array(0x10000);
  readonly #latencies: Latencies;
  readonly #tally = new Tally();
  #nextLink = 0;
  #lastAskedMs = 0;

  /** Asks `limit` questions. `elapsedMs` is the clock that `step` is told the time of. */
  constructor(
    links: readonly Link[],
    cursor: QuestionCursor,
    perSecond: number,
    limit: number,
    elapsedMs: () => number,
  ) {
    this.#elapsedMs = elapsedMs;
    this.links = links;
    this.#cursor = cursor;
    this.#perSecond = perSecond;
    this.#limit = limit;
    this.#latencies = new Latencies(limit);
  }

  step(elapsedMs: number): boolean {
    const asks = this.#tally.sent < this.#limit; // To the last, however late it is.
    if (asks) this.#ask(elapsedMs);
    for (const link of this.links) this.#hear(link);
    const waits = this.#tally.answered + this.#tally.lost < this.#tally.sent;
    return asks || (waits && elapsedMs - this.#lastAskedMs < DRAIN_MS);
  }

  #ask(elapsedMs: number): void {
    const due = Math.min(dueAfter(elapsedMs, this.#perSecond), this.#limit);
    for (let batch = 0; batch < MAX_BATCHES && this.#tally.sent < due; batch++) {
      const count = Math.min(due - this.#tally.sent, BATCH);
      const link = this.links[this.#nextLink] as Link;
      this.#nextLink = (this.#nextLink + 1) % this.links.length;
      for (let slot = 0; slot < count; slot++) {
        const id = (this.#tally.sent + slot) & 0xffff;
        // The id comes round: who still waits for its last answer waits in vain.
        this.#tally.lost += this.#waiting[id] as number;
        this.#waiting[id] = 1;
        link.put(slot, this.#cursor.write(link.octets, link.at(slot), id));
      }
      link.send();
      this.#tally.sent += count; // One that the kernel refuses is lost.
      this.#lastAskedMs = elapsedMs;
    }
  }

  #hear(link: Link): void {
    const count = link.receive();
    if (count <= 0) return;
    const heardMs = this.#elapsedMs();
    const { octets } = link;
    for (let slot = 0; slot < count; slot++) {
      const at = link.at(slot);
      const id = ((octets[at] as number) << 8) | (octets[at + 1] as number);
      if (this.#waiting[id] === 0 || !this.#tally.count(octets, at, link.length(slot))) continue;
      this.#waiting[id] = 0;
      const index = latestOfId(id, this.#tally.sent);
      this.#latencies.record((heardMs - intendedMs(index, this.#perSecond)) * 1000);
    }
  }

  result(): StreamResult {
    this.#tally.lost = this.#tally.sent - this.#tally.answered;
    return { ...this.#tally.result(), latency: this.#latencies.summary(this.#tally.lost) };
  }
}
