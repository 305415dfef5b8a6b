/**
 * The system calls behind the batched sockets, bound once through koffi: the only place that knows it. koffi is an
 * optional dependency and the calls are Linux's, so whoever asks is told why they are missing and does without.
 *
 * Addresses are plain numbers: user space ends below 2^53 on every processor listed here, and a number is the cheapest
 * argument there is (a typed array or a BigInt costs some 40 ns more a call, and a BigInt is garbage besides).
 */
import { createRequire } from 'node:module';
import os, { endianness } from 'node:os';
import type { DropReason } from '../table/counters.ts';

/** Each call gives what libc's does: -1 and `errno()` where it failed. Nothing here throws or allocates. */
export interface Libc {
  socket(family: number, type: number, protocol: number): number;
  setsockopt(fd: number, level: number, name: number, value: number, octets: number): number;
  getsockopt(fd: number, level: number, name: number, value: number, octets: number): number;
  bind(fd: number, address: number, octets: number): number;
  connect(fd: number, address: number, octets: number): number;
  listen(fd: number, backlog: number): number;
  getsockname(fd: number, address: number, octets: number): number;
  close(fd: number): number;
  poll(fds: number, count: number, timeoutMs: number): number;
  recvmmsg(fd: number, messages: number, count: number, flags: number): number;
  sendmmsg(fd: number, messages: number, count: number, flags: number): number;
  /** Of the last call of this thread that failed; to be asked for before the next call. */
  errno(): number;
  /** Where the buffer's memory is. It stays there for as long as the buffer is reachable. */
  addressOf(memory: ArrayBuffer): number;
}

export type LibcResult =
  | { readonly kind: 'libc'; readonly libc: Libc }
  /** `reason` is for a person, without a full stop. */
  | { readonly kind: 'missing'; readonly reason: string };

/** The layouts and numbers used with these calls are those of 64-bit little-endian Linux. */
const PROCESSORS: readonly string[] = ['x64', 'arm64', 'riscv64', 'loong64'];

let loaded: LibcResult | undefined;

/** The same result for every caller of a thread. */
export function loadLibc(): LibcResult {
  loaded ??= load();
  return loaded;
}

function load(): LibcResult {
  if (process.platform !== 'linux') return missing(`batched sockets need Linux`);
  if (!PROCESSORS.includes(process.arch) || endianness() !== 'LE')
    return missing(`batched sockets do not know this processor (${process.arch})`);
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
    return { kind: 'libc', libc: bindAll(koffi) };
  } catch (error) {
    return missing(`koffi cannot be loaded: ${firstLine(error)}`);
  }
}

function missing(reason: string): LibcResult {
  return { kind: 'missing', reason };
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split('\n')[0] ?? '';
}

function bindAll(koffi: typeof import('koffi')): Libc {
  const symbols = koffi.load(null); // what Node itself is linked with, glibc or musl
  const call = (name: string, ...parameters: readonly string[]) =>
    symbols.func(name, 'int', [...parameters]) as (...args: readonly number[]) => number;
  const recvmmsg = call('recvmmsg', 'int', 'uint64', 'uint', 'int', 'uint64');
  return {
    socket: call('socket', 'int', 'int', 'int'),
    setsockopt: call('setsockopt', 'int', 'int', 'int', 'uint64', 'uint'),
    getsockopt: call('getsockopt', 'int', 'int', 'int', 'uint64', 'uint64'),
    bind: call('bind', 'int', 'uint64', 'uint'),
    connect: call('connect', 'int', 'uint64', 'uint'),
    listen: call('listen', 'int', 'int'),
    getsockname: call('getsockname', 'int', 'uint64', 'uint64'),
    close: call('close', 'int'),
    poll: call('poll', 'uint64', 'ulong', 'int'),
    recvmmsg: (fd, messages, count, flags) => recvmmsg(fd, messages, count, flags, NO_TIMEOUT),
    sendmmsg: call('sendmmsg', 'int', 'uint64', 'uint', 'int'),
    errno: () => koffi.errno(),
    addressOf: (memory) => Number(koffi.address(memory)),
  };
}

/** recvmmsg's own timeout is looked at only after a packet (its man page, BUGS); SO_RCVTIMEO does what is wanted. */
const NO_TIMEOUT = 0;

/** What an errno means to us: a name for those who start listeners, a reason to count for those who send. */

const { errno } = os.constants;

export const EINTR: number = errno.EINTR;
export const EAGAIN: number = errno.EAGAIN;
export const EBADF: number = errno.EBADF;

/** As Node's own sockets report it: `code` says EADDRINUSE, EACCES … */
export function systemError(number: number, call: string): NodeJS.ErrnoException {
  const code = codeOf(number);
  return Object.assign(new Error(`${call} ${code}`), { code, errno: -number, syscall: call });
}

function codeOf(number: number): string {
  return Object.entries(errno).find(([, value]) => value === number)?.[0] ?? `errno ${number}`;
}

const REASONS: ReadonlyMap<number, DropReason> = new Map([
  ...[errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM].map(as('noRoom')),
  ...[errno.EPERM, errno.EACCES].map(as('forbidden')),
  ...[errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN].map(as('unreachable')),
  ...[errno.EADDRNOTAVAIL, errno.EINVAL].map(as('unreachable')),
  ...[errno.EMSGSIZE].map(as('tooLong')),
]);

function as(reason: DropReason) {
  return (number: number): [number, DropReason] => [number, reason];
}

/** Under which reason a reply is counted that did not leave because of this errno. */
export function sendDropReason(number: number): DropReason {
  return REASONS.get(number) ?? 'otherSendError';
}
