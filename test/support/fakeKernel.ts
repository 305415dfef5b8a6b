/**
 * The kernel's side of recvmmsg and sendmmsg, as far as its structures go: it follows the pointers of message headers
 * in the memory whose addresses it gave out, so that a wrong header has an effect.
 */
import os from 'node:os';
import { Iovec, MsgHdr } from '../../src/dataplane/sockets/layout.ts';
import type { Libc } from '../../src/kernel/libc.ts';

export interface Datagram {
  readonly name: Uint8Array;
  readonly control: Uint8Array;
  readonly octets: Uint8Array;
}

/** What a call of sendmmsg does: it takes at most this many messages, or fails. */
export type SendStep = { readonly takes: number } | { readonly errno: number };

/** What a call of recvmmsg does before it returns the arrived datagrams; with an `errno` it fails instead. */
export type ReceiveStep = () => { readonly errno: number } | undefined;

/** Each memory gets a piece of address space. */
const BASE = 0x7f12_3000_0000;
const PIECE = 1 << 24;

export class FakeKernel implements Libc {
  /** The datagrams that the next recvmmsg calls return. */
  readonly arriving: Datagram[] = [];
  readonly sent: Datagram[] = [];
  /** Steps of the next sendmmsg calls; later calls take all messages. */
  readonly sendSteps: SendStep[] = [];
  /** Steps of the next recvmmsg calls. */
  readonly receiveSteps: ReceiveStep[] = [];
  sendCalls = 0;
  readonly pollTimeoutsMs: number[] = [];
  readonly #memories: DataView[] = [];
  #errno = 0;

  addressOf(memory: ArrayBuffer): number {
    return BASE + PIECE * (this.#memories.push(new DataView(memory)) - 1);
  }

  errno(): number {
    return this.#errno;
  }

  recvmmsg(_fd: number, messages: number, count: number): number {
    const failure = this.receiveSteps.shift()?.();
    if (failure !== undefined) return this.#fail(failure.errno);
    const taken = this.arriving.splice(0, count);
    for (const [i, datagram] of taken.entries())
      this.#deliver(messages + i * MsgHdr.SIZE, datagram);
    return taken.length > 0 ? taken.length : this.#fail(os.constants.errno.EAGAIN);
  }

  sendmmsg(_fd: number, messages: number, count: number): number {
    this.sendCalls++;
    const step = this.sendSteps.shift() ?? { takes: count };
    if ('errno' in step) return this.#fail(step.errno);
    const taken = Math.min(step.takes, count);
    for (let i = 0; i < taken; i++) this.sent.push(this.#collect(messages + i * MsgHdr.SIZE));
    return taken;
  }

  socket(): number {
    throw new Error('not here');
  }

  readonly setsockopt = this.socket;
  readonly getsockopt = this.socket;
  readonly bind = this.socket;
  readonly connect = this.socket;
  readonly listen = this.socket;
  readonly getsockname = this.socket;
  readonly send = this.socket;
  readonly recv = this.socket;
  readonly close = this.socket;

  /** A wait ends with a packet; without a wait no socket is ready. */
  poll(_fds: number, _count: number, timeoutMs: number): number {
    this.pollTimeoutsMs.push(timeoutMs);
    return timeoutMs > 0 ? 1 : 0;
  }

  #fail(errno: number): number {
    this.#errno = errno;
    return -1;
  }

  #deliver(header: number, { name, control, octets }: Datagram): void {
    this.#fill(header + MsgHdr.NAME, header + MsgHdr.NAME_OCTETS, name);
    this.#fill(header + MsgHdr.CONTROL, header + MsgHdr.CONTROL_OCTETS, control);
    const part = this.#pointer(header + MsgHdr.IOVECS);
    const room = this.#length(part + Iovec.OCTETS);
    const read = octets.subarray(0, room);
    this.#octets(this.#pointer(part + Iovec.BASE), room).set(read);
    this.#setLength(header + MsgHdr.LENGTH, read.length);
  }

  #collect(header: number): Datagram {
    const part = this.#pointer(header + MsgHdr.IOVECS);
    const taken = (at: number, octets: number): Uint8Array => {
      const length = this.#length(octets);
      return length === 0 ? new Uint8Array(0) : this.#octets(this.#pointer(at), length).slice();
    };
    return {
      name: taken(header + MsgHdr.NAME, header + MsgHdr.NAME_OCTETS),
      control: taken(header + MsgHdr.CONTROL, header + MsgHdr.CONTROL_OCTETS),
      octets: taken(part + Iovec.BASE, part + Iovec.OCTETS),
    };
  }

  /** Copies octets out as the kernel does: no more than fit, and sets the length to the number of copied octets. */
  #fill(at: number, lengthAt: number, octets: Uint8Array): void {
    const copied = octets.subarray(0, this.#length(lengthAt));
    if (copied.length > 0) this.#octets(this.#pointer(at), copied.length).set(copied);
    this.#setLength(lengthAt, copied.length);
  }

  #octets(address: number, length: number): Uint8Array {
    return new Uint8Array(this.#memoryAt(address).buffer, address % PIECE, length);
  }

  #length(address: number): number {
    return this.#memoryAt(address).getUint32(address % PIECE, true);
  }

  #setLength(address: number, length: number): void {
    this.#memoryAt(address).setUint32(address % PIECE, length, true);
  }

  #pointer(address: number): number {
    return Number(this.#memoryAt(address).getBigUint64(address % PIECE, true));
  }

  #memoryAt(address: number): DataView {
    const memory = this.#memories[Math.floor((address - BASE) / PIECE)];
    if (memory === undefined) throw new Error(`nothing is at ${address}`);
    return memory;
  }
}
