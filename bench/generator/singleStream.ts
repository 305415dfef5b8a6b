/**
 * One question at a time, as a program asks that needs the answer before it goes on: the thread sleeps until the answer
 * arrives, and then asks the next question at once.
 */
import type { QuestionCursor } from './cursor.ts';
import { Latencies } from './latency.ts';
import type { QuerySocket } from './querySocket.ts';
import type { Stream, StreamResult } from './stream.ts';
import { Tally } from './tally.ts';

const LOST_AFTER_MS = 200;
const MAX_QUESTIONS = 2_000_000;

export class SingleStream implements Stream {
  readonly maySleep = true;
  readonly sockets: readonly QuerySocket[];
  readonly #socket: QuerySocket;
  readonly #cursor: QuestionCursor;
  readonly #limit: number;
  readonly #elapsedMs: () => number;
  readonly #latencies: Latencies;
  readonly #tally = new Tally();
  #sentMs = 0;
  #isWaiting = false;

  /** Sends at most `limit` queries. `elapsedMs` is the clock of the latencies. */
  constructor(socket: QuerySocket, cursor: QuestionCursor, limit: number, elapsedMs: () => number) {
    this.sockets = [socket];
    this.#socket = socket;
    this.#cursor = cursor;
    this.#limit = Math.min(limit, MAX_QUESTIONS);
    this.#latencies = new Latencies(this.#limit);
    this.#elapsedMs = elapsedMs;
  }

  step(elapsedMs: number, maySend: boolean): boolean {
    if (this.#isWaiting) this.#receive(elapsedMs);
    if (!this.#isWaiting && maySend && this.#tally.sent < this.#limit) this.#send();
    return this.#isWaiting;
  }

  #send(): void {
    const socket = this.#socket;
    socket.put(0, this.#cursor.write(socket.octets, socket.at(0), this.#tally.sent & 0xffff));
    this.#sentMs = this.#elapsedMs();
    this.#tally.sent += socket.send();
    this.#isWaiting = true;
  }

  #receive(elapsedMs: number): void {
    const socket = this.#socket;
    const id = (this.#tally.sent - 1) & 0xffff;
    const count = socket.receive();
    for (let slot = 0; slot < count; slot++) {
      const at = socket.at(slot);
      const of = ((socket.octets[at] as number) << 8) | (socket.octets[at + 1] as number);
      if (of !== id || !this.#tally.count(socket.octets, at, socket.length(slot))) continue;
      this.#latencies.record((this.#elapsedMs() - this.#sentMs) * 1000);
      this.#isWaiting = false;
    }
    if (!this.#isWaiting || elapsedMs - this.#sentMs < LOST_AFTER_MS) return;
    this.#tally.lost++;
    this.#isWaiting = false;
  }

  result(): StreamResult {
    return { ...this.#tally.result(), latency: this.#latencies.summary(this.#tally.lost) };
  }
}
