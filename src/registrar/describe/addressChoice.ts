/** The result of choosing a container's address, and which addresses other hosts can reach. PURE. */
import { addressFamily, addressOctets, isLinkLocal, printAddress } from '../../dns/address.ts';

/** An address of a container for clients, with the open port. */
export interface ReachableAt {
  /** Canonical text. */
  readonly address: string;
  readonly family: 4 | 6;
  readonly port: number | undefined;
}

export type AddressChoice =
  | {
      readonly kind: 'endpoints';
      /** One or two, at most one of each family, IPv4 first. */
      readonly endpoints: readonly ReachableAt[];
      /** Whether the addresses are the container's own on one of its networks. */
      readonly isInternal: boolean;
    }
  | { readonly kind: 'refused'; readonly reason: string }
  /**
   * `isBinding`: waits until the engine has bound the container's ports. It binds all of them shortly after the start,
   * or none.
   */
  | { readonly kind: 'waiting'; readonly reason: string; readonly isBinding?: true };

/** `undefined` if the text is not an address, or is one that other hosts cannot reach. */
export function endpointAt(text: string, port: number | undefined): ReachableAt | undefined {
  const family = addressFamily(text);
  if (family === 0 || isAnyAddress(text) || isLoopbackText(text)) return undefined;
  const octets = addressOctets(text);
  const first = octets[0] as number;
  // Multicast and above, "this network" (RFC 1122 §3.2.1.3), IPv4-mapped.
  const isUnusable = family === 4 ? first >= 224 || first === 0 : first === 0xff || first === 0;
  return isUnusable || isLinkLocal(octets)
    ? undefined
    : { address: printAddress(octets), family, port };
}

export function isAnyAddress(text: string): boolean {
  return text === '' || text === '0.0.0.0' || text === '::';
}

export function isLoopbackText(text: string): boolean {
  return text.startsWith('127.') || text === '::1';
}

export function chosenAddresses(
  endpoints: readonly ReachableAt[],
  isInternal: boolean,
): AddressChoice {
  const ordered = [...endpoints].sort((a, b) => a.family - b.family);
  return { kind: 'endpoints', endpoints: ordered, isInternal };
}

export function refusedAddress(reason: string): AddressChoice {
  return { kind: 'refused', reason };
}

export function waitingForAddress(reason: string): AddressChoice {
  return { kind: 'waiting', reason };
}
