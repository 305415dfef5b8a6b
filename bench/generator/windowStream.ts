/** A closed loop: a fixed number of pending queries on each socket, which keeps a server busy without overload. */
import type { QuestionCursor } from './cursor.ts';
import { BATCH, type QuerySocket } from './querySocket.ts';
import type { Stream, StreamResult } from './stream.ts';
import { Tally } from './tally.ts';

const LOST_AFTER_MS = 200;

export class WindowStream implements Stream {
  readonly maySleep = true;
  readonly sockets: readonly QuerySocket[];
  readonly #cursor: QuestionCursor;
  readonly #window: number;
  readonly #limit: number;
  readonly #outstanding: Int32Array;
  readonly #lastAnswerMs: Float64Array;
  readonly #tally = new Tally();
  #nextId = 0;

  /** Sends at most `limit` queries. */
  constructor(
    sockets: readonly QuerySocket[],
    cursor: QuestionCursor,
    window: number,
    limit: number,
  ) {
    this.sockets = sockets;
    this.#cursor = cursor;
    this.#window = window;
    this.#limit = limit;
    this.#outstanding = new Int32Array(sockets.length);
    this.#lastAnswerMs = new Float64Array(sockets.length);
  }

  step(elapsedMs: number, maySend: boolean): boolean {
    const isSending = maySend && this.#tally.sent < this.#limit;
    let waiting = 0;
    for (let index = 0; index < this.sockets.length; index++) {
      // In batches, like a busy resolver: one system call for each reply would limit the generator.
      const room = this.#window - (this.#outstanding[index] as number);
      if (isSending && room * 4 >= this.#window) this.#send(index, room);
      this.#receive(index, elapsedMs);
      waiting += this.#outstanding[index] as number;
    }
    return isSending || waiting > 0;
  }

  #send(index: number, room: number): void {
    const socket = this.sockets[index] as QuerySocket;
    const count = Math.min(room, BATCH, this.#limit - this.#tally.sent);
    for (let slot = 0; slot < count; slot++) {
      const id = this.#nextId++ & 0xffff;
      socket.put(slot, this.#cursor.write(socket.octets, socket.at(slot), id));
    }
    const sent = socket.send();
    this.#outstanding[index] = (this.#outstanding[index] as number) + sent;
    this.#tally.sent += sent;
  }

  #receive(index: number, elapsedMs: number): void {
    const socket = this.sockets[index] as QuerySocket;
    for (;;) {
      const count = socket.receive();
      for (let slot = 0; slot < count; slot++)
        this.#tally.count(socket.octets, socket.at(slot), socket.length(slot));
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
