/**
 * The range of virtual addresses, and the order in which a name tries them. Every host tries the same addresses for a
 * name, so hosts that claim at once meet at one key of the store.
 */
import { createHash } from 'node:crypto';
import { addressOctets, familyOfAddress, printAddress } from '../dns/address.ts';
import { type Name, nameKey } from '../dns/name.ts';

export interface VipRange {
  readonly family: 4 | 6;
  /** The first address of the range, as a number. */
  readonly base: bigint;
  readonly size: bigint;
}

/** A network as an option or a host's routing table gives it. */
export interface Network {
  readonly address: string;
  readonly prefixLength: number;
}

/** Addresses at the end of the range that only providers may ask for: 256, or a quarter of a small range. */
const RESERVED = 256n;
/** Addresses that a name tries in an order of its own, before it tries all addresses from the first one on. */
const HASHED_TRIES = 8;

/** The range of a network; the bits behind the prefix do not count. */
export function vipRangeOf({ address, prefixLength }: Network): VipRange {
  const octets = addressOctets(address);
  const size = 1n << BigInt(octets.length * 8 - prefixLength);
  const base = (numberOf(octets) / size) * size;
  return { family: octets.length === 4 ? 4 : 6, base, size };
}

/** The ranges that a host was given. */
export function vipRangesOf(networks: readonly (Network | undefined)[]): readonly VipRange[] {
  return networks.flatMap((network) => (network === undefined ? [] : vipRangeOf(network)));
}

export function isInRange({ family, base, size }: VipRange, address: string): boolean {
  if (familyOfAddress(address) !== family) return false;
  const number = numberOf(addressOctets(address));
  return number >= base && number < base + size;
}

export function rangesOverlap(a: VipRange, b: VipRange): boolean {
  return a.family === b.family && a.base < b.base + b.size && b.base < a.base + a.size;
}

/** The addresses that a name tries, in order: all that are given out, some of them twice. */
export function* candidateAddresses(range: VipRange, name: Name): Iterable<string> {
  const count = range.size - reservedIn(range);
  const first = hashOf(name, 0) % count;
  for (let i = 0; i < HASHED_TRIES; i++) {
    const index = hashOf(name, i) % count;
    if (isGivenOut(range, index)) yield addressAt(range, index);
  }
  for (let i = 1n; i < count; i++) {
    const index = (first + i) % count;
    if (isGivenOut(range, index)) yield addressAt(range, index);
  }
}

function reservedIn({ size }: VipRange): bigint {
  return size / 4n < RESERVED ? size / 4n : RESERVED;
}

/** Some programs take an IPv4 address that ends in 0 or 255 for a network's own or for its broadcast address. */
function isGivenOut({ family, base }: VipRange, index: bigint): boolean {
  const lastOctet = (base + index) & 255n;
  return family === 6 ? index !== 0n : lastOctet !== 0n && lastOctet !== 255n;
}

function addressAt({ family, base }: VipRange, index: bigint): string {
  const octets = new Uint8Array(family === 4 ? 4 : 16);
  let rest = base + index;
  for (let i = octets.length - 1; i >= 0; i--) {
    octets[i] = Number(rest & 255n);
    rest >>= 8n;
  }
  return printAddress(octets);
}

function hashOf(name: Name, round: number): bigint {
  const digest = createHash('sha256')
    .update(`${round} ${nameKey(name)}`, 'latin1')
    .digest();
  return digest.readBigUInt64BE();
}

function numberOf(octets: Uint8Array): bigint {
  let number = 0n;
  for (const octet of octets) number = (number << 8n) | BigInt(octet);
  return number;
}

/** The network with the bits behind its prefix cleared, as nft wants it. */
export function maskedNetwork(network: Network): Network {
  const range = vipRangeOf(network);
  return { address: addressAt(range, 0n), prefixLength: network.prefixLength };
}
