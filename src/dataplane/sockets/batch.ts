/**
 * Up to 64 packets: one system call reads them, and another sends their replies. The kernel reads and writes one memory
 * with a fixed layout: message headers, addresses, control messages, packet buffers. A reply overwrites its packet, and
 * is sent with the header that received it, so nothing is copied or allocated per packet or per batch.
 *
 * Invariant: between `send` and the next `receive` every header has its initial values. A packet longer than its buffer
 * is cut.
 */

import { EINTR, type Libc } from '../../kernel/libc.ts';
import { type CounterBlock, count, countDrop, Single } from '../table/counters.ts';
import { sendDropReason } from './dropReason.ts';
import {
  Cmsg,
  Iovec,
  IP_PKTINFO,
  IPV6_PKTINFO,
  MSG_DONTWAIT,
  MsgHdr,
  PKTINFO4_SPACE,
  PKTINFO6_INDEX,
  PKTINFO6_SPACE,
  SOL_IP,
  SOL_IPV6,
  Sockaddr,
} from './layout.ts';
import type { UdpSocket } from './socket.ts';

export const BATCH_PACKETS = 64;

/** Longer packets are cut. */
export const PACKET_OCTETS = 2048;

/**
 * The gap between packet buffers: buffers a power of two apart would compete for the same few lines of the L1 cache.
 */
const GAP_OCTETS = 64;

const HEADERS_AT = 0;
const SEND_HEADERS_AT = HEADERS_AT + BATCH_PACKETS * MsgHdr.SIZE;
const PARTS_AT = SEND_HEADERS_AT + BATCH_PACKETS * MsgHdr.SIZE;
const NAMES_AT = PARTS_AT + BATCH_PACKETS * Iovec.SIZE;
const CONTROLS_AT = NAMES_AT + BATCH_PACKETS * Sockaddr.ROOM;
const PACKETS_AT = CONTROLS_AT + BATCH_PACKETS * Cmsg.SIZE;

/** The same offsets in words, for the fields that are used with each packet. */
const WORD = Int32Array.BYTES_PER_ELEMENT;
const HEADER_WORDS = MsgHdr.SIZE / WORD;
const LENGTH_WORD = (HEADERS_AT + MsgHdr.LENGTH) / WORD;
const CONTROL_OCTETS_WORD = (HEADERS_AT + MsgHdr.CONTROL_OCTETS) / WORD;
const PART_WORDS = Iovec.SIZE / WORD;
const PART_OCTETS_WORD = (PARTS_AT + Iovec.OCTETS) / WORD;

export class Batch {
  readonly socket: UdpSocket;
  /** The whole memory; `packetAt` and `nameAt` give offsets in it. */
  readonly octets: Uint8Array;
  /** The same memory; the index of a word is a quarter of its octet's. */
  readonly words: Int32Array;
  readonly #libc: Libc;
  readonly #base: number;
  /** Octets from one packet buffer to the next. */
  readonly #stride: number;
  /** Indexes of the packets that have a reply, ascending. */
  readonly #replied = new Int32Array(BATCH_PACKETS);
  #repliedCount = 0;
  #received = 0;

  /** `replyOctets`: the longest reply that overwrites a packet. */
  constructor(libc: Libc, socket: UdpSocket, replyOctets: number) {
    const bufferOctets = Math.max(PACKET_OCTETS, (replyOctets + WORD - 1) & -WORD);
    this.#stride = bufferOctets + GAP_OCTETS;
    const memory = new ArrayBuffer(PACKETS_AT + BATCH_PACKETS * this.#stride);
    this.socket = socket;
    this.octets = new Uint8Array(memory);
    this.words = new Int32Array(memory);
    this.#libc = libc;
    this.#base = libc.addressOf(memory);
    for (let i = 0; i < BATCH_PACKETS; i++) this.#layOut(new DataView(memory), i);
  }

  /** Reads packets. Returns their number; -1 with libc's errno if the call failed. Call this only after `send`. */
  receive(flags: number): number {
    const { fd } = this.socket;
    const received = this.#libc.recvmmsg(fd, this.#base + HEADERS_AT, BATCH_PACKETS, flags);
    this.#received = received < 0 ? 0 : received;
    return received;
  }

  /** Octets of packet `i` that were read. */
  length(i: number): number {
    return this.words[LENGTH_WORD + i * HEADER_WORDS] as number;
  }

  packetAt(i: number): number {
    return PACKETS_AT + i * this.#stride;
  }

  /** Offset of the sender's struct sockaddr. */
  nameAt(i: number): number {
    return NAMES_AT + i * Sockaddr.ROOM;
  }

  controlAt(i: number): number {
    return CONTROLS_AT + i * Cmsg.SIZE;
  }

  /** Octets of control messages that came with packet `i`. */
  controlOctets(i: number): number {
    return this.words[CONTROL_OCTETS_WORD + i * HEADER_WORDS] as number;
  }

  /** Records that a reply of `octets` octets has overwritten packet `i`. Call this in the order of packets. */
  reply(i: number, octets: number): void {
    this.words[PART_OCTETS_WORD + i * PART_WORDS] = octets;
    this.#replied[this.#repliedCount++] = i;
  }

  /** Sends the replies, and counts the accepted and the refused ones. Returns the number of replies. */
  send(counters: CounterBlock): number {
    const replies = this.#repliedCount;
    if (replies > 0) {
      if (this.socket.packetInfo) this.#addressControls();
      // If all packets up to the last reply have one, their headers are contiguous already.
      const isContiguous = this.#replied[replies - 1] === replies - 1;
      if (!isContiguous) this.#gather();
      this.#sendFrom(isContiguous ? HEADERS_AT : SEND_HEADERS_AT, counters);
    }
    this.#restore();
    return replies;
  }

  #sendFrom(at: number, counters: CounterBlock): void {
    const { fd } = this.socket;
    const replies = this.#repliedCount;
    let sent = 0;
    let done = 0;
    let octets = 0;
    while (done < replies) {
      const first = this.#base + at + done * MsgHdr.SIZE;
      const taken = this.#libc.sendmmsg(fd, first, replies - done, MSG_DONTWAIT);
      if (taken > 0) {
        for (let k = done; k < done + taken; k++) octets += this.#replyOctets(k);
        done += taken;
        sent += taken;
      } else if (this.#countRefusal(counters)) done++;
    }
    count(counters, Single.sent, sent);
    count(counters, Single.sentOctets, octets);
  }

  /** False if the call was interrupted. */
  #countRefusal(counters: CounterBlock): boolean {
    const errno = this.#libc.errno();
    if (errno === EINTR) return false;
    countDrop(counters, sendDropReason(errno));
    return true;
  }

