/**
 * Which addresses a proxy does not connect to unless the operator wrote them down: a record in the store, or an answer
 * of another server, must not lead consumers to this host's own services or to the credentials of its cloud. Pure.
 */
import { addressOctets, canonicalAddress, printAddress } from '../../dns/address.ts';

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

/** Services of clouds that give a machine its credentials, or that act on it. */
const METADATA: ReadonlySet<string> = new Set([
  '169.254.169.254',
  '100.100.100.200',
  '168.63.129.16',
  '192.0.0.192',
  'fd00:ec2::254',
  'fd20:ce::254',
]);

/** `undefined` if any route may lead to the address. */
export function whyForbidden(address: string): ForbiddenAddress | undefined {
  const [text = ''] = address.split('%', 1);
  const canonical = canonicalAddress(text);
  if (canonical === undefined) return 'invalid';
  if (METADATA.has(canonical.address)) return 'metadata';
  const octets = addressOctets(canonical.address);
  return octets.length === 4 ? whyForbidden4(octets) : whyForbidden6(octets);
}

/** RFC 6890, RFC 5771. Linux connects to this host for 0.0.0.0. */
function whyForbidden4(octets: Uint8Array): ForbiddenAddress | undefined {
  const [first = 0, second = 0] = octets;
  if (first === 0) return 'unspecified';
  if (first === 127) return 'loopback';
  if (first === 169 && second === 254) return 'link-local';
  if (first >= 224 && first <= 239) return 'multicast';
  return octets.every((octet) => octet === 255) ? 'broadcast' : undefined;
}

function whyForbidden6(octets: Uint8Array): ForbiddenAddress | undefined {
  const [first = 0, second = 0] = octets;
  if (first === 0xff) return 'multicast';
  if (first === 0xfe && (second & 0xc0) === 0x80) return 'link-local';
  if (octets.subarray(0, 15).every((octet) => octet === 0))
    return octets[15] === 1 ? 'loopback' : 'unspecified';
  const inner = embeddedAddress(octets);
  return inner === undefined ? undefined : whyForbidden(printAddress(inner));
}

/** `64:ff9b::/96`: a translator at the edge of the network connects to the IPv4 address (RFC 6052). */
const NAT64_PREFIX: readonly number[] = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];

/** The IPv4 address to which packets for this address go; canonical addresses are never IPv4-mapped. */
function embeddedAddress(octets: Uint8Array): Uint8Array | undefined {
  const [first = 0, second = 0] = octets;
  if (NAT64_PREFIX.every((octet, i) => octets[i] === octet)) return octets.subarray(12);
  if (octets.subarray(0, 12).every((octet) => octet === 0)) return octets.subarray(12);
  return first === 0x20 && second === 0x02 ? octets.subarray(2, 6) : undefined; // RFC 3056
}
