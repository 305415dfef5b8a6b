/** Addresses as the kernel has them: struct sockaddr_in and sockaddr_in6 to and from text. */
import { addressOctets, printAddress } from '../../dns/address.ts';
import type { SocketAddress } from '../../dns/socketAddress.ts';
import { AF_INET, AF_INET6, Sockaddr } from './layout.ts';

/** Writes the address at the start of `room` (`Sockaddr.ROOM` octets) and gives its length. Throws RangeError on text that is no address. */
export function writeSockaddr(
  room: DataView,
  { address, port }: SocketAddress,
  scopeOf: (zone: string) => number,
): number {
  const [literal = '', zone] = address.split('%');
  const octets = addressOctets(literal);
  const isIpv4 = octets.length === 4;
  const at = isIpv4 ? Sockaddr.ADDRESS4 : Sockaddr.ADDRESS6;
  for (let i = 0; i < Sockaddr.ROOM; i++) room.setUint8(i, 0);
  room.setUint16(Sockaddr.FAMILY, isIpv4 ? AF_INET : AF_INET6, true);
  room.setUint16(Sockaddr.PORT, port);
  octets.forEach((octet, i) => {
    room.setUint8(at + i, octet);
  });
  if (!isIpv4 && zone !== undefined) room.setUint32(Sockaddr.SCOPE6, scopeOf(zone), true);
  return isIpv4 ? Sockaddr.SIZE4 : Sockaddr.SIZE6;
}

/** The address at `octets[at]` in text, without a zone index; IPv4-mapped IPv6 addresses keep their prefix. */
export function sockaddrText(octets: Uint8Array, at = 0): string {
  const isIpv4 = octets[at + Sockaddr.FAMILY] === AF_INET;
  const start = at + (isIpv4 ? Sockaddr.ADDRESS4 : Sockaddr.ADDRESS6);
  return printAddress(octets.subarray(start, start + (isIpv4 ? 4 : 16)));
}

/** The port of the address at `octets[at]`, of either family. */
export function sockaddrPort(octets: Uint8Array, at = 0): number {
  const port = at + Sockaddr.PORT;
  return ((octets[port] as number) << 8) | (octets[port + 1] as number);
}
