/** The stream sockets of a carrier through libc: how they begin, which options they have, and how they end. */
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  SO_ERROR,
  SO_KEEPALIVE,
  SO_LINGER,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  SOL_TCP,
  sockaddrPort,
  sockaddrText,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
  writeSockaddr,
} from '../../../dataplane/sockets/layout.ts';
import { BACKLOG, interfaceIndex, SocketMaker } from '../../../dataplane/sockets/socket.ts';
import { addressFamily, type SocketAddress } from '../../../dns/address.ts';
import { EINTR, type Libc, systemError } from '../../../kernel/libc.ts';
import type { StreamCalls } from '../../../kernel/streamCalls.ts';
import { KEEPALIVE_MS, type StreamAddress } from './carrier.ts';

/** struct sockaddr_un: the family, then the path with its NUL. */
const UNIX_OCTETS = 110;
const UNIX_PATH = 2;
/** Offsets in the memory of the calls. */
const PEER = 128;
const LENGTH = 192;
const OPTION = 200;
const ROOM_OCTETS = 256;

const F_SETFL = 4;
const O_RDWR = 2;
const SHUT_WR = 1;
const MSG_NOSIGNAL = 0x4000;
const EINVAL = 22;
const EINPROGRESS = 115;

/** As Node's sockets have them. */
const KEEPALIVE_PROBES = 10;
const KEEPALIVE_PROBE_SECONDS = 1;

export class KernelSockets {
  readonly #libc: Libc;
  readonly #calls: StreamCalls;
  readonly #room = new ArrayBuffer(ROOM_OCTETS);
  readonly #view = new DataView(this.#room);
  readonly #octets = new Uint8Array(this.#room);
  readonly #peerOctets = this.#octets.subarray(PEER, LENGTH);
  readonly #at: number;

  constructor(libc: Libc, calls: StreamCalls) {
    this.#libc = libc;
    this.#calls = calls;
    this.#at = libc.addressOf(this.#room);
  }

