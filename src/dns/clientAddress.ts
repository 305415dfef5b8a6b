/** Writes a socket's peer address the way `Client.address` wants it: no zone index, IPv4-mapped IPv6 as plain IPv4. */
export function clientAddress(socketAddress: string): string {
  const zone = socketAddress.indexOf('%');
  const address = zone === -1 ? socketAddress : socketAddress.slice(0, zone);
  return isMapped(address) ? address.slice(MAPPED_PREFIX.length) : address;
}

const MAPPED_PREFIX = '::ffff:';

function isMapped(address: string): boolean {
  return address.startsWith(MAPPED_PREFIX) && address.includes('.');
}
