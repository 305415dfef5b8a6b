/**
 * How a worker hands over a miss to the main thread: a ring of slots in shared memory, with one writer and one reader.
 * The writer never waits: in a full ring it overwrites the oldest packet, and the worker counts that.
 *
 * Invariant: a thread reads or writes a slot's words only after it has changed the slot's state to BUSY by a compare
 * and exchange, so the reader never takes half a packet. A thread that finds a slot BUSY does not use it. The writer
 * then drops its own packet. The reader goes on to the next slot, because the writer is overwriting this one.
 */
import { type Batch, PACKET_OCTETS } from '../sockets/batch.ts';
import { copyWords, Envelope } from '../sockets/layout.ts';

/** A thread's rings: one for pending questions, one for wildcards, and one for all other misses (`Outcome`). */
export type RingKind = 'pending' | 'slow' | 'wildcard';

/**
 * Number of packets that a ring holds, a power of two. At 20 µs an answer a full slow ring is 10 ms of work. After a
 * change every question about the name is a miss until the first of them has been answered, so the pending ring must
 * hold them while the main thread waits for a busy core. A wildcard may cost a millisecond.
 */
export const RING_PACKETS: Readonly<Record<RingKind, number>> = {
  pending: 2048,
  slow: 512,
  wildcard: 32,
};

const WORD = Int32Array.BYTES_PER_ELEMENT;
const EMPTY = 0;
const FULL = 1;
const BUSY = 2;

/** Words of a ring: how many packets were ever put into it, padded to a cache line; then the slots. */
const HEAD = 0;
const SLOTS_AT = 16;
/** Words of a slot. */
const STATE = 0;
const ENVELOPE = 1;
const PACKET = ENVELOPE + Envelope.WORDS;
const SLOT_WORDS = PACKET + PACKET_OCTETS / WORD;

function ringWords(packets: number): number {
  return SLOTS_AT + packets * SLOT_WORDS;
}

/** Where each ring of a thread begins, in words from the first of the thread's rings. */
const RING_AT: Readonly<Record<RingKind, number>> = {
  pending: 0,
  slow: ringWords(RING_PACKETS.pending),
  wildcard: ringWords(RING_PACKETS.pending) + ringWords(RING_PACKETS.slow),
};
const THREAD_WORDS = RING_AT.wildcard + ringWords(RING_PACKETS.wildcard);

/** Memory for the rings of this many workers; their threads are numbered from 1. */
export function newRingMemory(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer(workers * THREAD_WORDS * WORD);
}

/** What both ends of a ring share. */
class Ring {
  readonly words: Int32Array;
  readonly packets: number;

  constructor(memory: SharedArrayBuffer, thread: number, kind: RingKind) {
    this.packets = RING_PACKETS[kind];
    const at = (thread - 1) * THREAD_WORDS + RING_AT[kind];
    this.words = new Int32Array(memory, at * WORD, ringWords(this.packets));
  }

  slotAt(position: number): number {
    return SLOTS_AT + (position & (this.packets - 1)) * SLOT_WORDS;
  }
}

/** The worker's end. */
export class RingWriter {
  readonly #ring: Ring;
  #head: number;

  constructor(memory: SharedArrayBuffer, thread: number, kind: RingKind) {
    this.#ring = new Ring(memory, thread, kind);
    this.#head = Atomics.load(this.#ring.words, HEAD); // an earlier worker on this thread number may have died
  }

  /**
   * Puts packet `i` of the batch into the ring; false if that dropped a packet: the oldest one or, rarely, this one.
   */
  put(batch: Batch, i: number): boolean {
    const { words } = this.#ring;
    const slot = this.#ring.slotAt(this.#head);
    const state = Atomics.load(words, slot + STATE);
    if (state === BUSY || Atomics.compareExchange(words, slot + STATE, state, BUSY) !== state)
      return false;
    fill(words, slot, batch, i);
    Atomics.store(words, slot + STATE, FULL);
    this.#head = (this.#head + 1) | 0;
    Atomics.store(words, HEAD, this.#head);
    return state === EMPTY;
  }
}

function fill(words: Int32Array, slot: number, batch: Batch, i: number): void {
  const envelope = slot + ENVELOPE;
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
  copyWords(from, batch.packetAt(i) / WORD, words, slot + PACKET, (length + WORD - 1) >> 2);
}

/** A packet that was taken out of a ring. The next packet overwrites its memory. */
export class Miss {
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
  /** Set to true when later packets have overwritten packets that were not taken. The caller resets it. */
  overran = false;
  readonly #ring: Ring;
  #tail = 0;

  constructor(memory: SharedArrayBuffer, thread: number, kind: RingKind) {
    this.#ring = new Ring(memory, thread, kind);
  }

  isEmpty(): boolean {
    return Atomics.load(this.#ring.words, HEAD) === this.#tail;
  }

  /** Takes the oldest packet; false if the ring is empty. */
  take(into: Miss): boolean {
    const { words, packets } = this.#ring;
    const head = Atomics.load(words, HEAD);
    // The writer has overwritten all packets that it put more than a ring's length ago.
    if (((head - this.#tail) | 0) > packets) {
      this.#tail = (head - packets) | 0;
      this.overran = true;
    }
    while (this.#tail !== head) {
      const slot = this.#ring.slotAt(this.#tail);
      this.#tail = (this.#tail + 1) | 0;
      // If the slot is not FULL, the writer has overwritten this packet. The newer packet will be taken at its own
      // position, or was taken at this one.
      if (Atomics.compareExchange(words, slot + STATE, FULL, BUSY) !== FULL) continue;
      copyWords(words, slot + ENVELOPE, into.words, 0, Envelope.WORDS);
      const length = into.envelope[Envelope.LENGTH] as number;
      const packetWords = (length + WORD - 1) >> 2;
      copyWords(words, slot + PACKET, into.words, Envelope.WORDS, packetWords);
      Atomics.store(words, slot + STATE, EMPTY);
      return true;
    }
    return false;
  }

  /** Frees the slot that a worker was writing when it died. Call this before the ring gets a new writer. */
  releaseBusySlots(): void {
    const { words, packets } = this.#ring;
    for (let position = 0; position < packets; position++)
      Atomics.compareExchange(words, this.#ring.slotAt(position) + STATE, BUSY, EMPTY);
  }
}