  /** Opens or takes over a listening socket. Accepted ones have its options. Throws the system's error. */
  listen(at: StreamAddress): number {
    if (at.kind === 'path') return this.#listenAtPath(at.path);
    const fd = at.kind === 'port' ? new SocketMaker(this.#libc).openStream(at) : at.fd;
    try {
      if (at.kind === 'descriptor') this.#startListening(fd);
      this.#set(fd, SOL_TCP, TCP_NODELAY, 1);
      this.keepAlive(fd);
      return fd;
    } catch (error) {
      this.#libc.close(fd);
      throw error;
    }
  }

  /** The address and port of our side; undefined for a Unix socket. */
  localEnd(fd: number): SocketAddress | undefined {
    const isKnown = this.#readName(fd);
    return isKnown && this.#view.getUint16(PEER, true) !== AF_UNIX ? this.#peerName() : undefined;
  }

  /** Returns a descriptor, whose `peer()` is valid until the next call, or the negative errno. */
  accept(listening: number): number {
    this.#view.setUint32(LENGTH, LENGTH - PEER, true);
    const { accept4 } = this.#calls;
    const [address, length] = [this.#at + PEER, this.#at + LENGTH];
    return this.#orErrno(accept4(listening, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC));
  }

  /** The address of the accepted client; undefined if it came over a Unix socket. */
  peer(): SocketAddress | undefined {
    return this.#view.getUint16(PEER, true) === AF_UNIX ? undefined : this.#peerName();
  }

  /** Begins to connect. Probes no idle peer yet. Returns a descriptor, or the negative errno. */
  connect(to: SocketAddress): number {
    const [literal = ''] = to.address.split('%', 1);
    const family = addressFamily(literal);
    if (family === 0) return -EINVAL;
    const domain = family === 6 ? AF_INET6 : AF_INET;
    const fd = this.#orErrno(
      this.#libc.socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
    );
    if (fd < 0) return fd;
    this.#set(fd, SOL_TCP, TCP_NODELAY, 1);
    const length = writeSockaddr(this.#view, to, interfaceIndex);
    const result = this.#orErrno(this.#libc.connect(fd, this.#at, length));
    if (result === 0 || result === -EINPROGRESS || result === -EINTR) return fd;
    this.#libc.close(fd);
    return result;
  }

  /** The errno of a connection that the kernel reported on; 0 if it is made. */
  connectErrno(fd: number): number {
    this.#view.setUint32(LENGTH, 4, true);
    const [value, length] = [this.#at + OPTION, this.#at + LENGTH];
    const result = this.#libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, value, length);
    return result < 0 ? this.#libc.errno() : this.#view.getInt32(OPTION, true);
  }

  /**
   * Whether a connection to this address has it as both ends: the kernel may choose the same local port if no process
   * listens there (RFC 9293 §3.5).
   */
  isConnectedToItself(fd: number, to: SocketAddress): boolean {
    if (!this.#readName(fd) || sockaddrPort(this.#peerOctets) !== to.port) return false;
    const length = writeSockaddr(this.#view, to, interfaceIndex);
    for (let i = 0; i < length; i++) if (this.#octets[i] !== this.#octets[PEER + i]) return false;
    return true;
  }

  /** Sends octets for which a new socket has room; false if it has failed. */
  sendFirst(fd: number, octets: Uint8Array): boolean {
    this.#octets.set(octets);
    return this.#libc.send(fd, this.#at, octets.length, MSG_NOSIGNAL) === octets.length;
  }

  /** Has the kernel probe the peer while nothing is sent; `connect` does not. A Unix socket refuses that. */
  keepAlive(fd: number): void {
    this.#set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    this.#set(fd, SOL_TCP, TCP_KEEPIDLE, KEEPALIVE_MS / 1_000);
    this.#set(fd, SOL_TCP, TCP_KEEPINTVL, KEEPALIVE_PROBE_SECONDS);
    this.#set(fd, SOL_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
  }

  endHalf(fd: number): void {
    this.#calls.shutdown(fd, SHUT_WR);
  }

  close(fd: number): void {
    this.#libc.close(fd);
  }

  /** Closes it with a RST, which a Unix socket does not have. */
  reset(fd: number): void {
    this.#view.setInt32(OPTION, 1, true);
    this.#view.setInt32(OPTION + 4, 0, true);
    this.#libc.setsockopt(fd, SOL_SOCKET, SO_LINGER, this.#at + OPTION, 8);
    this.#libc.close(fd);
  }

  #listenAtPath(path: string): number {
    const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    const fd = this.#check(this.#libc.socket(AF_UNIX, type, 0), 'socket');
    try {
      this.#octets.fill(0, 0, UNIX_OCTETS);
      this.#view.setUint16(0, AF_UNIX, true);
      const octets = new TextEncoder().encodeInto(path, this.#octets.subarray(UNIX_PATH)).written;
      this.#check(this.#libc.bind(fd, this.#at, UNIX_PATH + octets + 1), 'bind');
      this.#check(this.#libc.listen(fd, BACKLOG), 'listen');
      return fd;
    } catch (error) {
      this.#libc.close(fd);
      throw error;
    }
  }

  #startListening(fd: number): void {
    this.#check(this.#calls.fcntl(fd, F_SETFL, O_RDWR | SOCK_NONBLOCK), 'fcntl');
    this.#check(this.#libc.listen(fd, BACKLOG), 'listen');
  }

  #set(fd: number, level: number, name: number, value: number): void {
    this.#view.setInt32(OPTION, value, true);
    this.#libc.setsockopt(fd, level, name, this.#at + OPTION, 4);
  }

  #readName(fd: number): boolean {
    this.#octets.fill(0, PEER, LENGTH);
    this.#view.setUint32(LENGTH, LENGTH - PEER, true);
    return this.#libc.getsockname(fd, this.#at + PEER, this.#at + LENGTH) === 0;
  }

  #peerName(): SocketAddress {
    return {
      address: sockaddrText(this.#peerOctets),
      port: sockaddrPort(this.#peerOctets),
    };
  }

  #orErrno(result: number): number {
    return result < 0 ? -this.#libc.errno() : result;
  }

  #check(result: number, call: string): number {
    if (result < 0) throw systemError(this.#libc.errno(), call);
    return result;
  }
}
