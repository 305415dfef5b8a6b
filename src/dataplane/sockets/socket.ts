/**
 * dataplane/sockets/: Makes the sockets that Node cannot make, through libc.
 * Imports: dataplane/table, dns, kernel.
 * Used by: ambassador/proxy/carry, app/answering, app/process, cli/host, dataplane/listeners, dataplane/reply, dnstap,
 *   server, server/tcp.
 *
 * Makes UDP sockets for workers, and TCP sockets that a successor may share. The descriptors belong to the process:
 * when a worker dies, the next one reads the packets that wait in them.
 *
 * Several sockets on one address share it through SO_REUSEPORT, and the kernel keeps each client with one of them. The
 * first one is bound before it gets that option: otherwise a second server of the same user would join the group and
 * take half of our questions, instead of failing with EADDRINUSE. A server joins only with `joins`.
 */
import type { SocketAddress } from '../../dns/address.ts';
import { hostInterfaces } from '../../kernel/interfaces.ts';
import { type Libc, systemError } from '../../kernel/libc.ts';
import * as layout from './layout.ts';
import {
  AF_INET,
  AF_INET6,
  POLLIN,
  Pollfd,
  SOL_IP,
  SOL_IPV6,
  SOL_SOCKET,
  Sockaddr,
  sockaddrPort,
  sockaddrText,
  writeSockaddr,
} from './layout.ts';

/** A socket of the workers. It can be posted to another thread. */
export interface UdpSocket extends SocketAddress {
  readonly fd: number;
  readonly family: 4 | 6;
  /**
   * Control messages give the address that received a packet, and replies leave from it. For wildcard addresses only.
   */
  readonly packetInfo: boolean;
  /** Reading blocks, for `RECEIVE_TIMEOUT_MS` at most. False for inherited descriptors. */
  readonly blocking: boolean;
}

/** How long a worker may wait in a read before it checks for an assignment. */
export const RECEIVE_TIMEOUT_MS = 50;

export class SocketMaker {
  readonly #libc: Libc;
  readonly #room = new ArrayBuffer(256);
  readonly #view = new DataView(this.#room);
  readonly #octets = new Uint8Array(this.#room);
  readonly #at: number;

  constructor(libc: Libc) {
    this.#libc = libc;
    this.#at = libc.addressOf(this.#room);
  }

  /**
   * Opens `count` sockets on one address; with port 0 the system chooses one port for all. With `joins` they share the
   * address with a running server of the same user. Throws the system's error.
   */
  open(endpoint: SocketAddress, count: number, joins = false): UdpSocket[] {
    const sockets: UdpSocket[] = [];
    try {
      const first = this.#bound(endpoint, joins);
      sockets.push(first);
      this.#set(first.fd, SOL_SOCKET, layout.SO_REUSEPORT, 1);
      const { port } = first;
      while (sockets.length < count) sockets.push(this.#bound({ ...endpoint, port }, true));
      return sockets;
    } catch (error) {
      for (const { fd } of sockets) this.#libc.close(fd);
      throw error;
    }
  }

  /** Takes over a bound socket that another program made, such as a supervisor. Throws the system's error. */
  adopt(fd: number): UdpSocket {
    return { ...this.#configured(fd), blocking: false };
  }

  /** Opens a listening TCP socket; see `open`. */
  openStream(endpoint: SocketAddress, joins = false): number {
    const fd = this.#socket(endpoint, layout.SOCK_STREAM | layout.SOCK_NONBLOCK);
    try {
      this.#set(fd, SOL_SOCKET, layout.SO_REUSEADDR, 1); // As Node does: old connections may linger.
      this.#bind(fd, endpoint, joins);
      this.#set(fd, SOL_SOCKET, layout.SO_REUSEPORT, 1);
      this.#check(this.#libc.listen(fd, BACKLOG), 'listen');
      return fd;
    } catch (error) {
      this.#libc.close(fd);
      throw error;
    }
  }

  /**
   * Directs new packets to the other sockets on the address; there must be at least one. Packets that wait in this
   * socket can still be read and answered. The call connects the socket to the discard port, from which no packet
   * comes: a connected socket receives only its peer's packets (Linux 5.4).
   */
  divertPackets({ fd, address }: UdpSocket): void {
    const isWildcard = address === '0.0.0.0' || address === '::';
    const local = address === '::' ? '::1' : '127.0.0.1';
    const discard = { address: isWildcard ? local : address, port: DISCARD_PORT };
    const length = writeSockaddr(this.#view, discard, interfaceIndex);
    this.#check(this.#libc.connect(fd, this.#at, length), 'connect');
  }

  /**
   * Directs new connections to the second of the sockets on the address, the oldest one that joined. Without a second
   * socket nothing changes. Connections that wait in this socket can still be accepted.
   */
  divertConnections(fd: number): void {
    const { SockFilter, SockFprog } = layout;
    const filterAt = OPTION_AT + SockFprog.SIZE;
    const returnSecond = (BigInt(1) << 32n) | BigInt(SockFilter.RETURN);
    this.#view.setBigUint64(filterAt, returnSecond, true);
    this.#view.setBigUint64(OPTION_AT + SockFprog.COUNT, 1n, true);
    this.#view.setBigUint64(OPTION_AT + SockFprog.FILTERS, BigInt(this.#at + filterAt), true);
    const { setsockopt } = this.#libc;
    const program = [
      layout.SO_ATTACH_REUSEPORT_CBPF,
      this.#at + OPTION_AT,
      SockFprog.SIZE,
    ] as const;
    this.#check(setsockopt(fd, SOL_SOCKET, ...program), 'setsockopt');
  }

  #bound(endpoint: SocketAddress, shared: boolean): UdpSocket {
    const fd = this.#socket(endpoint, layout.SOCK_DGRAM);
    try {
      this.#bind(fd, endpoint, shared);
      this.#setReceiveTimeout(fd);
      return { ...this.#configured(fd), blocking: true };
    } catch (error) {
      this.#libc.close(fd);
      throw error;
    }
  }

  #socket({ address }: SocketAddress, type: number): number {
    const family = address.includes(':') ? AF_INET6 : AF_INET;
    return this.#check(this.#libc.socket(family, type | layout.SOCK_CLOEXEC, 0), 'socket');
  }

  #bind(fd: number, endpoint: SocketAddress, shared: boolean): void {
    if (endpoint.address.includes(':')) this.#set(fd, SOL_IPV6, layout.IPV6_V6ONLY, 1);
    if (shared) this.#set(fd, SOL_SOCKET, layout.SO_REUSEPORT, 1);
    const length = writeSockaddr(this.#view, endpoint, interfaceIndex);
    this.#check(this.#libc.bind(fd, this.#at, length), 'bind');
  }

  #configured(fd: number): Omit<UdpSocket, 'blocking'> {
    const { address, port, family } = this.#name(fd);
    const packetInfo = address === '0.0.0.0' || address === '::';
    const [level, mtuDiscover, wantInfo] =
      family === 4
        ? ([SOL_IP, layout.IP_MTU_DISCOVER, layout.IP_PKTINFO] as const)
        : ([SOL_IPV6, layout.IPV6_MTU_DISCOVER, layout.IPV6_RECVPKTINFO] as const);
    if (packetInfo) this.#set(fd, level, wantInfo, 1);
    // Optional: if these fail, the kernel's defaults remain.
    this.#try(fd, level, mtuDiscover, layout.PMTUDISC_OMIT);
    this.#try(fd, SOL_SOCKET, layout.SO_RCVBUF, KERNEL_BUFFER_OCTETS);
    this.#try(fd, SOL_SOCKET, layout.SO_SNDBUF, KERNEL_BUFFER_OCTETS);
    return { fd, address, port, family, packetInfo };
  }

  #name(fd: number): SocketAddress & { readonly family: 4 | 6 } {
    this.#view.setUint32(OPTION_AT, Sockaddr.ROOM, true);
    const { getsockname } = this.#libc;
    this.#check(getsockname(fd, this.#at, this.#at + OPTION_AT), 'getsockname');
    const family = this.#view.getUint16(Sockaddr.FAMILY, true) === AF_INET6 ? 6 : 4;
    return { address: sockaddrText(this.#octets), port: sockaddrPort(this.#octets), family };
  }

  #setReceiveTimeout(fd: number): void {
    this.#view.setBigInt64(OPTION_AT, 0n, true);
    this.#view.setBigInt64(OPTION_AT + 8, BigInt(RECEIVE_TIMEOUT_MS * 1000), true);
    const at = this.#at + OPTION_AT;
    const { SO_RCVTIMEO } = layout;
    this.#check(this.#libc.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, at, 16), 'setsockopt');
  }

  #set(fd: number, level: number, name: number, value: number): void {
    this.#check(this.#try(fd, level, name, value), 'setsockopt');
  }

