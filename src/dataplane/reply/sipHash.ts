/**
 * SipHash-2-4 (Aumasson and Bernstein, 2012), the hash of DNS cookies. node:crypto does not have it. The 64-bit words of
 * the algorithm are pairs of 32 bits, because a BigInt would be allocated for each step.
 */

/** Rounds for each block of the message, and at the end. */
const C = 2;
const D = 4;

export class SipHash {
  /** The digest of the last message: its octets in the order of memory. */
  low = 0;
  high = 0;
  readonly #key: Int32Array;

  /** `key`: 16 octets. */
  constructor(key: Uint8Array) {
    this.#key = new Int32Array(Uint8Array.from(key).buffer);
  }

  /** Hashes the first `count` words of the message, whose octets are in the order of memory (little-endian). */
  hash(message: Int32Array, count: number): void {
    const key = this.#key;
    const k0l = key[0] as number;
    const k0h = key[1] as number;
    const k1l = key[2] as number;
    const k1h = key[3] as number;
    let v0l = k0l ^ 0x70736575;
    let v0h = k0h ^ 0x736f6d65;
    let v1l = k1l ^ 0x6e646f6d;
    let v1h = k1h ^ 0x646f7261;
    let v2l = k0l ^ 0x6e657261;
    let v2h = k0h ^ 0x6c796765;
    let v3l = k1l ^ 0x79746573;
    let v3h = k1h ^ 0x74656462;
    const blocks = (count >>> 1) + 1;
    const rounds = blocks * C + D;
    let ml = 0;
    let mh = 0;
    for (let round = 0; round < rounds; round++) {
      const block = round >>> 1;
      if ((round & 1) === 0 && block < blocks) {
        const isLast = block === blocks - 1;
        ml = isLast && (count & 1) === 0 ? 0 : (message[2 * block] as number);
        // The last block ends in the length of the message.
        mh = isLast ? count << 26 : (message[2 * block + 1] as number);
        v3l ^= ml;
        v3h ^= mh;
      } else if (round === blocks * C) v2l ^= 0xff;
      let sum = (v0l + v1l) | 0;
      v0h = (v0h + v1h + (sum >>> 0 < v0l >>> 0 ? 1 : 0)) | 0;
      v0l = sum;
      let turned = (v1l << 13) | (v1h >>> 19);
      v1h = ((v1h << 13) | (v1l >>> 19)) ^ v0h;
      v1l = turned ^ v0l;
      turned = v0l;
      v0l = v0h;
      v0h = turned;
      sum = (v2l + v3l) | 0;
      v2h = (v2h + v3h + (sum >>> 0 < v2l >>> 0 ? 1 : 0)) | 0;
      v2l = sum;
      turned = (v3l << 16) | (v3h >>> 16);
      v3h = ((v3h << 16) | (v3l >>> 16)) ^ v2h;
      v3l = turned ^ v2l;
      sum = (v0l + v3l) | 0;
      v0h = (v0h + v3h + (sum >>> 0 < v0l >>> 0 ? 1 : 0)) | 0;
      v0l = sum;
      turned = (v3l << 21) | (v3h >>> 11);
      v3h = ((v3h << 21) | (v3l >>> 11)) ^ v0h;
      v3l = turned ^ v0l;
      sum = (v2l + v1l) | 0;
      v2h = (v2h + v1h + (sum >>> 0 < v2l >>> 0 ? 1 : 0)) | 0;
      v2l = sum;
      turned = (v1l << 17) | (v1h >>> 15);
      v1h = ((v1h << 17) | (v1l >>> 15)) ^ v2h;
      v1l = turned ^ v2l;
      turned = v2l;
      v2l = v2h;
      v2h = turned;
      if ((round & 1) === 1 && block < blocks) {
        v0l ^= ml;
        v0h ^= mh;
      }
    }
    this.low = v0l ^ v1l ^ v2l ^ v3l;
    this.high = v0h ^ v1h ^ v2h ^ v3h;
  }
}
