/**
 * IPv4 and IPv6 addresses as text, octets and reverse names, and addresses with ports. Callers check text from outside
 * with `addressFamily` first. Other text breaks that contract: it throws RangeError and never returns wrong octets.
 */
import { isSubdomainOf, type Label, type Name } from './name.ts';

const REVERSE_IPV4: Name = ['in-addr', 'arpa'];
const REVERSE_IPV6: Name = ['ip6', 'arpa'];

/** The dotted quad as one unsigned number: `192.0.2.1` is 0xc0000201. Throws RangeError on anything else. */
export function ipv4Bits(text: string): number {
  let bits = 0;
  let part = -1;
  let dots = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x2e && part >= 0) {
      bits = bits * 256 + part;
      part = -1;
      dots++;
    } else if (code >= 0x30 && code <= 0x39 && part !== 0) {
      part = (part < 0 ? 0 : part * 10) + code - 0x30;
      if (part > 255) throw notAnAddress(text);
    } else {
      throw notAnAddress(text);
    }
  }
  if (dots !== 3 || part < 0) throw notAnAddress(text);
  return bits * 256 + part;
}

/** The 16 octets of any RFC 4291 §2.2 text form, embedded IPv4 included. Throws RangeError on anything else. */
export function ipv6Octets(text: string): Uint8Array {
  const gap = text.indexOf('::');
  const head = groups(gap < 0 ? text : text.slice(0, gap), text, gap < 0);
  const tail = gap < 0 ? [] : groups(text.slice(gap + 2), text, true);
  const missing = 8 - head.length - tail.length;
  if (gap < 0 ? missing !== 0 : missing < 1) throw notAnAddress(text);
  const octets = new Uint8Array(16);
  head.forEach((group, i) => {
    putGroup(octets, i, group);
  });
  tail.forEach((group, i) => {
    putGroup(octets, 8 - tail.length + i, group);
  });
  return octets;
}

function putGroup(octets: Uint8Array, index: number, group: number): void {
  octets[2 * index] = group >> 8;
  octets[2 * index + 1] = group & 0xff;
}

/** The 16-bit groups of one side of `::`; the last group of the address may be a dotted quad. */
function groups(side: string, whole: string, isLast: boolean): number[] {
  if (side === '') return [];
  const parts = side.split(':');
  return parts.flatMap((part, i) => {
    if (isLast && i === parts.length - 1 && part.includes('.')) {
      const bits = ipv4Bits(part);
      return [Math.floor(bits / 0x10000), bits % 0x10000];
    }
    if (!/^[0-9a-f]{1,4}$/i.test(part)) throw notAnAddress(whole);
    return [Number.parseInt(part, 16)];
  });
}

/** 4 or 6 for the text of an address, 0 for any other text; never throws. */
export function addressFamily(text: string): 0 | 4 | 6 {
  const family = text.includes(':') ? 6 : /^[0-9.]+$/.test(text) ? 4 : 0;
  if (family === 0) return 0;
  try {
    addressOctets(text);
    return family;
  } catch {
    return 0;
  }
}

/** The family of an address in text that was checked before; other text gets one of the two as well. */
export function familyOfAddress(address: string): 4 | 6 {
  return address.includes(':') ? 6 : 4;
}

/** Equal addresses have the same text. */
export interface CanonicalAddress {
  readonly family: 4 | 6;
  /** Dotted quad or RFC 5952's form. */
  readonly address: string;
}

/**
 * The address in canonical form; `undefined` for text that is not an address. An IPv4-mapped IPv6 address (RFC 4291
 * §2.5.5.2), as dual-stack sockets print IPv4 peers, becomes the IPv4 address in it, as in Go's `net.IP`.
 */
export function canonicalAddress(text: string): CanonicalAddress | undefined {
  const family = addressFamily(text);
  if (family === 0) return undefined;
  // `ipv4Bits` accepts no other text of an address.
  if (family === 4) return { family, address: text };
  const octets = addressOctets(text);
  return isIpv4Mapped(octets)
    ? { family: 4, address: printAddress(octets.subarray(12)) }
    : { family, address: printAddress(octets) };
}

