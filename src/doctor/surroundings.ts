/** What the judgements share: where the server is meant to be, and for which names. Pure. */
import { type Name, printName } from '../dns/name.ts';
import type { SocketAddress } from '../dns/socketAddress.ts';
import { isLoopback } from '../forward/addresses.ts';

/** Where a client on this host reaches an endpoint: a wildcard address is reached on loopback. */
export function reachable({ address, port }: SocketAddress): SocketAddress {
  if (address === '0.0.0.0') return { address: '127.0.0.1', port };
  return address === '::' ? { address: '::1', port } : { address, port };
}

/** Whether a container that asks this address finds the endpoint there. */
export function covers(endpoint: SocketAddress, address: string): boolean {
  const isWildcard = endpoint.address === '0.0.0.0' || endpoint.address === '::';
  return endpoint.address === address || (isWildcard && !isLoopback(address));
}

/** The domain as people write it in configuration, without the dot at its end. */
export function plainName(domain: Name): string {
  return printName(domain).replace(/(?<=.)\.$/, '');
}

/** Whether the domain is one that multicast DNS claims (RFC 6762 §3). */
export function isUnderLocal(domain: Name): boolean {
  return domain.at(-1)?.toLowerCase() === 'local';
}
