/** An open loop: sends queries at a fixed rate and records the latency of each answer, unless it reads no answers. */
import type { QuestionCursor } from './cursor.ts';
import { Latencies } from './latency.ts';
import { dueAfter, intendedMs, latestOfId } from './pacing.ts';
import { BATCH, type QuerySocket } from './querySocket.ts';
import type { Stream, StreamResult } from './stream.ts';
import { Tally } from './tally.ts';

const DRAIN_MS = 300;
/** The most batches that a late stream sends before it receives again. */
const MAX_BATCHES = 4;

export interface PacedOptions {
  readonly perSecond: number;
  readonly limit: number;
  /** Reads no answers. */
  readonly blind?: boolean;
}

export class PacedStream implements Stream {
  readonly maySleep = false;
  readonly sockets: readonly QuerySocket[];
  readonly #cursor: QuestionCursor;
  readonly #isBlind: boolean;
  readonly #perSecond: number;
  readonly #limit: number;
  readonly #elapsedMs: () => number;
  /** By id: 1 while the query waits for an answer. */
  readonly #pending = new Uint8Array(0x10000);
  readonly #latencies: Latencies;
  readonly #tally = new Tally();
  #nextSocket = 0;
  #lastSentMs = 0;

  /** Sends `limit` queries. `elapsedMs` is the clock of the times given to `step`. */
  constructor(
    sockets: readonly QuerySocket[],
    cursor: QuestionCursor,
    { perSecond, limit, blind = false }: PacedOptions,
    elapsedMs: () => number,
  ) {
    this.#isBlind = blind;
    this.#elapsedMs = elapsedMs;
    this.sockets = sockets;
    this.#cursor = cursor;
    this.#perSecond = perSecond;
    this.#limit = limit;
    this.#latencies = new Latencies(blind ? 0 : limit);
  }

  step(elapsedMs: number): boolean {
    const isSending = this.#tally.sent < this.#limit; // It sends all queries, even late.
    if (isSending) this.#send(elapsedMs);
    if (this.#isBlind) return isSending;
    for (const socket of this.sockets) this.#receive(socket);
    const isWaiting = this.#tally.answered + this.#tally.lost < this.#tally.sent;
    return isSending || (isWaiting && elapsedMs - this.#lastSentMs < DRAIN_MS);
  }

  #send(elapsedMs: number): void {
    const due = Math.min(dueAfter(elapsedMs, this.#perSecond), this.#limit);
    for (let batch = 0; batch < MAX_BATCHES && this.#tally.sent < due; batch++) {
      const count = Math.min(due - this.#tally.sent, BATCH);
      const socket = this.sockets[this.#nextSocket] as QuerySocket;
      this.#nextSocket = (this.#nextSocket + 1) % this.sockets.length;
      for (let slot = 0; slot < count; slot++) {
        const id = (this.#tally.sent + slot) & 0xffff;
        // The id is reused: a query that still waits with it is lost.
        this.#tally.lost += this.#pending[id] as number;
        this.#pending[id] = 1;
        socket.put(slot, this.#cursor.write(socket.octets, socket.at(slot), id));
      }
      socket.send();
      this.#tally.sent += count; // A query that the kernel refuses counts as lost.
      this.#lastSentMs = elapsedMs;
    }
  }

  #receive(socket: QuerySocket): void {
    const count = socket.receive();
    if (count <= 0) return;
    const receivedMs = this.#elapsedMs();
    const { octets } = socket;
    for (let slot = 0; slot < count; slot++) {
      const at = socket.at(slot);
      const id = ((octets[at] as number) << 8) | (octets[at + 1] as number);
      if (this.#pending[id] === 0 || !this.#tally.count(octets, at, socket.length(slot))) continue;
      this.#pending[id] = 0;
      const index = latestOfId(id, this.#tally.sent);
      this.#latencies.record((receivedMs - intendedMs(index, this.#perSecond)) * 1000);
    }
  }

  result(): StreamResult {
    this.#tally.lost = this.#tally.sent - this.#tally.answered;
    return { ...this.#tally.result(), latency: this.#latencies.summary(this.#tally.lost) };
  }
}
