/**
 * Sends the main thread's replies through the socket of the worker that read the packet. All replies share one memory,
 * because the kernel has copied a reply when the call returns.
 */

import { EINTR, type Libc } from '../../kernel/libc.ts';
import { addressControl } from './batch.ts';
import { AF_INET, copyWords, Envelope, Iovec, MSG_DONTWAIT, MsgHdr, Sockaddr } from './layout.ts';

const WORD = Int32Array.BYTES_PER_ELEMENT;
const HEADER_AT = 0;
const PART_AT = HEADER_AT + MsgHdr.SIZE;
const ENVELOPE_AT = PART_AT + Iovec.SIZE;
const REPLY_AT = ENVELOPE_AT + Envelope.WORDS * WORD + WORD;
/** More than UDP can carry: the kernel refuses longer replies. */
const MAX_REPLY_OCTETS = 1 << 16;

export class ReplySender {
  readonly #libc: Libc;
  readonly #memory = new ArrayBuffer(REPLY_AT + MAX_REPLY_OCTETS);
  readonly #words = new Int32Array(this.#memory, 0, REPLY_AT / WORD);
  readonly #reply = new Uint8Array(this.#memory, REPLY_AT);
  readonly #at: number;

  constructor(libc: Libc) {
    this.#libc = libc;
    this.#at = libc.addressOf(this.#memory);
    const view = new DataView(this.#memory);
    const pointer = (at: number, to: number) => view.setBigUint64(at, BigInt(this.#at + to), true);
    pointer(HEADER_AT + MsgHdr.NAME, ENVELOPE_AT + Envelope.NAME * WORD);
    pointer(HEADER_AT + MsgHdr.IOVECS, PART_AT);
    view.setUint32(HEADER_AT + MsgHdr.IOVEC_COUNT, 1, true);
    pointer(HEADER_AT + MsgHdr.CONTROL, ENVELOPE_AT + Envelope.CONTROL * WORD);
    pointer(PART_AT + Iovec.BASE, REPLY_AT);
  }

  /** Returns 0 if the kernel accepted the reply, otherwise the errno. Never waits. */
  send(envelope: Int32Array, reply: Uint8Array): number {
    const octets = Math.min(reply.length, MAX_REPLY_OCTETS);
    this.#reply.set(reply.length > octets ? reply.subarray(0, octets) : reply);
    this.#address(envelope);
    this.#words[(PART_AT + Iovec.OCTETS) / WORD] = octets;
    const fd = envelope[Envelope.FD] as number;
    for (;;) {
      if (this.#libc.sendmmsg(fd, this.#at + HEADER_AT, 1, MSG_DONTWAIT) === 1) return 0;
      const errno = this.#libc.errno();
      if (errno !== EINTR) return errno;
    }
  }

  #address(envelope: Int32Array): void {
    const words = this.#words;
    copyWords(envelope, 0, words, ENVELOPE_AT / WORD, Envelope.WORDS);
    const family = (envelope[Envelope.NAME] as number) & 0xffff;
    words[(HEADER_AT + MsgHdr.NAME_OCTETS) / WORD] =
      family === AF_INET ? Sockaddr.SIZE4 : Sockaddr.SIZE6;
    const controlAt = ENVELOPE_AT + Envelope.CONTROL * WORD;
    const controlOctets = envelope[Envelope.CONTROL_OCTETS] as number;
    words[(HEADER_AT + MsgHdr.CONTROL_OCTETS) / WORD] = addressControl(
      words,
      controlAt,
      controlOctets,
    );
  }
}
