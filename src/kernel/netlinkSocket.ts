/**
 * A netlink socket: requests that the kernel acknowledges, dumps of its tables, and messages of multicast groups.
 * Calls wait for the kernel, so they belong on a thread that may wait; a reply that does not come ends the wait.
 */
import { EINTR, EMSGSIZE, ENOBUFS, errnoCode, type Libc, loadLibc } from './libc.ts';
import {
  decodeMessages,
  encodeMessage,
  errnoIn,
  NetlinkFlag,
  type NetlinkMessage,
  NetlinkType,
} from './netlinkMessage.ts';

export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

export type NetlinkOpened =
  | { readonly kind: 'socket'; readonly socket: NetlinkSocket }
  /** `reason` has no full stop. */
  | { readonly kind: 'missing'; readonly reason: string };

export type NetlinkResult =
  | { readonly kind: 'done' }
  /** `code` as in EPERM. */
  | { readonly kind: 'failed'; readonly code: string };

export type NetlinkDump<T> =
  | { readonly kind: 'complete'; readonly entries: readonly T[] }
  | { readonly kind: 'failed'; readonly code: string };

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0x80000;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
/** struct sockaddr_nl: all zero but the family, so that the kernel chooses the port. */
const ADDRESS_OCTETS = 12;
/** struct timeval. */
const TIMEVAL_OCTETS = 16;
/** Longer than any request of ours. */
const MAX_REQUEST_OCTETS = 4_096;

/** The kernel fills at most 32 KiB for one read of a dump. */
const ROOM_OCTETS = 1 << 16;
/** For messages of groups, which the kernel discards when the buffer is full. */
const BUFFER_OCTETS = 1 << 21;
const REPLY_TIMEOUT_MS = 5_000;
/** Tries of a dump whose table changes while it is read. */
const MAX_DUMPS = 8;
/** Reads of one `drain`. */
const MAX_READS = 4_096;

/** Opens a socket of a netlink protocol that receives the messages of these multicast groups. */
export function openNetlink(protocol: number, groups: readonly number[] = []): NetlinkOpened {
  const loaded = loadLibc();
  if (loaded.kind === 'missing') return loaded;
  const { libc } = loaded;
  const fd = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  if (fd < 0) return { kind: 'missing', reason: `no netlink socket: ${errnoCode(libc.errno())}` };
  const socket = new NetlinkSocket(libc, fd);
  const errno = socket.configure(groups);
  if (errno === 0) return { kind: 'socket', socket };
  socket.close();
  return { kind: 'missing', reason: `no netlink socket: ${errnoCode(errno)}` };
}

export class NetlinkSocket {
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #room = new ArrayBuffer(ROOM_OCTETS);
  readonly #roomAt: number;
  /** Values of options, and requests. */
  readonly #outgoing = new ArrayBuffer(MAX_REQUEST_OCTETS);
  readonly #outgoingAt: number;
  #sequence = 0;
  /** The wait for a reply ended without it. The kernel refuses another dump while one is unread. */
  #isReplyOwed = false;

  constructor(libc: Libc, fd: number) {
    this.#libc = libc;
    this.#fd = fd;
    this.#roomAt = libc.addressOf(this.#room);
    this.#outgoingAt = libc.addressOf(this.#outgoing);
  }

