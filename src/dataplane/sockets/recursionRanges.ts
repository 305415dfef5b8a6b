/**
 * Decides for each packet whether its client may use recursion, by the client's address as the kernel writes it. The
 * ranges are the responder's, as words to mask and compare. An IPv4-mapped IPv6 address counts as IPv4.
 */
import { addressOctets } from '../../dns/address.ts';
import { AF_INET, Sockaddr } from './layout.ts';

export interface AddressRange {
  readonly address: string;
  /** 0..32 for IPv4, 0..128 for IPv6. */
  readonly prefixLength: number;
}

const WORD = Int32Array.BYTES_PER_ELEMENT;
const IPV6_WORDS = 4;
/** The third word of ::ffff:0:0/96, in the byte order of memory. */
const MAPPED_WORD = new Int32Array(Uint8Array.of(0, 0, 0xff, 0xff).buffer)[0] as number;

export class RecursionRanges {
  /** Pairs of network and mask. */
  readonly #ipv4: Int32Array;
  /** Four words of network, then four of mask. */
  readonly #ipv6: Int32Array;
  #lastIpv4 = 0;
  #lastAllowed: boolean;

  constructor(ranges: readonly AddressRange[]) {
    const words = ranges.map(networkAndMask);
    const ipv6 = words.filter((pair) => pair.length === 2 * IPV6_WORDS);
    const ipv4 = words.filter((pair) => pair.length === 2);
    this.#ipv4 = Int32Array.from([...ipv4, ...ipv6.flatMap(mappedPart)].flat());
    this.#ipv6 = Int32Array.from(ipv6.flat());
    this.#lastAllowed = this.#hasIpv4(this.#lastIpv4);
  }

  /** Whether a range contains the struct sockaddr at octet `at` (a multiple of four) of the words' memory. */
  has(words: Int32Array, at: number): boolean {
    const start = at / WORD;
    const family = (words[start] as number) & 0xffff;
    if (family === AF_INET)
      return this.#remembered(words[start + Sockaddr.ADDRESS4 / WORD] as number);
    const address = start + Sockaddr.ADDRESS6 / WORD;
    const isMapped =
      words[address] === 0 && words[address + 1] === 0 && words[address + 2] === MAPPED_WORD;
    return isMapped
      ? this.#remembered(words[address + 3] as number)
      : this.#hasIpv6(words, address);
  }

  /** Whether a range contains an address in `DnsClient`'s form. */
  hasAddress(address: string): boolean {
    const words = addressWords(addressOctets(address));
    return words.length === 1 ? this.#remembered(words[0] as number) : this.#hasIpv6(words, 0);
  }

  /** Remembers the last client, because a batch often comes from one client. */
  #remembered(ipv4: number): boolean {
    if (ipv4 === this.#lastIpv4) return this.#lastAllowed;
    this.#lastIpv4 = ipv4;
    this.#lastAllowed = this.#hasIpv4(ipv4);
    return this.#lastAllowed;
  }

  #hasIpv4(ipv4: number): boolean {
    const ranges = this.#ipv4;
    for (let i = 0; i < ranges.length; i += 2)
      if ((ipv4 & (ranges[i + 1] as number)) === ranges[i]) return true;
    return false;
  }

  #hasIpv6(words: Int32Array, address: number): boolean {
    const ranges = this.#ipv6;
    for (let range = 0; range < ranges.length; range += 2 * IPV6_WORDS) {
      let i = 0;
      while (i < IPV6_WORDS && this.#sameWord(words[address + i] as number, range + i)) i++;
      if (i === IPV6_WORDS) return true;
    }
    return false;
  }

  #sameWord(word: number, network: number): boolean {
    return (word & (this.#ipv6[network + IPV6_WORDS] as number)) === this.#ipv6[network];
  }
}

/** The words of the network, then those of its mask, in the byte order of memory. */
function networkAndMask({ address, prefixLength }: AddressRange): number[] {
  const octets = addressOctets(address.split('%')[0] ?? '');
  const mask = octets.map((_, i) => 0xff00 >> Math.max(0, Math.min(8, prefixLength - 8 * i)));
  const network = octets.map((octet, i) => octet & (mask[i] as number));
  return [...addressWords(network), ...addressWords(mask)];
}

/** The part of an IPv6 range that is in ::ffff:0:0/96, as the words of an IPv4 range; empty if there is none. */
function mappedPart(words: readonly number[]): number[][] {
  const [first, second, third, network, ...mask] = words;
  const isPart = first === 0 && second === 0 && third === (MAPPED_WORD & (mask[2] as number));
  return isPart ? [[network as number, mask[3] as number]] : [];
}

function addressWords(octets: Uint8Array): Int32Array {
  return new Int32Array(Uint8Array.from(octets).buffer);
}
