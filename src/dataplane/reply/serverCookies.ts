/**
 * DNS cookies (RFC 7873) as RFC 9018 makes them, so that servers of other makes with the same secret accept ours and
 * we accept theirs. A server cookie is a time and a hash over it, the client's cookie and address: no state, only the
 * secret.
 */
import { COOKIE_OCTETS } from '../../dns/edns.ts';
import { ipv4At, Sockaddr } from '../sockets/layout.ts';
import { SipHash } from './sipHash.ts';

/** What the client's cookie shows. */
export const CookieState = {
  /** Of a length that no cookie has: the query is malformed (RFC 7873 §5.2.2). */
  MALFORMED: 0,
  /** The client's cookie alone. */
  NEW: 1,
  /** With a server cookie that is not ours, or too old. */
  INVALID: 2,
  /** The client has received a reply at its address. */
  VALID: 3,
} as const;

const CLIENT_OCTETS = 8;
const LEAST_OCTETS = 16;
const MOST_OCTETS = 40;
const VERSION = 1;

/** RFC 9018 §4.3: how old a cookie may be, how far ahead of our clock, and from what age on it is replaced. */
const OLDEST_SECONDS = 3600;
const AHEAD_SECONDS = 300;
const RENEWED_AFTER_SECONDS = 1800;

/** Words of the hashed message: the client's cookie, version and reserved octets, time, address. */
const Part = { CLIENT: 0, VERSION: 2, TIME: 3, ADDRESS: 4 } as const;
const WORD = Int32Array.BYTES_PER_ELEMENT;

/** One reader's. Allocates nothing for a packet. */
export class ServerCookies {
  /** Seconds since 1970. Set it for each batch. */
  unixSeconds = 0;
  readonly #hashes: readonly SipHash[];
  /** The cookie that was read last, and the address of its client: the message, then the hash. */
  readonly #words = new Int32Array(8);
  readonly #octets = new Uint8Array(this.#words.buffer);
  #addressWords = 0;
  /** The server's part as received, whose first 8 octets are in the message. */
  #hashLow = 0;
  #hashHigh = 0;
  #isRenewed = true;

  /** `secrets`: 16 octets each. All verify, and the first one signs. */
  constructor(secrets: readonly Uint8Array[]) {
    this.#hashes = secrets.map((secret) => new SipHash(secret));
  }

  /** Sets the client to the struct sockaddr at octet `at` (a multiple of four) of the words' memory. */
  setClient(words: Int32Array, at: number): void {
    const own = this.#words;
    const start = at / WORD;
    const ipv4 = ipv4At(words, start);
    const from = ipv4 < 0 ? start + Sockaddr.ADDRESS6 / WORD : ipv4;
    this.#addressWords = ipv4 < 0 ? 4 : 1;
    for (let i = 0; i < this.#addressWords; i++) own[Part.ADDRESS + i] = words[from + i] as number;
  }

  /** Reads the cookie option whose data is at `octets[at]`, and judges it. Call `setClient` before. */
  read(octets: Uint8Array, at: number, length: number): number {
    this.#isRenewed = true;
    if (length < CLIENT_OCTETS || length > MOST_OCTETS) return CookieState.MALFORMED;
    if (length > CLIENT_OCTETS && length < LEAST_OCTETS) return CookieState.MALFORMED;
    const own = this.#octets;
    for (let i = 0; i < CLIENT_OCTETS; i++) own[i] = octets[at + i] as number;
    if (length === CLIENT_OCTETS) return CookieState.NEW;
    if (length !== COOKIE_OCTETS) return CookieState.INVALID;
    for (let i = CLIENT_OCTETS; i < LEAST_OCTETS; i++) own[i] = octets[at + i] as number;
    this.#hashLow = word(octets, at + LEAST_OCTETS);
    this.#hashHigh = word(octets, at + LEAST_OCTETS + WORD);
    const age = (this.unixSeconds - this.#time()) | 0;
    if (own[Part.VERSION * WORD] !== VERSION || age > OLDEST_SECONDS || age < -AHEAD_SECONDS)
      return CookieState.INVALID;
    if (!this.#isOurs()) return CookieState.INVALID;
    this.#isRenewed = age > RENEWED_AFTER_SECONDS;
    return CookieState.VALID;
  }

  /** Writes the cookie for the reply: the client's, then ours, a new one unless the one that was read is recent. */
  write(octets: Uint8Array, to: number): void {
    if (this.#isRenewed) this.#renew();
    const own = this.#octets;
    for (let i = 0; i < LEAST_OCTETS; i++) octets[to + i] = own[i] as number;
    writeWord(octets, to + LEAST_OCTETS, this.#hashLow);
    writeWord(octets, to + LEAST_OCTETS + WORD, this.#hashHigh);
  }

  #renew(): void {
    const own = this.#octets;
    const time = this.unixSeconds;
    const at = Part.VERSION * WORD;
    own[at] = VERSION;
    own[at + 1] = 0;
    own[at + 2] = 0;
    own[at + 3] = 0;
    own[at + 4] = time >>> 24;
    own[at + 5] = time >>> 16;
    own[at + 6] = time >>> 8;
    own[at + 7] = time;
    const signing = this.#hashes[0] as SipHash;
    signing.hash(this.#words, Part.ADDRESS + this.#addressWords);
    this.#hashLow = signing.low;
    this.#hashHigh = signing.high;
    this.#isRenewed = false;
  }

  /** The time in the message, in network byte order there. */
  #time(): number {
    const own = this.#octets;
    const at = Part.TIME * WORD;
    return (
      ((own[at] as number) << 24) |
      ((own[at + 1] as number) << 16) |
      ((own[at + 2] as number) << 8) |
      (own[at + 3] as number)
    );
  }

  #isOurs(): boolean {
    for (let i = 0; i < this.#hashes.length; i++) {
      const hash = this.#hashes[i] as SipHash;
      hash.hash(this.#words, Part.ADDRESS + this.#addressWords);
      if (hash.low === this.#hashLow && hash.high === this.#hashHigh) return true;
    }
    return false;
  }
}

/** Four octets in the order of memory, as a word. */
function word(octets: Uint8Array, at: number): number {
  return (
    (octets[at] as number) |
    ((octets[at + 1] as number) << 8) |
    ((octets[at + 2] as number) << 16) |
    ((octets[at + 3] as number) << 24)
  );
}

function writeWord(octets: Uint8Array, at: number, value: number): void {
  octets[at] = value;
  octets[at + 1] = value >>> 8;
  octets[at + 2] = value >>> 16;
  octets[at + 3] = value >>> 24;
}
