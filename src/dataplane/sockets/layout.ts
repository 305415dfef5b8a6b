/**
 * The kernel's structures as offsets into memory, and the constants of its calls, for 64-bit little-endian Linux. They
 * are the same for every processor in `kernel/libc.ts`, with glibc and musl.
 */
import { addressOctets, printAddress, type SocketAddress } from '../../dns/address.ts';

/** struct mmsghdr: struct msghdr, and the length that recvmmsg and sendmmsg write. */
export const MsgHdr = {
  NAME: 0,
  NAME_OCTETS: 8,
  IOVECS: 16,
  IOVEC_COUNT: 24,
  CONTROL: 32,
  CONTROL_OCTETS: 40,
  LENGTH: 56,
  SIZE: 64,
} as const;

/** struct iovec. */
export const Iovec = { BASE: 0, OCTETS: 8, SIZE: 16 } as const;

/** struct cmsghdr and, after it, in_pktinfo or in6_pktinfo. */
export const Cmsg = {
  OCTETS: 0,
  LEVEL: 8,
  TYPE: 12,
  DATA: 16,
  /** Room for either address family. */
  SIZE: 40,
} as const;

/** CMSG_SPACE of in_pktinfo (ifindex, the source to use, the destination of the header) and of in6_pktinfo. */
export const PKTINFO4_SPACE = 32;
export const PKTINFO6_SPACE = 40;
export const PKTINFO6_INDEX: number = Cmsg.DATA + 16;
/** In in_pktinfo, the address of ours that received the packet; in in6_pktinfo it comes first. */
const PKTINFO4_LOCAL = Cmsg.DATA + 4;

/** struct sockaddr_in and sockaddr_in6. */
export const Sockaddr = {
  FAMILY: 0,
  PORT: 2,
  ADDRESS4: 4,
  ADDRESS6: 8,
  SCOPE6: 24,
  SIZE4: 16,
  SIZE6: 28,
  /** Room for either, and a multiple of eight. */
  ROOM: 32,
} as const;

/** struct pollfd. */
export const Pollfd = { FD: 0, EVENTS: 4, REVENTS: 6, SIZE: 8 } as const;

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0x800;
export const SOCK_CLOEXEC = 0x80000;

export const SOL_IP = 0;
export const SOL_SOCKET = 1;
export const SOL_TCP = 6;
export const SOL_IPV6 = 41;

export const SO_REUSEADDR = 2;
export const SO_ERROR = 4;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_KEEPALIVE = 9;
export const SO_LINGER = 13;
export const SO_REUSEPORT = 15;
export const SO_RCVTIMEO = 20;
export const SO_ATTACH_REUSEPORT_CBPF = 51;

/** struct sock_fprog, and the struct sock_filter of BPF_RET | BPF_K. */
export const SockFprog = { COUNT: 0, FILTERS: 8, SIZE: 16 } as const;
export const SockFilter = { CODE: 0, VALUE: 4, SIZE: 8, RETURN: 0x06 } as const;

export const TCP_NODELAY = 1;
export const TCP_KEEPIDLE = 4;
export const TCP_KEEPINTVL = 5;
export const TCP_KEEPCNT = 6;

export const IP_PKTINFO = 8;
export const IP_MTU_DISCOVER = 10;
export const IPV6_MTU_DISCOVER = 23;
export const IPV6_V6ONLY = 26;
export const IPV6_RECVPKTINFO = 49;
export const IPV6_PKTINFO = 50;
/** For both families: do not set "don't fragment", and ignore path MTUs, which can be forged. */
export const PMTUDISC_OMIT = 5;

export const MSG_DONTWAIT = 0x40;
export const MSG_WAITFORONE = 0x10000;

export const POLLIN = 1;

/**
 * Writes a struct sockaddr at the start of `room` (`Sockaddr.ROOM` octets), and returns its length. Throws RangeError
 * if the text is not an address.
 */
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

/** The third word of ::ffff:0:0/96, in the byte order of memory. */
export const MAPPED_WORD = new Int32Array(Uint8Array.of(0, 0, 0xff, 0xff).buffer)[0] as number;
const WORD = Int32Array.BYTES_PER_ELEMENT;

/**
 * The index of the word with the IPv4 address of the struct sockaddr at `words[start]`, also of a mapped one (RFC 4291
 * §2.5.5.2); -1 for another IPv6 address.
 */
export function ipv4At(words: Int32Array, start: number): number {
  if (((words[start] as number) & 0xffff) === AF_INET) return start + Sockaddr.ADDRESS4 / WORD;
  const address = start + Sockaddr.ADDRESS6 / WORD;
  const isMapped =
    words[address] === 0 && words[address + 1] === 0 && words[address + 2] === MAPPED_WORD;
  return isMapped ? address + 3 : -1;
}

/** A struct sockaddr of the address, as words. */
export function sockaddrOf(address: string): Int32Array {
  const room = new ArrayBuffer(Sockaddr.ROOM);
  writeSockaddr(new DataView(room), { address, port: 0 }, () => 0);
  return new Int32Array(room);
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

/**
 * The address of ours that received a packet, from the control message of `length` octets at `octets[at]`, without a
 * zone index; `undefined` if the message has none.
 */
export function receivingAddress(
  octets: Uint8Array,
  at: number,
  length: number,
): string | undefined {
  const start = receivingAddressAt(octets, at, length);
  if (start < 0) return undefined;
  return printAddress(octets.subarray(start, start + (start === at + Cmsg.DATA ? 16 : 4)));
}

/**
 * Where that address begins, four octets of IPv4 or sixteen of IPv6; -1 if the message has none. Allocates nothing. The
 * values of level and type are below 256.
 */
export function receivingAddressAt(octets: Uint8Array, at: number, length: number): number {
  const level = octets[at + Cmsg.LEVEL];
  const type = octets[at + Cmsg.TYPE];
  if (length >= PKTINFO4_SPACE && level === SOL_IP && type === IP_PKTINFO)
    return at + PKTINFO4_LOCAL;
  const isIpv6 = length >= PKTINFO6_SPACE && level === SOL_IPV6 && type === IPV6_PKTINFO;
  return isIpv6 ? at + Cmsg.DATA : -1;
}

/**
 * What another thread needs to answer a packet later: the socket, the sender, and the address that received the packet.
 * Offsets are in words of shared memory.
 */
export const Envelope = {
  /** The socket's descriptor. */
  FD: 0,
  /** Octets of the packet. */
  LENGTH: 1,
  /** Octets of control messages; 0 if the socket is bound to the address that received the packet. */
  CONTROL_OCTETS: 2,
  /** struct sockaddr of the sender. */
  NAME: 3,
  NAME_WORDS: Sockaddr.ROOM / WORD,
  CONTROL: 3 + Sockaddr.ROOM / WORD,
  CONTROL_WORDS: Cmsg.SIZE / WORD,
  WORDS: 3 + Sockaddr.ROOM / WORD + Cmsg.SIZE / WORD,
} as const;

/** Copies words. For a few dozen this is cheaper than `set`, which needs a view of the source. */
export function copyWords(
  from: Int32Array,
  fromAt: number,
  to: Int32Array,
  toAt: number,
  words: number,
): void {
  for (let i = 0; i < words; i++) to[toAt + i] = from[fromAt + i] as number;
}