  /** Returns 0, or the errno of the call that failed. */
  configure(groups: readonly number[]): number {
    const { bind, errno } = this.#libc;
    const view = new DataView(this.#outgoing);
    view.setUint16(0, AF_NETLINK, true);
    if (bind(this.#fd, this.#outgoingAt, ADDRESS_OCTETS) < 0) return errno();
    const timeoutSeconds = REPLY_TIMEOUT_MS / 1_000;
    if (this.#set(SOL_SOCKET, SO_RCVTIMEO, timeoutSeconds, TIMEVAL_OCTETS) < 0) return errno();
    if (groups.length > 0) this.#set(SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_OCTETS);
    for (const group of groups)
      if (this.#set(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group) < 0) return errno();
    return 0;
  }

  /** Sends one request, and reads its replies up to the acknowledgement. */
  request(
    type: number,
    payload: Uint8Array,
    onReply?: (message: NetlinkMessage) => void,
  ): NetlinkResult {
    const errno = this.#exchange(type, NetlinkFlag.ACK, payload, (message) => onReply?.(message));
    return errno === 0 ? { kind: 'done' } : { kind: 'failed', code: errnoCode(errno) };
  }

  /**
   * Reads a table: `collect` adds the entries of a message. Begins again if the table changes meanwhile, since such a
   * dump may lack entries; the kernel says so for tables that have generations.
   */
  dump<T>(
    type: number,
    payload: Uint8Array,
    collect: (message: NetlinkMessage, entries: T[]) => void,
  ): NetlinkDump<T> {
    for (let dumps = 0; dumps < MAX_DUMPS; dumps++) {
      const entries: T[] = [];
      let isInterrupted = false;
      const errno = this.#exchange(type, NetlinkFlag.DUMP, payload, (message) => {
        isInterrupted ||= (message.flags & NetlinkFlag.INTERRUPTED) !== 0;
        if (!isInterrupted) collect(message, entries);
      });
      if (errno !== 0) return { kind: 'failed', code: errnoCode(errno) };
      if (!isInterrupted) return { kind: 'complete', entries };
    }
    return { kind: 'failed', code: 'EINTR' };
  }

  /**
   * Passes on the messages of groups that have arrived, without waiting. Returns false if the kernel has discarded
   * some, because they were not read in time.
   */
  drain(onMessage: (message: NetlinkMessage) => void): boolean {
    let isWhole = true;
    for (let reads = 0; reads < MAX_READS; reads++) {
      const read = this.#read(MSG_DONTWAIT);
      if (typeof read !== 'number') read.forEach(onMessage);
      else if (read === ENOBUFS) isWhole = false;
      else return isWhole;
    }
    return false;
  }

  close(): void {
    this.#libc.close(this.#fd);
  }

  /** Returns the errno of the request; 0 for success. */
  #exchange(
    type: number,
    flags: number,
    payload: Uint8Array,
    onReply: (message: NetlinkMessage) => void,
  ): number {
    if (this.#isReplyOwed) this.#isReplyOwed = !this.drain(() => {});
    this.#sequence = (this.#sequence + 1) >>> 0;
    const sequence = this.#sequence;
    const message = { type, flags: flags | NetlinkFlag.REQUEST, sequence, payload };
    const sent = this.#send(encodeMessage(message));
    if (sent !== 0) return sent;
    for (;;) {
      const read = this.#read(0);
      if (typeof read === 'number') {
        this.#isReplyOwed = true;
        return read;
      }
      for (const reply of read) {
        if (reply.sequence !== sequence) continue;
        if (reply.type === NetlinkType.ERROR) return errnoIn(reply);
        if (reply.type === NetlinkType.DONE) {
          if ((reply.flags & NetlinkFlag.INTERRUPTED) !== 0) onReply(reply);
          return errnoIn(reply);
        }
        onReply(reply);
      }
    }
  }

  #send(octets: Uint8Array): number {
    new Uint8Array(this.#outgoing).set(octets);
    for (;;) {
      if (this.#libc.send(this.#fd, this.#outgoingAt, octets.length, 0) >= 0) return 0;
      const errno = this.#libc.errno();
      if (errno !== EINTR) return errno;
    }
  }

  /** The messages of one read, valid until the next one; or the errno. */
  #read(flags: number): readonly NetlinkMessage[] | number {
    for (;;) {
      const octets = this.#libc.recv(this.#fd, this.#roomAt, ROOM_OCTETS, flags | MSG_TRUNC);
      // With MSG_TRUNC the result is the length before the cut.
      if (octets > ROOM_OCTETS) return EMSGSIZE;
      if (octets >= 0) return decodeMessages(new Uint8Array(this.#room, 0, octets));
      const errno = this.#libc.errno();
      if (errno !== EINTR) return errno;
    }
  }

  #set(level: number, name: number, value: number, octets = 4): number {
    const view = new DataView(this.#outgoing);
    view.setUint32(0, value, true);
    for (let at = 4; at < octets; at += 4) view.setUint32(at, 0, true);
    return this.#libc.setsockopt(this.#fd, level, name, this.#outgoingAt, octets);
  }
}
