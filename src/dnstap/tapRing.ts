/**
 * Frames from a thread that answers, for the main thread: a ring of octets in shared memory for each thread, with one
 * writer and one reader. A frame is its length (four octets, big-endian) and its payload, as Frame Streams has it, so
 * the reader copies several at once without reading them. Neither side waits: without room the writer drops its frames
 * and counts them.
 *
 * HEAD and TAIL count octets, modulo 2^32. A frame lies in one piece: if the end of the ring is too near, a length of 0
 * or fewer than four octets say that the next frame is at the start.
 */

/** A power of two. */
export const RING_OCTETS: number = 2 ** 20;
const MASK = RING_OCTETS - 1;

const WORD = Int32Array.BYTES_PER_ELEMENT;
/** The words of a cache line. The first line of the memory is of all rings, and each ring begins with one of its own. */
const LINE_WORDS = 16;
const LINE_OCTETS = LINE_WORDS * WORD;

/** 1: the reader sleeps, and the next writer with frames wakes it. */
const ASLEEP = 0;

/** Words at the start of a ring. The reader writes TAIL, the writer the others. */
const HEAD = 0;
const TAIL = 1;
const DROPPED = 2;

const LENGTH_OCTETS = 4;

/** Memory for the rings of this many threads, which are numbered from 0. */
export function newTapMemory(threads: number): SharedArrayBuffer {
  return new SharedArrayBuffer(LINE_OCTETS + threads * (LINE_OCTETS + RING_OCTETS));
}

class TapRing {
  readonly words: Int32Array;
  readonly octets: Uint8Array;

  constructor(memory: SharedArrayBuffer, thread: number) {
    const at = LINE_OCTETS + thread * (LINE_OCTETS + RING_OCTETS);
    this.words = new Int32Array(memory, at, LINE_WORDS);
    this.octets = new Uint8Array(memory, at + LINE_OCTETS, RING_OCTETS);
  }
}

export class TapRingWriter {
  /** The ring's memory; `reserve` says where a frame may be written. */
  readonly octets: Uint8Array;
  readonly #words: Int32Array;
  readonly #shared: Int32Array;
  #head: number;
  /** Octets at the end of the ring that the reserved frames leave out. */
  #left = 0;
  #start = 0;

  constructor(memory: SharedArrayBuffer, thread: number) {
    const ring = new TapRing(memory, thread);
    this.octets = ring.octets;
    this.#words = ring.words;
    this.#shared = new Int32Array(memory, 0, LINE_WORDS);
    this.#head = Atomics.load(this.#words, HEAD); // an earlier worker on this thread number may have died
  }

  /** Where so many octets may be written; -1 if there is no room. */
  reserve(octets: number): number {
    const free = RING_OCTETS - ((this.#head - Atomics.load(this.#words, TAIL)) >>> 0);
    const at = this.#head & MASK;
    const isNearEnd = RING_OCTETS - at < octets;
    this.#left = isNearEnd ? RING_OCTETS - at : 0;
    if (octets + this.#left > free) return -1;
    if (isNearEnd && this.#left >= LENGTH_OCTETS) this.octets.fill(0, at, at + LENGTH_OCTETS);
    this.#start = isNearEnd ? 0 : at;
    return this.#start;
  }

  /** The reserved frames were written up to `end`. The reader finds them after `publish`. */
  commit(end: number): void {
    this.#head = (this.#head + this.#left + end - this.#start) | 0;
    this.#left = 0;
    this.#start = end;
  }

  /** Counts frames for which there was no room. */
  drop(frames: number): void {
    Atomics.store(this.#words, DROPPED, ((this.#words[DROPPED] as number) + frames) | 0);
  }

  /** Shows the committed frames to the reader. True if the reader sleeps, and the caller must wake it. */
  publish(): boolean {
    Atomics.store(this.#words, HEAD, this.#head);
    return Atomics.compareExchange(this.#shared, ASLEEP, 1, 0) === 1;
  }
}

/** Frames in one piece. */
export interface TapFrames {
  readonly octets: Buffer;
  readonly frames: number;
}

export class TapRingReader {
  readonly #words: Int32Array;
  readonly #octets: Uint8Array;
  readonly #view: DataView;
  #dropped = 0;

  constructor(memory: SharedArrayBuffer, thread: number) {
    const { words, octets } = new TapRing(memory, thread);
    this.#words = words;
    this.#octets = octets;
    this.#view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
  }

  isEmpty(): boolean {
    return Atomics.load(this.#words, HEAD) === Atomics.load(this.#words, TAIL);
  }

  /** A copy of the oldest frames, at most so many, that lie in one piece; undefined if the ring is empty. */
  take(mostFrames: number): TapFrames | undefined {
    const head = Atomics.load(this.#words, HEAD);
    let tail = Atomics.load(this.#words, TAIL);
    if (tail === head) return undefined;
    if (this.#lengthAt(tail & MASK) === 0) tail = (tail + RING_OCTETS - (tail & MASK)) | 0;
    const start = tail & MASK;
    const whole = start + ((head - tail) >>> 0);
    let end = start;
    let frames = 0;
    while (frames < mostFrames && end < whole) {
      const length = this.#lengthAt(end);
      if (length === 0) break;
      end += LENGTH_OCTETS + length;
      frames++;
    }
    const octets = Buffer.from(this.#octets.subarray(start, end));
    Atomics.store(this.#words, TAIL, (tail + end - start) | 0);
    return { octets, frames };
  }

  /** How many frames the writer has dropped since the last call. */
  takeDropped(): number {
    const dropped = Atomics.load(this.#words, DROPPED);
    const since = (dropped - this.#dropped) >>> 0;
    this.#dropped = dropped;
    return since;
  }

  /** 0 if the next frame is at the start of the ring. */
  #lengthAt(at: number): number {
    return RING_OCTETS - at < LENGTH_OCTETS ? 0 : this.#view.getUint32(at);
  }
}

/** The main thread's side of the word that tells writers whether it sleeps. */
export class TapAlarm {
  readonly #shared: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#shared = new Int32Array(memory, 0, LINE_WORDS);
  }

  markAsleep(): void {
    Atomics.store(this.#shared, ASLEEP, 1);
  }

  markAwake(): void {
    Atomics.store(this.#shared, ASLEEP, 0);
  }
}
