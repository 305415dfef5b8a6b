/**
 * For whom we ask others (R3). A server that recurses for everybody is an open resolver: a reflector for attacks and a
 * cache that strangers can fill. So recursion is for listed client ranges only.
 */
import { type AddressSet, addressSet, type Cidr, cidrs } from './addresses.ts';

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
  return remembering(addressSet(allowed));
}

/** Every query asks, and a look at the ranges costs more than the rest of an answer; clients are mostly the same few. */
const MAX_REMEMBERED = 4_096;

function remembering(isIn: AddressSet): AddressSet {
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
