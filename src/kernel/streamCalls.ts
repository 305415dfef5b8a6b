/**
 * The system calls with which one thread carries the octets of many sockets: it waits for all of them at once, and
 * moves octets between them inside the kernel.
 */
import { errnoCode, type Libc, loadKoffi, loadLibc } from './libc.ts';

/** As with `Libc`, each call returns -1 if it failed, and then `Libc.errno()` gives the reason. */
export interface StreamCalls {
  accept4(fd: number, address: number, octets: number, flags: number): number;
  fcntl(fd: number, command: number, value: number): number;
  shutdown(fd: number, how: number): number;
  pipe2(fds: number, flags: number): number;
  /** The offsets of a socket and a pipe are 0. */
  splice(from: number, noOffset: 0, to: number, none: 0, octets: number, flags: number): number;
  eventfd(value: number, flags: number): number;
  read(fd: number, memory: number, octets: number): number;
  write(fd: number, memory: number, octets: number): number;
  epollCreate(flags: number): number;
  epollControl(epoll: number, operation: number, fd: number, event: number): number;
  epollWait(epoll: number, events: number, count: number, timeoutMs: number): number;
}

export type StreamCallsResult =
  | { readonly kind: 'calls'; readonly libc: Libc; readonly calls: StreamCalls }
  /** `reason` is a text for the operator, without a full stop. */
  | { readonly kind: 'missing'; readonly reason: string };

let loaded: StreamCallsResult | undefined;

/** Returns the same result to every caller in a thread. */
export function loadStreamCalls(): StreamCallsResult {
  loaded ??= load();
  return loaded;
}

function load(): StreamCallsResult {
  const found = loadKoffi();
  if (found.kind === 'missing') return found;
  const { libc } = loadLibc() as { libc: Libc }; // it needs only koffi
  return { kind: 'calls', libc, calls: bindCalls(found.koffi) };
}

function bindCalls(koffi: typeof import('koffi')): StreamCalls {
  const symbols = koffi.load(null);
  const call = (name: string, ...parameters: readonly string[]) =>
    symbols.func(name, 'int', [...parameters]) as (...args: readonly number[]) => number;
  return {
    accept4: call('accept4', 'int', 'uint64', 'uint64', 'int'),
    fcntl: call('fcntl', 'int', 'int', 'int'),
    shutdown: call('shutdown', 'int', 'int'),
    pipe2: call('pipe2', 'uint64', 'int'),
    splice: call('splice', 'int', 'uint64', 'int', 'uint64', 'size_t', 'uint'),
    eventfd: call('eventfd', 'uint', 'int'),
    read: call('read', 'int', 'uint64', 'size_t'),
    write: call('write', 'int', 'uint64', 'size_t'),
    epollCreate: call('epoll_create1', 'int'),
    epollControl: call('epoll_ctl', 'int', 'int', 'int', 'uint64'),
    epollWait: call('epoll_wait', 'int', 'uint64', 'int', 'int'),
  };
}

export const EPOLLIN = 0x1;
export const EPOLLOUT = 0x4;
export const EPOLLERR = 0x8;
export const EPOLLHUP = 0x10;
/** Report each change once, and not again what is still so. */
export const EPOLLET = 0x80000000;

const EPOLL_CLOEXEC = 0x80000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
/** struct epoll_event: on x86-64 alone it has no gap before its data. */
const [EVENT_OCTETS, DATA] = process.arch === 'x64' ? [12, 4] : [16, 8];
const MAX_EVENTS = 256;

/** Waits for many descriptors. Each is known by a number of its owner's choice, below 2^53. */
export class Epoll {
  readonly #libc: Libc;
  readonly #calls: StreamCalls;
  readonly #fd: number;
  readonly #room = new ArrayBuffer(EVENT_OCTETS * (MAX_EVENTS + 1));
  readonly #view = new DataView(this.#room);
  readonly #at: number;

  /** Throws if this process has no descriptor left. */
  constructor(libc: Libc, calls: StreamCalls) {
    this.#libc = libc;
    this.#calls = calls;
    this.#at = libc.addressOf(this.#room);
    this.#fd = calls.epollCreate(EPOLL_CLOEXEC);
    if (this.#fd < 0) throw new Error(`epoll_create1: ${errnoCode(libc.errno())}`);
  }

  /** Returns false if the kernel has no room for it. Closing a descriptor removes it. */
  add(fd: number, id: number, events: number): boolean {
    const at = MAX_EVENTS * EVENT_OCTETS;
    this.#view.setUint32(at, events, true);
    this.#view.setUint32(at + DATA, id >>> 0, true);
    this.#view.setUint32(at + DATA + 4, Math.floor(id / 2 ** 32), true);
    return this.#calls.epollControl(this.#fd, EPOLL_CTL_ADD, fd, this.#at + at) === 0;
  }

  remove(fd: number): void {
    this.#calls.epollControl(this.#fd, EPOLL_CTL_DEL, fd, this.#at);
  }

  /** Returns how many events there are; they are valid until the next call. */
  wait(timeoutMs: number): number {
    const count = this.#calls.epollWait(this.#fd, this.#at, MAX_EVENTS, timeoutMs);
    return Math.max(0, count); // a signal has ended the wait
  }

  idOf(index: number): number {
    const at = index * EVENT_OCTETS + DATA;
    return this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * 2 ** 32;
  }

  eventsOf(index: number): number {
    return this.#view.getUint32(index * EVENT_OCTETS, true);
  }

  close(): void {
    this.#libc.close(this.#fd);
  }
}

const EFD_CLOEXEC = 0x80000;
const EFD_NONBLOCK = 0x800;
const SIGNAL_OCTETS = 8;

/** Wakes a thread that waits in `Epoll.wait` for its descriptor. */
export class WakeSignal {
  readonly fd: number;
  readonly #libc: Libc;
  readonly #calls: StreamCalls;
  readonly #room = new BigUint64Array([1n, 0n]);
  readonly #at: number;

  /** Makes a descriptor, or uses that of another thread's signal. Throws if this process has no descriptor left. */
  constructor(libc: Libc, calls: StreamCalls, fd = calls.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (fd < 0) throw new Error(`eventfd: ${errnoCode(libc.errno())}`);
    this.fd = fd;
    this.#libc = libc;
    this.#calls = calls;
    this.#at = libc.addressOf(this.#room.buffer);
  }

  send(): void {
    this.#calls.write(this.fd, this.#at, SIGNAL_OCTETS);
  }

  /** Forgets the signals that were sent. */
  clear(): void {
    this.#calls.read(this.fd, this.#at + SIGNAL_OCTETS, SIGNAL_OCTETS);
  }

  close(): void {
    this.#libc.close(this.fd);
  }
}
