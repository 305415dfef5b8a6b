/**
 * Datagrams to a Unix socket, which Node cannot send: the protocol of service managers. Also the credentials of the
 * peer of a Unix connection.
 */

import { type Libc, loadLibc } from '../../kernel/libc.ts';
import {
  AF_UNIX,
  Iovec,
  MsgHdr,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
} from './layout.ts';

export interface NotifySocket {
  /** Sends one message without waiting; false if the kernel did not accept it. */
  send(text: string): boolean;
  close(): void;
}

export type NotifyResult =
  | { readonly kind: 'socket'; readonly socket: NotifySocket }
  /** `reason` has no full stop. */
  | { readonly kind: 'missing'; readonly reason: string };

/** struct sockaddr_un: the family, then the path. */
const PATH_AT = 2;
const MAX_PATH_OCTETS = 108;

/** `address` as in NOTIFY_SOCKET: a path, or an abstract name that begins with `@`. */
export function openNotifySocket(address: string): NotifyResult {
  const name = unixSockaddrOf(address);
  if (name === undefined) return { kind: 'missing', reason: `${address} is not a Unix socket` };
  const loaded = loadLibc();
  if (loaded.kind === 'missing') return loaded;
  const { libc } = loaded;
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return { kind: 'missing', reason: `cannot make a Unix socket (errno ${libc.errno()})` };
  const send = (text: string): boolean => sendTo(libc, fd, name, Buffer.from(text, 'utf8')) === 1;
  return { kind: 'socket', socket: { send, close: () => void libc.close(fd) } };
}

/** A struct sockaddr_un. A path ends in NUL; an abstract name begins with NUL, and the length of the address ends it (unix(7)). */
function unixSockaddrOf(address: string): Uint8Array | undefined {
  if (!/^[@/]./.test(address)) return undefined;
  const isAbstract = address.startsWith('@');
  const path = Buffer.from(isAbstract ? `\0${address.slice(1)}` : `${address}\0`, 'utf8');
  if (path.length > MAX_PATH_OCTETS) return undefined;
  const octets = new Uint8Array(PATH_AT + path.length);
  new DataView(octets.buffer).setUint16(0, AF_UNIX, true);
  octets.set(path, PATH_AT);
  return octets;
}

/** One sendmmsg of one message; returns its result. */
function sendTo(libc: Libc, fd: number, name: Uint8Array, text: Uint8Array): number {
  const nameAt = MsgHdr.SIZE + Iovec.SIZE;
  const textAt = nameAt + name.length;
  const memory = new ArrayBuffer(textAt + text.length);
  const octets = new Uint8Array(memory);
  octets.set(name, nameAt);
  octets.set(text, textAt);
  const base = libc.addressOf(memory);
  const view = new DataView(memory);
  const setPointer = (at: number, value: number) => view.setBigUint64(at, BigInt(value), true);
  setPointer(MsgHdr.NAME, base + nameAt);
  view.setUint32(MsgHdr.NAME_OCTETS, name.length, true);
  setPointer(MsgHdr.IOVECS, base + MsgHdr.SIZE);
  setPointer(MsgHdr.IOVEC_COUNT, 1);
  setPointer(MsgHdr.SIZE + Iovec.BASE, base + textAt);
  setPointer(MsgHdr.SIZE + Iovec.OCTETS, text.length);
  return libc.sendmmsg(fd, base, 1, 0);
}

/** The process at the other end of a Unix connection, as the kernel reports it (SO_PEERCRED, unix(7)). */
export interface PeerCredentials {
  /** 0 for a process in another PID namespace. */
  readonly pid: number;
  readonly uid: number;
}

const SO_PEERCRED = 17;
/** struct ucred: pid, uid and gid, of 32 bits each. */
const UCRED_OCTETS = 12;

/** `undefined` if libc is missing, or `fd` is not a Unix connection. */
export function peerCredentials(fd: number): PeerCredentials | undefined {
  const loaded = loadLibc();
  return loaded.kind === 'libc' ? credentialsOf(loaded.libc, fd) : undefined;
}

function credentialsOf(libc: Libc, fd: number): PeerCredentials | undefined {
  const room = new ArrayBuffer(UCRED_OCTETS + 4);
  const view = new DataView(room);
  view.setUint32(UCRED_OCTETS, UCRED_OCTETS, true);
  const at = libc.addressOf(room);
  const failed = libc.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, at, at + UCRED_OCTETS) !== 0;
  if (failed || view.getUint32(UCRED_OCTETS, true) !== UCRED_OCTETS) return undefined;
  return { pid: view.getInt32(0, true), uid: view.getUint32(4, true) };
}