/** The 4 or 16 octets of an address in text. Throws RangeError on anything else. */
export function addressOctets(text: string): Uint8Array {
  if (text.includes(':')) return ipv6Octets(text);
  const bits = ipv4Bits(text);
  return Uint8Array.of(bits >>> 24, bits >>> 16, bits >>> 8, bits);
}

/** Four octets as a dotted quad, sixteen in RFC 5952's form. Throws RangeError on any other length. */
export function printAddress(octets: Uint8Array): string {
  if (octets.length === 4) return octets.join('.');
  if (octets.length !== 16) throw new RangeError(`no address has ${octets.length} octets`);
  if (isIpv4Mapped(octets)) return `::ffff:${octets.subarray(12).join('.')}`;
  const parts: number[] = [];
  for (let i = 0; i < 16; i += 2)
    parts.push((octets[i] as number) * 256 + (octets[i + 1] as number));
  return printGroups(parts);
}

/** 127.0.0.0/8, also mapped into IPv6, and ::1; false for text that is not an address. */
export function isLoopbackAddress(text: string): boolean {
  const canonical = canonicalAddress(text);
  if (canonical === undefined) return false;
  return canonical.family === 4
    ? canonical.address.startsWith('127.')
    : canonical.address === '::1';
}

/** 169.254.0.0/16 (RFC 3927), fe80::/10 (RFC 4291 §2.5.6). */
export function isLinkLocal(octets: Uint8Array): boolean {
  const [first, second = 0] = octets;
  return octets.length === 4
    ? first === 169 && second === 254
    : first === 0xfe && (second & 0xc0) === 0x80;
}

/** Services of clouds that give a machine its credentials, or that act on it. */
const METADATA: ReadonlySet<string> = new Set([
  '169.254.169.254',
  '100.100.100.200',
  '168.63.129.16',
  '192.0.0.192',
  'fd00:ec2::254',
  'fd20:ce::254',
]);

/** Takes an address in canonical form. */
export function isMetadataAddress(address: string): boolean {
  return METADATA.has(address);
}

/** `64:ff9b::/96`: a translator at the edge of the network connects to the IPv4 address (RFC 6052). */
const NAT64_PREFIX: readonly number[] = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];

/**
 * The IPv4 address to which packets for an IPv6 address go: by NAT64, 6to4 (RFC 3056), or as ::a.b.c.d. Not for
 * IPv4-mapped addresses, which `canonicalAddress` turns into IPv4 ones.
 */
export function embeddedIpv4(octets: Uint8Array): Uint8Array | undefined {
  if (octets.length !== 16) return undefined;
  if (NAT64_PREFIX.every((octet, i) => octets[i] === octet)) return octets.subarray(12);
  if (octets.subarray(0, 12).every((octet) => octet === 0)) return octets.subarray(12);
  return octets[0] === 0x20 && octets[1] === 0x02 ? octets.subarray(2, 6) : undefined;
}

/** Whether the 16 octets are in ::ffff:0:0/96, which is written with a dotted quad (RFC 5952 §5). */
export function isIpv4Mapped(octets: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) if (octets[i] !== 0) return false;
  return octets[10] === 0xff && octets[11] === 0xff;
}

/** RFC 5952 §4: lower case, no leading zeros, `::` for the first longest run of two zero groups or more. */
function printGroups(parts: readonly number[]): string {
  let start = 0;
  let length = 0;
  for (let i = 0; i < parts.length; i++) {
    let end = i;
    while (parts[end] === 0) end++;
    if (end - i > length) [start, length] = [i, end - i];
  }
  const hex = (from: number, to: number) =>
    parts
      .slice(from, to)
      .map((part) => part.toString(16))
      .join(':');
  return length < 2 ? hex(0, 8) : `${hex(0, start)}::${hex(start + length, 8)}`;
}

/**
 * The owner name of the address's PTR records (RFC 1035 §3.5, RFC 3596 §2.5). An IPv4-mapped address has the name of
 * its IPv4 address. Throws RangeError on text that is not an address.
 */
