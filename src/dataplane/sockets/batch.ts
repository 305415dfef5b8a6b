/**
 * Up to 64 packets: one system call reads them, and another sends their replies. The kernel reads and writes one memory
 * with a fixed layout: message headers, addresses, control messages, packet buffers. A reply overwrites its packet, and
 * is sent with the header that received it, so nothing is copied or allocated per packet or per batch.
 *
 * A reply can also wait in the batch for `sendDeferred`. Until all of these have gone, further reads use the rest of the
 * batch.
 *
 * Invariant: the headers that the next `receive` uses have their initial values. A packet longer than its buffer is cut.
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
  /** Indexes of the packets that have a reply, ascending: those for `send`, and those for `sendDeferred`. */
  readonly #replied = new Int32Array(BATCH_PACKETS);
  #repliedCount = 0;
  readonly #deferred = new Int32Array(BATCH_PACKETS);
  #deferredFrom = 0;
  #deferredEnd = 0;
  /** Index after the last packet that was read. */
  #end = 0;
  #first = 0;
  #readMs = 0;

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

  /**
   * Reads packets into the free part. Returns their number; -1 with libc's errno if the call failed. The first one has
   * the index `first`. Call this only after `send`, and not while the batch is full.
   */
  receive(flags: number): number {
    const { fd } = this.socket;
    const first = this.#first;
    const at = this.#base + HEADERS_AT + first * MsgHdr.SIZE;
    const received = this.#libc.recvmmsg(fd, at, BATCH_PACKETS - first, flags);
    this.#end = received < 0 ? first : first + received;
    if (first === 0) this.#readMs = performance.now();
    return received;
  }

  /** Index of the first packet of the last read; after `send`, of the next one. */
  get first(): number {
    return this.#first;
  }

  /** Deferred replies have left no room for a read. */
  get isFull(): boolean {
    return this.#first === BATCH_PACKETS;
  }

  /** When the oldest packet was read, on the scale of `performance.now`. */
  get readMs(): number {
    return this.#readMs;
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

  /** The same for a reply that waits for `sendDeferred`. */
  defer(i: number, octets: number): void {
    this.words[PART_OCTETS_WORD + i * PART_WORDS] = octets;
    this.#deferred[this.#deferredEnd++] = i;
  }

  get hasDeferred(): boolean {
    return this.#deferredFrom !== this.#deferredEnd;
  }

  /** Replies that wait for `sendDeferred`. */
  get deferredCount(): number {
    return this.#deferredEnd - this.#deferredFrom;
  }

  /** Sends the replies that were not deferred, and counts the accepted and the refused ones. Returns their number. */
  send(counters: CounterBlock): number {
    const replies = this.#repliedCount;
    if (replies > 0) this.#sendList(this.#replied, 0, replies, counters);
    this.#repliedCount = 0;
    this.#first = this.#end;
    if (!this.hasDeferred) this.#release();
    return replies;
  }

  /** Sends the oldest deferred replies, at most `most`, and counts them as `send` does. Returns their number. */
  sendDeferred(most: number, counters: CounterBlock): number {
    const from = this.#deferredFrom;
    const to = Math.min(from + most, this.#deferredEnd);
    if (from === to) return 0;
    this.#sendList(this.#deferred, from, to, counters);
    this.#deferredFrom = to;
    if (!this.hasDeferred) this.#release();
    return to - from;
  }

  /** Drops the deferred replies; returns their number. */
  dropDeferred(): number {
    const dropped = this.#deferredEnd - this.#deferredFrom;
    this.#restoreParts(this.#deferred, this.#deferredFrom, this.#deferredEnd);
    this.#deferredFrom = this.#deferredEnd;
    this.#release();
    return dropped;
  }

  #sendList(list: Int32Array, from: number, to: number, counters: CounterBlock): void {
    if (this.socket.packetInfo) this.#addressControls(list, from, to);
    const first = list[from] as number;
    // Without a gap between the packets their headers are contiguous already.
    const isContiguous = (list[to - 1] as number) - first === to - 1 - from;
    if (!isContiguous) this.#gather(list, from, to);
    const at = isContiguous ? HEADERS_AT + first * MsgHdr.SIZE : SEND_HEADERS_AT;
    this.#sendHeaders(at, list, from, to, counters);
    this.#restoreParts(list, from, to);
  }

  #sendHeaders(
    at: number,
    list: Int32Array,
    from: number,
    to: number,
    counters: CounterBlock,
  ): void {
    const { fd } = this.socket;
    let sent = 0;
    let done = from;
    let octets = 0;
    while (done < to) {
      const next = this.#base + at + (done - from) * MsgHdr.SIZE;
      const taken = this.#libc.sendmmsg(fd, next, to - done, MSG_DONTWAIT);
      if (taken > 0) {
        for (let k = done; k < done + taken; k++) octets += this.#replyOctets(list[k] as number);
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

  #replyOctets(i: number): number {
    return this.words[PART_OCTETS_WORD + i * PART_WORDS] as number;
  }

  /** Copies the headers of the replies to where they are contiguous. */
  #gather(list: Int32Array, from: number, to: number): void {
    const { words } = this;
    for (let k = from; k < to; k++) {
      const source = HEADERS_AT / WORD + (list[k] as number) * HEADER_WORDS;
      const target = SEND_HEADERS_AT / WORD + (k - from) * HEADER_WORDS;
      for (let word = 0; word < HEADER_WORDS; word++)
        words[target + word] = words[source + word] as number;
    }
  }

  /** Turns the packets' control messages into those of the replies. */
  #addressControls(list: Int32Array, from: number, to: number): void {
    for (let k = from; k < to; k++) {
      const i = list[k] as number;
      const octets = addressControl(this.words, this.controlAt(i), this.controlOctets(i));
      this.words[CONTROL_OCTETS_WORD + i * HEADER_WORDS] = octets;
    }
  }

  /** Restores the lengths that `reply` and `defer` have changed. */
  #restoreParts(list: Int32Array, from: number, to: number): void {
    for (let k = from; k < to; k++)
      this.words[PART_OCTETS_WORD + (list[k] as number) * PART_WORDS] = PACKET_OCTETS;
  }

  /** Frees all packets, and restores what the kernel has changed in their headers. */
  #release(): void {
    if (this.socket.packetInfo) {
      for (let i = 0; i < this.#end; i++)
        this.words[CONTROL_OCTETS_WORD + i * HEADER_WORDS] = Cmsg.SIZE;
    }
    this.#first = 0;
    this.#end = 0;
    this.#deferredFrom = 0;
    this.#deferredEnd = 0;
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
