/**
 * How a worker hands packets to the main thread: a ring of places in shared memory, one writer, one reader. The writer
 * never waits: where the ring is full the oldest packet is overwritten and counted.
 *
 * Invariant: a place's words are touched only by who has taken it, by changing its state to BUSY with a compare and
 * exchange; so no packet is ever read half. Who finds a place BUSY leaves it: the writer drops its packet, the reader
 * knows that this place's packet is just being overwritten.
 */
import { copyWords, Envelope } from './envelope.ts';
import { type Batch, PACKET_OCTETS } from './sockets/batch.ts';

/** Packets that wait for the main thread. At 20 µs an answer, a full ring is 10 ms of work. */
export const RING_PACKETS = 512;

const WORD = Int32Array.BYTES_PER_ELEMENT;
const EMPTY = 0;
const FULL = 1;
const BUSY = 2;

/** Words of a ring: how many packets were ever put, padded to a cache line; then the places. */
const HEAD = 0;
const PLACES_AT = 16;
/** Words of a place. */
const STATE = 0;
const ENVELOPE = 1;
const PACKET = ENVELOPE + Envelope.WORDS;
const PLACE_WORDS = PACKET + PACKET_OCTETS / WORD;
const RING_WORDS = PLACES_AT + RING_PACKETS * PLACE_WORDS;

/** A thread's two rings: questions whose answers will soon be in the table, and all others. */
export const LANES = ['known', 'other'] as const;
export type Lane = (typeof LANES)[number];

/** Memory for the rings of workers, whose threads are numbered from 1. */
export function newRingMemory(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer(workers * LANES.length * RING_WORDS * WORD);
}

function ringWords(memory: SharedArrayBuffer, thread: number, lane: Lane): Int32Array {
  const ring = (thread - 1) * LANES.length + LANES.indexOf(lane);
  return new Int32Array(memory, ring * RING_WORDS * WORD, RING_WORDS);
}

function placeOf(position: number): number {
  return PLACES_AT + (position & (RING_PACKETS - 1)) * PLACE_WORDS;
}

/** The worker's end. */
export class RingWriter {
  readonly #words: Int32Array;
  #head: number;

  constructor(memory: SharedArrayBuffer, thread: number, lane: Lane) {
    this.#words = ringWords(memory, thread, lane);
    this.#head = Atomics.load(this.#words, HEAD); // a predecessor may have died
  }

  /** Puts packet `i` of the batch; false if one had to give way: the oldest or, rarely, this one. */
  put(batch: Batch, i: number): boolean {
    const words = this.#words;
    const place = placeOf(this.#head);
    const state = Atomics.load(words, place + STATE);
    if (state === BUSY || Atomics.compareExchange(words, place + STATE, state, BUSY) !== state)
      return false;
    fill(words, place, batch, i);
    Atomics.store(words, place + STATE, FULL);
    this.#head = (this.#head + 1) | 0;
    Atomics.store(words, HEAD, this.#head);
    return state === EMPTY;
  }
}

function fill(words: Int32Array, place: number, batch: Batch, i: number): void {
  const envelope = place + ENVELOPE;
  const length = batch.length(i);
  const { socket } = batch;
  words[envelope + Envelope.FD] = socket.fd;
  words[envelope + Envelope.LENGTH] = length;
  const from = batch.words;
  copyWords(from, batch.nameAt(i) / WORD, words, envelope + Envelope.NAME, Envelope.NAME_WORDS);
  words[envelope + Envelope.CONTROL_OCTETS] = socket.packetInfo ? batch.controlOctets(i) : 0;
  if (socket.packetInfo) {
    const { CONTROL, CONTROL_WORDS } = Envelope;
    copyWords(from, batch.controlAt(i) / WORD, words, envelope + CONTROL, CONTROL_WORDS);
  }
  copyWords(from, batch.packetAt(i) / WORD, words, place + PACKET, (length + WORD - 1) >> 2);
}

/** A packet out of a ring; the same memory for each. */
export class Handed {
  readonly #memory = new ArrayBuffer(Envelope.WORDS * WORD + PACKET_OCTETS);
  readonly envelope: Int32Array = new Int32Array(this.#memory, 0, Envelope.WORDS);
  readonly words: Int32Array = new Int32Array(this.#memory);

  get packet(): Uint8Array {
    const length = this.envelope[Envelope.LENGTH] as number;
    return new Uint8Array(this.#memory, Envelope.WORDS * WORD, length);
  }
}

/** The main thread's end. */
export class RingReader {
  /** Packets gave way to later ones since this was last set to false. */
  overran = false;
  readonly #words: Int32Array;
  #tail = 0;

  constructor(memory: SharedArrayBuffer, thread: number, lane: Lane) {
    this.#words = ringWords(memory, thread, lane);
  }

  isEmpty(): boolean {
    return Atomics.load(this.#words, HEAD) === this.#tail;
  }

  /** Takes the oldest packet; false if there is none. */
  take(into: Handed): boolean {
    const words = this.#words;
    const head = Atomics.load(words, HEAD);
    // What was put more than a ring ago was overwritten.
    if (((head - this.#tail) | 0) > RING_PACKETS) {
      this.#tail = (head - RING_PACKETS) | 0;
      this.overran = true;
    }
    while (this.#tail !== head) {
      const place = placeOf(this.#tail);
      this.#tail = (this.#tail + 1) | 0;
      // Otherwise its packet gave way to a later one, which comes in its turn or was taken in this one's.
      if (Atomics.compareExchange(words, place + STATE, FULL, BUSY) !== FULL) continue;
      copyWords(words, place + ENVELOPE, into.words, 0, Envelope.WORDS);
      const length = into.envelope[Envelope.LENGTH] as number;
      const packetWords = (length + WORD - 1) >> 2;
      copyWords(words, place + PACKET, into.words, Envelope.WORDS, packetWords);
      Atomics.store(words, place + STATE, EMPTY);
      return true;
    }
    return false;
  }

  /** Gives back the place that a writer died in. To be called while there is no writer. */
  mend(): void {
    for (let position = 0; position < RING_PACKETS; position++)
      Atomics.compareExchange(this.#words, placeOf(position) + STATE, BUSY, EMPTY);
  }
}
