/**
 * Sets of IP addresses, written as CIDR ranges: the clients that may recurse, and the upstreams that are public. Node's
 * BlockList would take ten times as long for an IPv4 address.
 */
import { addressFamily, addressOctets, isLoopbackAddress } from '../dns/address.ts';

export interface Cidr {
  readonly address: string;
  /** 0..32 for IPv4, 0..128 for IPv6. */
  readonly prefixLength: number;
}

/** The range that `10.0.0.0/8`, `fc00::/7` or a single address stands for; `undefined` for any other text. */
export function parseCidr(text: string): Cidr | undefined {
  const parts = /^([0-9A-Fa-f:.]+)(?:\/([0-9]{1,3}))?$/.exec(text.trim());
  if (parts === null) return undefined;
  const [, address = '', length] = parts;
  const family = addressFamily(address);
  if (family === 0) return undefined;
  const longest = family === 4 ? 32 : 128;
  const prefixLength = length === undefined ? longest : Number(length);
  return prefixLength <= longest ? { address, prefixLength } : undefined;
}

/** Whether an address in text form is in the set; false for any other text. A `%zone` is ignored. */
export type AddressSet = (address: string) => boolean;

/** The union of the ranges. IPv4 addresses and ranges count as IPv4-mapped IPv6 ones, so `::/0` contains them. */
export function addressSet(ranges: readonly Cidr[]): AddressSet {
  const all = ranges.map(rangeOf);
  return (address) => {
    const plain = withoutZone(address);
    if (addressFamily(plain) === 0) return false;
    const octets = mapped(addressOctets(plain));
    return all.some((range) => isInRange(octets, range));
  };
}

/** `::ffff:0:0` (RFC 4291 §2.5.5.2). */
const MAPPED_PREFIX = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff);

interface Range {
  /** 16. */
  readonly octets: Uint8Array;
  readonly prefixLength: number;
}

function rangeOf({ address, prefixLength }: Cidr): Range {
  const octets = addressOctets(withoutZone(address));
  const addedBits = octets.length === 4 ? 8 * MAPPED_PREFIX.length : 0;
  return { octets: mapped(octets), prefixLength: addedBits + prefixLength };
}

function mapped(octets: Uint8Array): Uint8Array {
  if (octets.length === 16) return octets;
  const whole = new Uint8Array(16);
  whole.set(MAPPED_PREFIX);
  whole.set(octets, MAPPED_PREFIX.length);
  return whole;
}

function isInRange(octets: Uint8Array, range: Range): boolean {
  const whole = range.prefixLength >> 3;
  for (let i = 0; i < whole; i++) if (octets[i] !== range.octets[i]) return false;
  const rest = range.prefixLength & 7;
  return rest === 0 || ((octets[whole] ?? 0) ^ (range.octets[whole] ?? 0)) >> (8 - rest) === 0;
}

/** The address without `%eth0`. */
export function withoutZone(address: string): string {
  const at = address.indexOf('%');
  return at < 0 ? address : address.slice(0, at);
}

/** The ranges of texts that the program itself contains; throws on a text that is not a range. */
export function cidrs(...texts: readonly string[]): Cidr[] {
  return texts.map((text) => {
    const range = parseCidr(text);
    if (range === undefined) throw new Error(`no CIDR range: ${text}`);
    return range;
  });
}

/** Whether a host (an address or `localhost`) is reachable from this machine alone. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || isLoopbackAddress(withoutZone(host));
}

/**
 * Loopback, RFC 1918, IPv6 unique local (RFC 4193) and link-local addresses. Not 100.64.0.0/10 (RFC 6598), which the
 * customers of one carrier share, nor 169.254.0.0/16.
 */
export const DEFAULT_RECURSION_RANGES: readonly Cidr[] = cidrs(
  '127.0.0.0/8',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '::1/128',
  'fc00::/7',
  'fe80::/10',
);

/**
 * Which client addresses may recurse. A server that recurses for every client is an open resolver: attackers use it as
 * a reflector and can fill its cache.
 */
export function recursionRule(allowed: readonly Cidr[] = DEFAULT_RECURSION_RANGES): AddressSet {
  return rememberedSet(allowed);
}

/**
 * The most addresses whose result is kept. Each query needs the rule for clients, matching the ranges costs more than
 * the rest of an answer, and most clients send many queries.
 */
const MAX_REMEMBERED = 4_096;

/** The union of the ranges, for addresses that are asked for again and again. */
export function rememberedSet(ranges: readonly Cidr[]): AddressSet {
  const isIn = addressSet(ranges);
  const known = new Map<string, boolean>();
  return (address) => {
    const before = known.get(address);
    if (before !== undefined) return before;
    // Otherwise a flood from forged addresses would make the map grow.
    if (known.size >= MAX_REMEMBERED) known.clear();
    const answer = isIn(address);
    known.set(address, answer);
    return answer;
  };
}
