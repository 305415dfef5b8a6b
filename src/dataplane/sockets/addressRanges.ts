/**
 * Decides for each packet whether its client's address is in a set of ranges: the clients that get replies, or those
 * that may use recursion. It reads the address as the kernel writes it. An IPv4-mapped IPv6 address counts as IPv4.
 */
import { addressOctets } from '../../dns/address.ts';
import { ipv4At, MAPPED_WORD, Sockaddr } from './layout.ts';

export interface AddressRange {
  readonly address: string;
  /** 0..32 for IPv4, 0..128 for IPv6. */
  readonly prefixLength: number;
}

const WORD = Int32Array.BYTES_PER_ELEMENT;
const IPV4_WORDS = 1;
const IPV6_WORDS = 4;
const MAPPED_BITS = 96;

export class AddressRanges {
  readonly #ipv4: Prefixes;
  readonly #ipv6: Prefixes;
  /** The address that is looked up, as numbers. */
  readonly #address = new Uint32Array(IPV6_WORDS);
  #lastIpv4 = 0;
  #hasLast: boolean;

  constructor(ranges: readonly AddressRange[]) {
    const prefixes = ranges.map(prefixOf);
    const ipv6 = prefixes.filter(({ words }) => words.length === IPV6_WORDS);
    const ipv4 = prefixes.filter(({ words }) => words.length === IPV4_WORDS);
    this.#ipv4 = new Prefixes([...ipv4, ...ipv6.flatMap(mappedPart)], IPV4_WORDS);
    this.#ipv6 = new Prefixes(ipv6, IPV6_WORDS);
    this.#hasLast = this.#ipv4.has(this.#address);
  }

  /** Whether a range contains the struct sockaddr at octet `at` (a multiple of four) of the words' memory. */
  has(words: Int32Array, at: number): boolean {
    const start = at / WORD;
    const ipv4 = ipv4At(words, start);
    if (ipv4 >= 0) return this.#hasIpv4(words[ipv4] as number);
    return this.#hasIpv6(words, start + Sockaddr.ADDRESS6 / WORD);
  }

  /** Whether a range contains an address in `DnsClient`'s form. */
  hasAddress(address: string): boolean {
    const words = new Int32Array(Uint8Array.from(addressOctets(address)).buffer);
    return words.length === IPV4_WORDS
      ? this.#hasIpv4(words[0] as number)
      : this.#hasIpv6(words, 0);
  }

  /** Remembers the last client, because a batch often comes from one client. */
  #hasIpv4(word: number): boolean {
    if (word === this.#lastIpv4) return this.#hasLast;
    this.#lastIpv4 = word;
    this.#address[0] = swapped(word);
    this.#hasLast = this.#ipv4.has(this.#address);
    return this.#hasLast;
  }

  #hasIpv6(words: Int32Array, at: number): boolean {
    for (let i = 0; i < IPV6_WORDS; i++) this.#address[i] = swapped(words[at + i] as number);
    return this.#ipv6.has(this.#address);
  }
}

/** A network as numbers of 32 bits, the first ones first. */
interface Prefix {
  readonly words: readonly number[];
  readonly masks: readonly number[];
  readonly bits: number;
}

/** Networks of one family, none within another: so at most the last one that begins at or before an address has it. */
class Prefixes {
  readonly #size: number;
  readonly #count: number;
  readonly #starts: Uint32Array;
  readonly #masks: Uint32Array;

  /** `size`: words of an address. */
  constructor(prefixes: readonly Prefix[], size: number) {
    const widestFirst = [...prefixes].sort((a, b) => a.bits - b.bits);
    const kept: Prefix[] = [];
    for (const prefix of widestFirst)
      if (!kept.some((wider) => contains(wider, prefix))) kept.push(prefix);
    kept.sort((a, b) => compared(a.words, b.words));
    this.#size = size;
    this.#count = kept.length;
    this.#starts = Uint32Array.from(kept.flatMap(({ words }) => words));
    this.#masks = Uint32Array.from(kept.flatMap(({ masks }) => masks));
  }

  has(address: Uint32Array): boolean {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#beginsAtOrBefore(middle, address)) low = middle + 1;
      else high = middle;
    }
    return low > 0 && this.#isIn(low - 1, address);
  }

  #beginsAtOrBefore(index: number, address: Uint32Array): boolean {
    const at = index * this.#size;
    for (let i = 0; i < this.#size; i++) {
      const start = this.#starts[at + i] as number;
      if (start !== address[i]) return start < (address[i] as number);
    }
    return true;
  }

  #isIn(index: number, address: Uint32Array): boolean {
    const at = index * this.#size;
    for (let i = 0; i < this.#size; i++) {
      const masked = ((address[i] as number) & (this.#masks[at + i] as number)) >>> 0;
      if (masked !== this.#starts[at + i]) return false;
    }
    return true;
  }
}

function prefixOf({ address, prefixLength }: AddressRange): Prefix {
  const octets = addressOctets(address.split('%')[0] ?? '');
  const words = [...new Uint32Array(Uint8Array.from(octets).buffer)].map(swapped);
  const masks = words.map((_, i) => maskOf(prefixLength - 32 * i));
  const network = words.map((word, i) => (word & (masks[i] as number)) >>> 0);
  return { words: network, masks, bits: prefixLength };
}

/** The first `bits` of 32 bits. */
function maskOf(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 32 ? 0xffffffff : ~(0xffffffff >>> bits) >>> 0;
}

/** The part of an IPv6 range that is in ::ffff:0:0/96, as an IPv4 range; empty if there is none. */
function mappedPart({ words, masks, bits }: Prefix): Prefix[] {
  const [first, second, third, network = 0] = words;
  const mapped = swapped(MAPPED_WORD);
  const isPart = first === 0 && second === 0 && third === (mapped & (masks[2] as number)) >>> 0;
  if (!isPart) return [];
  return [{ words: [network], masks: [masks[3] as number], bits: Math.max(0, bits - MAPPED_BITS) }];
}

function contains(wider: Prefix, narrower: Prefix): boolean {
  return wider.words.every(
    (word, i) => ((narrower.words[i] as number) & (wider.masks[i] as number)) >>> 0 === word,
  );
}

function compared(a: readonly number[], b: readonly number[]): number {
  const differing = a.findIndex((word, i) => word !== b[i]);
  return differing < 0 ? 0 : (a[differing] as number) - (b[differing] as number);
}

/** A word that memory holds in network byte order, as a number. */
function swapped(word: number): number {
  return ((word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0;
}
