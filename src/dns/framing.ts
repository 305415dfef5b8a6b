/**
 * TCP's framing of DNS messages (RFC 1035 §4.2.2: two octets of length, then the message), taken apart. Pure: chunks
 * go in as the network cut them, messages come out one by one, so the caller decides how many it takes and when.
 *
 * Memory follows what has arrived, never what was announced: a message inside one chunk is a view of it, and one that
 * spans chunks is gathered in a buffer that doubles as octets come in.
 */
import { HEADER_OCTETS, MAX_MESSAGE_OCTETS } from './wire.ts';

export type Frame =
  /** A whole message, without its length. A view that holds until the next call of `push` or `next`. */
  | { readonly kind: 'message'; readonly message: Uint8Array }
  /** Nothing whole is left; `pendingOctets` of the next message (its length's octets included) are there. */
  | { readonly kind: 'incomplete'; readonly pendingOctets: number }
  /** The announced length cannot be that of a DNS message; what follows has no meaning. */
  | { readonly kind: 'malformed'; readonly length: number };

const LENGTH_OCTETS = 2;
const FIRST_GATHER_OCTETS = 512;
const EMPTY = new Uint8Array(0);

/** One direction of one connection. Call `next` until it says `incomplete` before the next `push`. */
export class Reassembly {
  #chunk: Uint8Array = EMPTY;
  #offset = 0;
  /** The start of a message whose end is in a later chunk, its length's octets included. */
  #gathered: Uint8Array = EMPTY;
  #gatheredOctets = 0;

  push(chunk: Uint8Array): void {
    if (this.#offset < this.#chunk.length)
      throw new Error('pushed before the last chunk was used up');
    this.#chunk = chunk;
    this.#offset = 0;
  }

  next(): Frame {
    return this.#gatheredOctets > 0 ? this.#nextGathered() : this.#nextInChunk();
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
    this.#chunk = EMPTY; // all of it is gathered: let the socket's buffer go
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
    const roomier = new Uint8Array(Math.min(doubled, LENGTH_OCTETS + MAX_MESSAGE_OCTETS));
    roomier.set(this.#gathered.subarray(0, this.#gatheredOctets));
    this.#gathered = roomier;
  }
}

/** A copy of the message with its length in front, in one piece (RFC 7766 §8). At most `MAX_MESSAGE_OCTETS`. */
export function frame(message: Uint8Array): Uint8Array {
  const framed = Buffer.allocUnsafe(LENGTH_OCTETS + message.length);
  framed.writeUInt16BE(message.length, 0);
  framed.set(message, LENGTH_OCTETS);
  return framed;
}

function readLength(octets: Uint8Array, offset: number): number {
  return ((octets[offset] as number) << 8) | (octets[offset + 1] as number);
}
