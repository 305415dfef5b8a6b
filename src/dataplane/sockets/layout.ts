/**
 * The kernel's structures as offsets into memory (64-bit little-endian Linux), and the numbers that go with the calls.
 * They are the same for every processor in `libc.ts`, glibc or musl.
 */

/** struct mmsghdr: struct msghdr, and what recvmmsg and sendmmsg report. */
export const Message = {
  NAME: 0,
  NAME_OCTETS: 8,
  PARTS: 16,
  PART_COUNT: 24,
  CONTROL: 32,
  CONTROL_OCTETS: 40,
  LENGTH: 56,
  SIZE: 64,
} as const;

/** struct iovec. */
export const Part = { BASE: 0, OCTETS: 8, SIZE: 16 } as const;

/** struct cmsghdr and, behind it, in_pktinfo or in6_pktinfo. */
export const Control = {
  OCTETS: 0,
  LEVEL: 8,
  TYPE: 12,
  DATA: 16,
  /** Room for either. */
  SIZE: 40,
} as const;

/** CMSG_SPACE of in_pktinfo (ifindex, the source to use, the destination of the header) and of in6_pktinfo. */
export const PKTINFO4_SPACE = 32;
export const PKTINFO6_SPACE = 40;
export const PKTINFO6_INDEX: number = Control.DATA + 16;

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

export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0x800;
export const SOCK_CLOEXEC = 0x80000;

export const SOL_IP = 0;
export const SOL_SOCKET = 1;
export const SOL_IPV6 = 41;

export const SO_REUSEADDR = 2;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_REUSEPORT = 15;
export const SO_RCVTIMEO = 20;
export const SO_ATTACH_REUSEPORT_CBPF = 51;

/** struct sock_fprog, and the struct sock_filter of BPF_RET | BPF_K. */
export const Program = { COUNT: 0, FILTERS: 8, SIZE: 16 } as const;
export const Filter = { CODE: 0, VALUE: 4, SIZE: 8, RETURN: 0x06 } as const;

export const IP_PKTINFO = 8;
export const IP_MTU_DISCOVER = 10;
export const IPV6_MTU_DISCOVER = 23;
export const IPV6_V6ONLY = 26;
export const IPV6_RECVPKTINFO = 49;
export const IPV6_PKTINFO = 50;
/** Of both families: never set "don't fragment", never believe a path MTU (which can be forged). */
export const PMTUDISC_OMIT = 5;

export const MSG_DONTWAIT = 0x40;
export const MSG_WAITFORONE = 0x10000;

export const POLLIN = 1;
