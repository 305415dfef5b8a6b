/** The addresses of this host, also those on interfaces that are down, which Node leaves out (rtnetlink(7)). */
import { printAddress } from '../dns/address.ts';
import { type NetlinkMessage, readAttributes } from './netlinkMessage.ts';
import { NETLINK_ROUTE, type NetlinkDump, openNetlink } from './netlinkSocket.ts';

const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
/** struct ifaddrmsg. */
const HEADER_OCTETS = 8;
const ADDRESS = 1;
/** On point-to-point links the own address; `ADDRESS` is then the peer's. */
const LOCAL = 2;

export function listHostAddresses(): NetlinkDump<string> {
  const opened = openNetlink(NETLINK_ROUTE);
  if (opened.kind === 'missing') return { kind: 'failed', code: opened.reason };
  const { socket } = opened;
  try {
    return socket.dump<string>(RTM_GETADDR, new Uint8Array(HEADER_OCTETS), (message, addresses) => {
      const address = decodeHostAddress(message);
      if (address !== undefined) addresses.push(address);
    });
  } finally {
    socket.close();
  }
}

export function decodeHostAddress({ type, payload }: NetlinkMessage): string | undefined {
  if (type !== RTM_NEWADDR) return undefined;
  const values = readAttributes(payload.subarray(HEADER_OCTETS));
  const octets = values.get(LOCAL) ?? values.get(ADDRESS);
  return octets?.length === 4 || octets?.length === 16 ? printAddress(octets) : undefined;
}