  #replyOctets(k: number): number {
    return this.words[PART_OCTETS_WORD + (this.#replied[k] as number) * PART_WORDS] as number;
  }

  /** Copies the headers of the replies to where they are contiguous. */
  #gather(): void {
    const { words } = this;
    for (let k = 0; k < this.#repliedCount; k++) {
      const from = HEADERS_AT / WORD + (this.#replied[k] as number) * HEADER_WORDS;
      const to = SEND_HEADERS_AT / WORD + k * HEADER_WORDS;
      for (let word = 0; word < HEADER_WORDS; word++)
        words[to + word] = words[from + word] as number;
    }
  }

  /** Turns the packets' control messages into those of the replies. */
  #addressControls(): void {
    for (let k = 0; k < this.#repliedCount; k++) {
      const i = this.#replied[k] as number;
      const octets = addressControl(this.words, this.controlAt(i), this.controlOctets(i));
      this.words[CONTROL_OCTETS_WORD + i * HEADER_WORDS] = octets;
    }
  }

  /** Restores what `reply` and the kernel have changed in the headers that were used. */
  #restore(): void {
    const { words } = this;
    for (let k = 0; k < this.#repliedCount; k++)
      words[PART_OCTETS_WORD + (this.#replied[k] as number) * PART_WORDS] = PACKET_OCTETS;
    if (this.socket.packetInfo) {
      for (let i = 0; i < this.#received; i++)
        words[CONTROL_OCTETS_WORD + i * HEADER_WORDS] = Cmsg.SIZE;
    }
    this.#repliedCount = 0;
  }

  #layOut(view: DataView, i: number): void {
    const pointer = (at: number, to: number) =>
      view.setBigUint64(at, BigInt(this.#base + to), true);
    const header = HEADERS_AT + i * MsgHdr.SIZE;
    const part = PARTS_AT + i * Iovec.SIZE;
    const { family, packetInfo } = this.socket;
    pointer(part + Iovec.BASE, this.packetAt(i));
    view.setUint32(part + Iovec.OCTETS, PACKET_OCTETS, true);
    pointer(header + MsgHdr.NAME, this.nameAt(i));
    // The kernel writes the length of the address here, which is the same each time.
    view.setUint32(
      header + MsgHdr.NAME_OCTETS,
      family === 4 ? Sockaddr.SIZE4 : Sockaddr.SIZE6,
      true,
    );
    pointer(header + MsgHdr.IOVECS, part);
    view.setUint32(header + MsgHdr.IOVEC_COUNT, 1, true);
    if (!packetInfo) return;
    pointer(header + MsgHdr.CONTROL, this.controlAt(i));
    view.setUint32(header + MsgHdr.CONTROL_OCTETS, Cmsg.SIZE, true);
  }
}

/**
 * Turns a received control message (`octets` octets at `at`) into one that makes the kernel send the reply from the
 * address that received the packet, through any interface. Returns its length; 0 if it has no address.
 */
export function addressControl(words: Int32Array, at: number, octets: number): number {
  const level = words[(at + Cmsg.LEVEL) / WORD];
  const type = words[(at + Cmsg.TYPE) / WORD];
  if (octets >= PKTINFO4_SPACE && level === SOL_IP && type === IP_PKTINFO) {
    words[(at + Cmsg.DATA) / WORD] = 0;
    return PKTINFO4_SPACE;
  }
  if (octets >= PKTINFO6_SPACE && level === SOL_IPV6 && type === IPV6_PKTINFO) {
    // A link-local address (fe80::/10) is valid on its interface only.
    const isLinkLocal = ((words[(at + Cmsg.DATA) / WORD] as number) & 0xc0ff) === 0x80fe;
    if (!isLinkLocal) words[(at + PKTINFO6_INDEX) / WORD] = 0;
    return PKTINFO6_SPACE;
  }
  return 0;
}