export function reverseName(address: string): Name {
  const canonical = canonicalAddress(address);
  if (canonical === undefined) throw notAnAddress(address);
  const octets = [...addressOctets(canonical.address)].reverse();
  if (octets.length === 4) return [...octets.map(String), ...REVERSE_IPV4];
  const nibbles = octets.flatMap((octet) => [octet & 15, octet >> 4]);
  return [...nibbles.map((nibble) => nibble.toString(16)), ...REVERSE_IPV6];
}

/** The address as 8 or 32 hexadecimal digits. Throws RangeError on text that is not an address. */
export function hexOfAddress(address: string): Label {
  return Buffer.from(addressOctets(address)).toString('hex');
}

/** The address in 8 or 32 hexadecimal digits of any case; `undefined` for any other label. */
export function addressOfHex(label: Label): CanonicalAddress | undefined {
  if (!/^(?:[0-9a-f]{8}|[0-9a-f]{32})$/i.test(label)) return undefined;
  const octets = Buffer.from(label, 'hex');
  return { family: octets.length === 4 ? 4 : 6, address: printAddress(octets) };
}

/** Whether the name is in `in-addr.arpa` or `ip6.arpa`. */
export function isReverseName(name: Name): boolean {
  return isSubdomainOf(name, REVERSE_IPV4) || isSubdomainOf(name, REVERSE_IPV6);
}

/** Whether the name is the reverse name of an address, not of a network. */
export function isReverseOfAddress(name: Name): boolean {
  return (
    (name.length === 6 && isSubdomainOf(name, REVERSE_IPV4)) ||
    (name.length === 34 && isSubdomainOf(name, REVERSE_IPV6))
  );
}

/** An address with a port, as options, commands, listeners and upstreams give it. */
export interface SocketAddress {
  /** An IP address without brackets, never a host name; a link-local IPv6 address may have a `%zone`. */
  readonly address: string;
  /** 0..65535; the caller decides what 0 means. */
  readonly port: number;
}

/** RFC 1035 §4.2. */
export const DNS_PORT = 53;

/**
 * The address and port in `192.0.2.1:53` or `[2001:db8::1]:53`; with a default port also in an address alone, with or
 * without brackets. `undefined` for any other text, host names included.
 */
export function parseSocketAddress(text: string, defaultPort?: number): SocketAddress | undefined {
  const [, v6, v4, digits] = /^(?:\[([^\]]+)\]|([0-9.]+))(?::([0-9]{1,5}))?$/.exec(text) ?? [];
  const port = digits === undefined ? defaultPort : Number(digits);
  if (port === undefined || port > 65535) return undefined;
  if (v4 !== undefined) return addressFamily(v4) === 4 ? { address: v4, port } : undefined;
  const address = v6 ?? text;
  return isIpv6(address) ? { address, port } : undefined;
}

function isIpv6(text: string): boolean {
  const [, address = ''] = /^([^%]*)(?:%[0-9A-Za-z.:_-]+)?$/.exec(text) ?? [];
  return addressFamily(address) === 6;
}

/** `address:port`, an IPv6 address in brackets. */
export function printSocketAddress({ address, port }: SocketAddress): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** The address at which a client on this host reaches a listening socket: loopback for a wildcard address. */
export function reachableAddress({ address, port }: SocketAddress): SocketAddress {
  if (address === '0.0.0.0') return { address: '127.0.0.1', port };
  return { address: address === '::' ? '::1' : address, port };
}

const MAPPED_PREFIX = '::ffff:';

/** A socket's peer address in the form of `DnsClient.address`: without a zone index, IPv4-mapped IPv6 as IPv4. */
export function clientAddress(socketAddress: string): string {
  const zone = socketAddress.indexOf('%');
  const address = zone === -1 ? socketAddress : socketAddress.slice(0, zone);
  const isMapped = address.startsWith(MAPPED_PREFIX) && address.includes('.');
  return isMapped ? address.slice(MAPPED_PREFIX.length) : address;
}

function notAnAddress(text: string): RangeError {
  return new RangeError(`not an IP address: ${JSON.stringify(text)}`);
}