  #try(fd: number, level: number, name: number, value: number): number {
    this.#view.setInt32(OPTION_AT, value, true);
    return this.#libc.setsockopt(fd, level, name, this.#at + OPTION_AT, 4);
  }

  #check(result: number, call: string): number {
    if (result < 0) throw systemError(this.#libc.errno(), call);
    return result;
  }
}

/** RFC 863. */
const DISCARD_PORT = 9;
/** Connections that may wait to be accepted; Node's default. */
export const BACKLOG = 511;

/** Offset of option values in `#room`; an address is at its start. */
const OPTION_AT = 128;

/** The index of an interface; `zone` is its name or its index. 0 if this host has no such interface. */
export function interfaceIndex(zone: string): number {
  const scopes = (hostInterfaces()[zone] ?? []).map((one) => one.scopeid ?? 0);
  return scopes.find((scope) => scope !== 0) ?? (Number(zone) || 0);
}

/** Waits until one of several sockets can be read. */
export class Poll {
  readonly #libc: Libc;
  readonly #count: number;
  readonly #results: Int16Array;
  readonly #at: number;

  constructor(libc: Libc, fds: readonly number[]) {
    const memory = new ArrayBuffer(Math.max(1, fds.length) * Pollfd.SIZE);
    const view = new DataView(memory);
    fds.forEach((fd, i) => {
      view.setInt32(i * Pollfd.SIZE + Pollfd.FD, fd, true);
      view.setInt16(i * Pollfd.SIZE + Pollfd.EVENTS, POLLIN, true);
    });
    this.#libc = libc;
    this.#count = fds.length;
    this.#results = new Int16Array(memory);
    this.#at = libc.addressOf(memory);
  }

  /** Returns how many sockets are ready within that time; -1 and libc's errno if the call failed. */
  wait(timeoutMs: number): number {
    return this.#libc.poll(this.#at, this.#count, timeoutMs);
  }

  /**
   * Whether socket `i` was ready in the last call with a positive result. Reading it then gives packets or an error.
   */
  isReady(i: number): boolean {
    return this.#results[(i * Pollfd.SIZE + Pollfd.REVENTS) / Int16Array.BYTES_PER_ELEMENT] !== 0;
  }
}

/**
 * Size of the kernel's buffers of every UDP socket, which hold bursts. They are not larger, because in overload the
 * buffer is full and each packet waits for all packets before it. The kernel doubles this number, and a small packet
 * takes 768 octets or more: 2,700 packets at most.
 */
export const KERNEL_BUFFER_OCTETS: number = 1 << 20;
