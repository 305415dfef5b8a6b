/**
 * Which addresses a proxy does not connect to unless the operator wrote them down: a record in the store, or an answer
 * of another server, must not lead consumers to this host's own services or to the credentials of its cloud. Pure.
 */
import {
  addressOctets,
  canonicalAddress,
  embeddedIpv4,
  isLinkLocal,
  isMetadataAddress,
  printAddress,
} from '../../dns/address.ts';

/** Why an address is forbidden. */
export type ForbiddenAddress =
  | 'loopback'
  | 'link-local'
  | 'multicast'
  | 'broadcast'
  | 'unspecified'
  | 'metadata'
  /** The text is no address. */
  | 'invalid';

/** `undefined` if any route may lead to the address. */
export function whyForbidden(address: string): ForbiddenAddress | undefined {
  const [text = ''] = address.split('%', 1);
  const canonical = canonicalAddress(text);
  if (canonical === undefined) return 'invalid';
  if (isMetadataAddress(canonical.address)) return 'metadata';
  const octets = addressOctets(canonical.address);
  return octets.length === 4 ? whyForbidden4(octets) : whyForbidden6(octets);
}

/** RFC 6890, RFC 5771. Linux connects to this host for 0.0.0.0. */
function whyForbidden4(octets: Uint8Array): ForbiddenAddress | undefined {
  const [first = 0] = octets;
  if (first === 0) return 'unspecified';
  if (first === 127) return 'loopback';
  if (isLinkLocal(octets)) return 'link-local';
  if (first >= 224 && first <= 239) return 'multicast';
  return octets.every((octet) => octet === 255) ? 'broadcast' : undefined;
}

function whyForbidden6(octets: Uint8Array): ForbiddenAddress | undefined {
  if (octets[0] === 0xff) return 'multicast';
  if (isLinkLocal(octets)) return 'link-local';
  if (octets.subarray(0, 15).every((octet) => octet === 0))
    return octets[15] === 1 ? 'loopback' : 'unspecified';
  const inner = embeddedIpv4(octets);
  return inner === undefined ? undefined : whyForbidden(printAddress(inner));
}
