/**
 * The framing of DNS messages over TCP (RFC 1035 §4.2.2): two octets of length, then the message. `Reassembly` takes
 * chunks as the network cut them and returns messages one by one, so the caller decides how many it takes and when.
 *
 * Memory grows with the octets that arrived, never with an announced length: a message inside one chunk is a view of
 * it, and one that spans chunks is gathered in a buffer that doubles as octets arrive.
 */
import { HEADER_OCTETS, MAX_MESSAGE_OCTETS } from './wire.ts';

export type Frame =
  /** A whole message without its length; a view that is valid until the next call of `push` or `next`. */
  | { readonly kind: 'message'; readonly message: Uint8Array }
  /** No whole message is left; `pendingOctets` of the next one (its length included) have arrived. */
  | { readonly kind: 'incomplete'; readonly pendingOctets: number }
  /** The announced length is too short for a DNS message; the octets after it have no meaning. */
  | { readonly kind: 'malformed'; readonly length: number };

const LENGTH_OCTETS = 2;
const FIRST_GATHER_OCTETS = 512;
const EMPTY = new Uint8Array(0);

/** One direction of one connection. Call `next` until it returns `incomplete`, then `push` the next chunk. */
export class Reassembly {
  #chunk: Uint8Array = EMPTY;
  #offset = 0;
  /** The start of a message that ends in a later chunk, its length included. */
  #gathered: Uint8Array = EMPTY;
  #gatheredOctets = 0;

  push(chunk: Uint8Array): void {
    if (this.#offset < this.#chunk.length)
      throw new Error('push was called before next gave incomplete');
    this.#chunk = chunk;
    this.#offset = 0;
  }

  next(): Frame {
    return this.#gatheredOctets > 0 ? this.#nextGathered() : this.#nextInChunk();
  }

  /**
   * The length of the next message if the chunk holds it whole, else 0. `messageAt` is then its place in `chunk`, and
   * `skip` goes on to the one after it.
   */
  wholeInChunk(): number {
    const at = this.#offset;
    if (this.#gatheredOctets > 0 || this.#chunk.length - at < LENGTH_OCTETS) return 0;
    const length = readLength(this.#chunk, at);
    const isWhole = length >= HEADER_OCTETS && this.#chunk.length - at >= LENGTH_OCTETS + length;
    return isWhole ? length : 0;
  }

  /** No octet of a message is left, so `push` may be called. */
  get isDrained(): boolean {
    return this.#gatheredOctets === 0 && this.#offset === this.#chunk.length;
  }

  get chunk(): Uint8Array {
    return this.#chunk;
  }

  get messageAt(): number {
    return this.#offset + LENGTH_OCTETS;
  }

  /** Call this after `wholeInChunk` has returned a length. */
  skip(): void {
    this.#offset += LENGTH_OCTETS + readLength(this.#chunk, this.#offset);
  }

  #nextInChunk(): Frame {
    const available = this.#chunk.length - this.#offset;
    if (available >= LENGTH_OCTETS) {
      const length = readLength(this.#chunk, this.#offset);
      if (length < HEADER_OCTETS) return { kind: 'malformed', length };
      if (available >= LENGTH_OCTETS + length) {
        const start = this.#offset + LENGTH_OCTETS;
        this.#offset = start + length;
        return { kind: 'message', message: this.#chunk.subarray(start, this.#offset) };
      }
    }
    this.#gather(available);
    return this.#incomplete();
  }

  #nextGathered(): Frame {
    if (this.#gatheredOctets < LENGTH_OCTETS) this.#gatherUpTo(LENGTH_OCTETS);
    if (this.#gatheredOctets < LENGTH_OCTETS) return this.#incomplete();
    const length = readLength(this.#gathered, 0);
    if (length < HEADER_OCTETS) return { kind: 'malformed', length };
    this.#gatherUpTo(LENGTH_OCTETS + length);
    if (this.#gatheredOctets < LENGTH_OCTETS + length) return this.#incomplete();
    const message = this.#gathered.subarray(LENGTH_OCTETS, this.#gatheredOctets);
    this.#gathered = EMPTY;
    this.#gatheredOctets = 0;
    return { kind: 'message', message };
  }

  #incomplete(): Frame {
    this.#chunk = EMPTY; // its octets are gathered: release the socket's buffer
    this.#offset = 0;
    return { kind: 'incomplete', pendingOctets: this.#gatheredOctets };
  }

  #gatherUpTo(octets: number): void {
    const available = this.#chunk.length - this.#offset;
    this.#gather(Math.min(octets - this.#gatheredOctets, available));
  }

  #gather(octets: number): void {
    if (octets === 0) return;
    this.#reserve(this.#gatheredOctets + octets);
    const end = this.#offset + octets;
    this.#gathered.set(this.#chunk.subarray(this.#offset, end), this.#gatheredOctets);
    this.#gatheredOctets += octets;
    this.#offset = end;
  }

  #reserve(octets: number): void {
    if (octets <= this.#gathered.length) return;
    const doubled = Math.max(FIRST_GATHER_OCTETS, this.#gathered.length * 2, octets);
    const larger = new Uint8Array(Math.min(doubled, LENGTH_OCTETS + MAX_MESSAGE_OCTETS));
    larger.set(this.#gathered.subarray(0, this.#gatheredOctets));
    this.#gathered = larger;
  }
}

/**
 * The length and a copy of the message in one buffer, for a single write (RFC 7766 §8). At most `MAX_MESSAGE_OCTETS`.
 */
export function frame(message: Uint8Array): Uint8Array {
  const framed = Buffer.allocUnsafe(LENGTH_OCTETS + message.length);
  framed.writeUInt16BE(message.length, 0);
  framed.set(message, LENGTH_OCTETS);
  return framed;
}

function readLength(octets: Uint8Array, offset: number): number {
  return ((octets[offset] as number) << 8) | (octets[offset + 1] as number);
}
