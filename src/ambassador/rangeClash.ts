/**
 * Ranges of virtual addresses on one host: which of its networks a range would hide, which range is free, and whether
 * the host's own programs can send to a range. Pure.
 */
import { familyOfAddress } from '../dns/address.ts';
import type { KnownNetworks } from '../kernel/knownNetworks.ts';
import type { HostRoute } from '../kernel/routeTables.ts';
import { type Network, rangesOverlap, vipRangeOf } from './vipRange.ts';

/** Networks whose addresses no service can have on any host (RFC 6890). */
const SPECIAL_NETWORKS: readonly (Network & { readonly title: string })[] = [
  { title: 'this network', address: '0.0.0.0', prefixLength: 8 },
  { title: 'loopback', address: '127.0.0.0', prefixLength: 8 },
  // Clouds give a machine its credentials at 169.254.169.254.
  { title: 'link-local', address: '169.254.0.0', prefixLength: 16 },
  { title: 'multicast', address: '224.0.0.0', prefixLength: 4 },
  { title: 'broadcast', address: '255.255.255.255', prefixLength: 32 },
  // Also IPv4-mapped addresses.
  { title: 'loopback', address: '::', prefixLength: 32 },
  { title: 'link-local', address: 'fe80::', prefixLength: 10 },
  { title: 'multicast', address: 'ff00::', prefixLength: 8 },
];

/**
 * Names a network of the host, or of every host, that shares addresses with the range, as in `docker0 (172.17.0.1/16)`;
 * undefined if there is none.
 */
export function rangeClash(
  range: Network,
  { interfaces, routes }: KnownNetworks,
): string | undefined {
  const overlaps = overlapsWith(range);
  const own = interfaces.find(overlaps);
  if (own !== undefined) return `${own.device} (${printNetwork(own)})`;
  const special = SPECIAL_NETWORKS.find(overlaps);
  if (special !== undefined) return `${special.title} (${printNetwork(special)})`;
  const route = routes.find((each) => leadsToNetwork(each) && overlaps(each));
  if (route === undefined) return undefined;
  const { device, table } = route;
  const where = device === undefined ? '' : ` of ${device}`;
  return `the route ${printNetwork(route)}${where}${table === undefined ? '' : ` in table ${table}`}`;
}

export function printNetwork({ address, prefixLength }: Network): string {
  return `${address}/${prefixLength}`;
}

function overlapsWith(range: Network): (network: Network) => boolean {
  const wanted = vipRangeOf(range);
  return (network) => rangesOverlap(wanted, vipRangeOf(network));
}

/** A route with this prefix or a shorter one is a default route, or one of several that replace it, as VPNs do. */
const DEFAULT_PREFIX = { 4: 1, 6: 3 } as const;

/**
 * No host is behind a default route that a range could hide, nor behind a route that is refused or leads to `lo`, which
 * only lets this host's programs send.
 */
function leadsToNetwork({ address, prefixLength, device, isRefused }: HostRoute): boolean {
  return !isRefused && device !== 'lo' && prefixLength > DEFAULT_PREFIX[familyOfAddress(address)];
}

/** The prefix of the largest range that is offered. */
const SHORTEST_PREFIX = { 4: 16, 6: 64 } as const;

/** A range that clashes with no network of the host; of the given size, or of the largest one that is offered. */
export function freeRange(range: Network, networks: KnownNetworks): Network | undefined {
  const family = familyOfAddress(range.address);
  const prefixLength = Math.max(range.prefixLength, SHORTEST_PREFIX[family]);
  for (const address of family === 4 ? candidates4() : candidates6()) {
    const candidate = { address, prefixLength };
    if (rangeClash(candidate, networks) === undefined) return candidate;
  }
  return undefined;
}

/** The default range, the other half of RFC 2544's, then private networks that few hosts use (RFC 1918). */
function* candidates4(): Iterable<string> {
  yield '198.18.0.0';
  yield '198.19.0.0';
  for (let second = 255; second >= 0; second--) yield `10.${second}.0.0`;
  for (let second = 31; second >= 16; second--) yield `172.${second}.0.0`;
}

/** RFC 4193. */
function* candidates6(): Iterable<string> {
  for (let subnet = 0; subnet < 256; subnet++) yield `fd53:6f72:61${hexOf(subnet)}::`;
}

function hexOf(octet: number): string {
  return octet.toString(16).padStart(2, '0');
}

/** Whether a program of the host gets a route for every address of the range. Rules may pass over other tables. */
export function hasRouteTo(range: Network, { routes }: KnownNetworks): boolean {
  const overlaps = overlapsWith(range);
  const covering = routes.filter(
    (route) => route.prefixLength <= range.prefixLength && overlaps(route),
  );
  const [chosen] = covering
    .filter(({ table }) => table === undefined)
    .sort((a, b) => b.prefixLength - a.prefixLength || a.metric - b.metric);
  const others = covering.filter(({ table }) => table !== undefined);
  return [chosen, ...others].some((route) => route?.isRefused === false);
}
