/**
 * Sets of IP addresses written as CIDR ranges: who may recurse, which upstreams are public. Matching is Node's
 * BlockList, which also finds an IPv4-mapped IPv6 address in an IPv4 range.
 */
import { BlockList, isIP } from 'node:net';

export interface Cidr {
  readonly address: string;
  /** 0..32 for IPv4, 0..128 for IPv6. */
  readonly prefixLength: number;
}

/** A range from `10.0.0.0/8`, `fc00::/7`, or one address; `undefined` when it is neither. */
export function parseCidr(text: string): Cidr | undefined {
  const parts = /^([0-9A-Fa-f:.]+)(?:\/([0-9]{1,3}))?$/.exec(text.trim());
  if (parts === null) return undefined;
  const [, address = '', length] = parts;
  const family = isIP(address);
  if (family === 0) return undefined;
  const longest = family === 4 ? 32 : 128;
  const prefixLength = length === undefined ? longest : Number(length);
  return prefixLength <= longest ? { address, prefixLength } : undefined;
}

/** Whether an address, given as text, is in the set; text that is no address is in no set. A `%zone` is ignored. */
export type AddressSet = (address: string) => boolean;

/** The union of the ranges. */
export function addressSet(ranges: readonly Cidr[]): AddressSet {
  const list = new BlockList();
  for (const { address, prefixLength } of ranges) {
    const plain = withoutZone(address);
    list.addSubnet(plain, prefixLength, isIP(plain) === 4 ? 'ipv4' : 'ipv6');
  }
  return (address) => {
    const plain = withoutZone(address);
    const family = isIP(plain);
    return family !== 0 && list.check(plain, family === 4 ? 'ipv4' : 'ipv6');
  };
}

function withoutZone(address: string): string {
  const at = address.indexOf('%');
  return at < 0 ? address : address.slice(0, at);
}

/** The ranges of a list of CIDR texts that are known to be right. */
export function cidrs(...texts: readonly string[]): Cidr[] {
  return texts.map((text) => {
    const range = parseCidr(text);
    if (range === undefined) throw new Error(`no CIDR range: ${text}`);
    return range;
  });
}

const loopback = addressSet(cidrs('127.0.0.0/8', '::1/128'));

/** Whether a host, an address or a name, is this machine and nobody else can reach it; `localhost` is. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || loopback(host);
}

/**
 * For whom we ask others (R3). A server that recurses for everybody is an open resolver: a reflector for attacks and a
 * cache that strangers can fill. So recursion is for listed client ranges only.
 */

/**
 * Loopback, RFC 1918, IPv6 unique local (RFC 4193) and link-local addresses. Not 100.64.0.0/10 (RFC 6598), which
 * strangers of the same carrier share, nor 169.254.0.0/16.
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

/** The rule that says whether a client, known by its address, may make us ask others. */
export function recursionRule(allowed: readonly Cidr[] = DEFAULT_RECURSION_RANGES): AddressSet {
  return memoized(addressSet(allowed));
}

/** Every query asks, and a look at the ranges costs more than the rest of an answer; clients are mostly the same few. */
const MAX_REMEMBERED = 4_096;

function memoized(isIn: AddressSet): AddressSet {
  const known = new Map<string, boolean>();
  return (address) => {
    const before = known.get(address);
    if (before !== undefined) return before;
    // A flood from forged addresses empties it now and then, and never makes it grow.
    if (known.size >= MAX_REMEMBERED) known.clear();
    const answer = isIn(address);
    known.set(address, answer);
    return answer;
  };
}
