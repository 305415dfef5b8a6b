/**
 * kernel/: Calls the kernel and C libraries where Node cannot. No other folder loads koffi.
 * Imports: dns.
 * Used by: ambassador, ambassador/nft, ambassador/proxy, ambassador/proxy/carry, app, app/ambassador, app/answering,
 *   app/process, app/registrar, cli/host, dataplane/listeners, dataplane/sockets, server/listening, store/file,
 *   tools/doctor/ambassador.
 *
 * The system calls of sockets, bound once through koffi. koffi is an optional dependency, and the calls exist on Linux
 * only, so a caller must be able to work without them: it then receives the reason.
 *
 * Addresses are plain numbers: user space ends below 2^53 on every processor listed here, and a number is the cheapest
 * argument (a typed array or a BigInt costs some 40 ns more per call, and a BigInt is garbage).
 */
import { createRequire } from 'node:module';
import os, { endianness } from 'node:os';

/**
 * Each call returns libc's result: -1 if it failed, and then `errno()` gives the reason. No call throws or allocates.
 */
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
  send(fd: number, memory: number, octets: number, flags: number): number;
  recv(fd: number, memory: number, octets: number, flags: number): number;
  recvmmsg(fd: number, messages: number, count: number, flags: number): number;
  sendmmsg(fd: number, messages: number, count: number, flags: number): number;
  /** The errno of this thread's last failed call. Read it before the next call. */
  errno(): number;
  /** Address of the buffer's memory, valid for as long as the buffer is reachable. */
  addressOf(memory: ArrayBuffer): number;
}

export type LibcResult =
  | { readonly kind: 'libc'; readonly libc: Libc }
  /** `reason` is a text for the operator, without a full stop. */
  | { readonly kind: 'missing'; readonly reason: string };

/** The layouts and numbers used with these calls are those of 64-bit little-endian Linux. */
const PROCESSORS: readonly string[] = ['x64', 'arm64', 'riscv64', 'loong64'];

let loaded: LibcResult | undefined;

/** Returns the same result to every caller in a thread. */
export function loadLibc(): LibcResult {
  loaded ??= load();
  return loaded;
}

/** Whether this thread has loaded libc, so that further calls cost no memory. */
export function hasLibc(): boolean {
  return loaded?.kind === 'libc';
}

function load(): LibcResult {
  const found = loadKoffi();
  return found.kind === 'koffi' ? { kind: 'libc', libc: bindAll(found.koffi) } : found;
}

export type KoffiResult =
  | { readonly kind: 'koffi'; readonly koffi: typeof import('koffi') }
  /** `reason` is a text for the operator, without a full stop. */
  | { readonly kind: 'missing'; readonly reason: string };

export function loadKoffi(): KoffiResult {
  if (process.platform !== 'linux') return missing('system calls through koffi need Linux');
  if (!PROCESSORS.includes(process.arch) || endianness() !== 'LE')
    return missing(`koffi's system calls do not support this processor (${process.arch})`);
  try {
    return { kind: 'koffi', koffi: createRequire(import.meta.url)('koffi') };
  } catch (error) {
    return missing(`koffi cannot be loaded: ${firstLine(error)}`);
  }
}

function missing(reason: string): { readonly kind: 'missing'; readonly reason: string } {
  return { kind: 'missing', reason };
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split('\n')[0] ?? '';
}

function bindAll(koffi: typeof import('koffi')): Libc {
  const symbols = koffi.load(null); // The libc that Node is linked with, glibc or musl.
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
    send: call('send', 'int', 'uint64', 'size_t', 'int'),
    recv: call('recv', 'int', 'uint64', 'size_t', 'int'),
    recvmmsg: (fd, messages, count, flags) => recvmmsg(fd, messages, count, flags, NO_TIMEOUT),
    sendmmsg: call('sendmmsg', 'int', 'uint64', 'uint', 'int'),
    errno: () => koffi.errno(),
    addressOf: (memory) => Number(koffi.address(memory)),
  };
}

/** recvmmsg checks its own timeout only after a packet (its man page, BUGS), so the sockets have SO_RCVTIMEO. */
const NO_TIMEOUT = 0;

const { errno } = os.constants;

export const EINTR: number = errno.EINTR;
export const EAGAIN: number = errno.EAGAIN;
export const EBADF: number = errno.EBADF;
export const EMSGSIZE: number = errno.EMSGSIZE;
export const ENOBUFS: number = errno.ENOBUFS;

/** An error as Node's own sockets report it: `code` is EADDRINUSE, EACCES … */
export function systemError(number: number, call: string): NodeJS.ErrnoException {
  const code = errnoCode(number);
  return Object.assign(new Error(`${call} ${code}`), { code, errno: -number, syscall: call });
}

/** The name of an errno, as in EPERM. */
export function errnoCode(number: number): string {
  return Object.entries(errno).find(([, value]) => value === number)?.[0] ?? `errno ${number}`;
}
