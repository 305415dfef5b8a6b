/** The pipes through which a thread moves octets, and its calls that move them. A pair holds one only while it must. */
import { EAGAIN, EINTR, type Libc } from '../../../kernel/libc.ts';
import type { StreamCalls } from '../../../kernel/streamCalls.ts';
import type { KernelSockets } from './kernelSockets.ts';
import type { Pipe, SpliceSystem } from './splicedPair.ts';

const SPLICE_F_MOVE = 1;
const SPLICE_F_NONBLOCK = 2;
const O_NONBLOCK = 0x800;
const O_CLOEXEC = 0x80000;

/** Pipes that wait for their next use. All are made at once, so that a process without descriptors has them. */
const SPARE_PIPES = 8;

export class Pipes implements SpliceSystem {
  readonly EAGAIN = EAGAIN;
  readonly #libc: Libc;
  readonly #calls: StreamCalls;
  readonly #sockets: Pick<KernelSockets, 'endHalf'>;
  readonly #spare: Pipe[] = [];
  readonly #fds = new Int32Array(2);
  readonly #at: number;

  constructor(libc: Libc, calls: StreamCalls, sockets: Pick<KernelSockets, 'endHalf'>) {
    this.#libc = libc;
    this.#calls = calls;
    this.#sockets = sockets;
    this.#at = libc.addressOf(this.#fds.buffer);
    for (let i = 0; i < SPARE_PIPES; i++) {
      const pipe = this.#make();
      if (pipe !== undefined) this.#spare.push(pipe);
    }
  }

  splice(from: number, to: number, octets: number): number {
    for (;;) {
      const flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
      const moved = this.#calls.splice(from, 0, to, 0, octets, flags);
      if (moved >= 0) return moved;
      const errno = this.#libc.errno();
      if (errno !== EINTR) return -errno;
    }
  }

  endHalf(socket: number): void {
    this.#sockets.endHalf(socket);
  }

  takePipe(): Pipe | undefined {
    return this.#spare.pop() ?? this.#make();
  }

  givePipe(pipe: Pipe, isEmpty: boolean): void {
    if (isEmpty && this.#spare.length < SPARE_PIPES) this.#spare.push(pipe);
    else this.#close(pipe);
  }

  close(): void {
    for (const pipe of this.#spare.splice(0)) this.#close(pipe);
  }

  #make(): Pipe | undefined {
    if (this.#calls.pipe2(this.#at, O_NONBLOCK | O_CLOEXEC) < 0) return undefined;
    const [readEnd = -1, writeEnd = -1] = this.#fds;
    return { readEnd, writeEnd };
  }

  #close({ readEnd, writeEnd }: Pipe): void {
    this.#libc.close(readEnd);
    this.#libc.close(writeEnd);
  }
}
