/**
 * The kernel's side of recvmmsg and sendmmsg, as far as its structures go: it follows the pointers of message headers in
 * the one memory that it was shown, so a header that says something wrong is seen.
 */
import { Message, Part } from '../../src/dataplane/sockets/layout.ts';
import type { Libc } from '../../src/dataplane/sockets/libc.ts';

export interface Datagram {
  readonly name: Uint8Array;
  readonly control: Uint8Array;
  readonly octets: Uint8Array;
}

/** What a call of sendmmsg does: takes so many messages at most, or fails. */
export type SendStep = { readonly takes: number } | { readonly errno: number };

const BASE = 0x7f12_3450_0000;

export class FakeKernel implements Libc {
  /** Given to the next recvmmsg calls. */
  readonly arriving: Datagram[] = [];
  readonly sent: Datagram[] = [];
  /** For the next sendmmsg calls; after them all is taken. */
  readonly sendSteps: SendStep[] = [];
  sendCalls = 0;
  #memory = new DataView(new ArrayBuffer(0));
  #errno = 0;

  addressOf(memory: ArrayBuffer): number {
    this.#memory = new DataView(memory);
    return BASE;
  }

  errno(): number {
    return this.#errno;
  }

  recvmmsg(_fd: number, messages: number, count: number): number {
    const taken = this.arriving.splice(0, count);
    for (const [i, datagram] of taken.entries())
      this.#deliver(messages + i * Message.SIZE, datagram);
    if (taken.length > 0) return taken.length;
    this.#errno = 11;
    return -1;
  }

  sendmmsg(_fd: number, messages: number, count: number): number {
    this.sendCalls++;
    const step = this.sendSteps.shift() ?? { takes: count };
    if ('errno' in step) {
      this.#errno = step.errno;
      return -1;
    }
    const taken = Math.min(step.takes, count);
    for (let i = 0; i < taken; i++) this.sent.push(this.#collect(messages + i * Message.SIZE));
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
  readonly close = this.socket;
  readonly poll = this.socket;

  #deliver(address: number, { name, control, octets }: Datagram): void {
    const header = address - BASE;
    this.#fill(header + Message.NAME, header + Message.NAME_OCTETS, name);
    this.#fill(header + Message.CONTROL, header + Message.CONTROL_OCTETS, control);
    const part = this.#pointer(header + Message.PARTS);
    const room = this.#memory.getUint32(part + Part.OCTETS, true);
    const read = octets.subarray(0, room);
    this.#octets(this.#pointer(part + Part.BASE), room).set(read);
    this.#memory.setUint32(header + Message.LENGTH, read.length, true);
  }

  #collect(address: number): Datagram {
    const header = address - BASE;
    const part = this.#pointer(header + Message.PARTS);
    const taken = (at: number, octets: number): Uint8Array => {
      const length = this.#memory.getUint32(octets, true);
      return length === 0 ? new Uint8Array(0) : this.#octets(this.#pointer(at), length).slice();
    };
    return {
      name: taken(header + Message.NAME, header + Message.NAME_OCTETS),
      control: taken(header + Message.CONTROL, header + Message.CONTROL_OCTETS),
      octets: taken(part + Part.BASE, part + Part.OCTETS),
    };
  }

  /** As the kernel copies out: never more than there is room for, and it says how much it was. */
  #fill(at: number, lengthAt: number, octets: Uint8Array): void {
    const room = this.#memory.getUint32(lengthAt, true);
    const copied = octets.subarray(0, room);
    if (copied.length > 0) this.#octets(this.#pointer(at), room).set(copied);
    this.#memory.setUint32(lengthAt, copied.length, true);
  }

  #octets(at: number, length: number): Uint8Array {
    return new Uint8Array(this.#memory.buffer, at, length);
  }

  #pointer(at: number): number {
    return Number(this.#memory.getBigUint64(at, true)) - BASE;
  }
}
