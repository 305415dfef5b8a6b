/**
 * A worker's tap: the messages about the questions that the worker answers itself. Each of these questions is two
 * messages, the query and the reply. Questions that the worker hands over are the main thread's.
 */
import type { FastPath } from '../dataplane/reply/fastPath.ts';
import type { Batch } from '../dataplane/sockets/batch.ts';
import { receivingAddressAt, Sockaddr, sockaddrPort } from '../dataplane/sockets/layout.ts';
import type { UdpSocket } from '../dataplane/sockets/socket.ts';
import { addressOctets, clientAddress } from '../dns/address.ts';
import { Flag } from '../dns/wire.ts';
import { MessageType, SOCKET_PROTOCOLS } from './messageEncoder.ts';
import { type TapStart, TapWriter } from './tapWriter.ts';

/** In the third octet of a header. */
const AA = Flag.AA >> 8;

export class BatchTap {
  readonly #writer: TapWriter;
  readonly #sample: number;
  /** Questions to answer before the next one with messages. */
  #skip = 0;
  #hasMessages = false;
  #queryMs = 0;
  /** The socket whose address is in the exchange. */
  #socket: UdpSocket | undefined;

  constructor(start: TapStart, thread: number) {
    this.#writer = new TapWriter(start, thread);
    this.#sample = start.sample;
    this.#writer.exchange.protocol = SOCKET_PROTOCOLS.udp;
  }

  /** Call this before the packets of a batch; `nowMs` of `performance.now`. */
  beginBatch({ socket }: Batch, nowMs: number): void {
    this.#queryMs = this.#writer.wallMs(nowMs);
    if (socket !== this.#socket) this.#setSocket(socket);
  }

  /** Does what `FastPath.answer` does for packet `i` of the batch, and writes messages about it. */
  answer(
    fastPath: FastPath,
    batch: Batch,
    i: number,
    length: number,
    recursionAvailable: boolean,
  ): number {
    const { octets } = batch;
    const at = batch.packetAt(i);
    if (this.#skip > 0) {
      const outcome = fastPath.answer(octets, at, length, recursionAvailable);
      if (outcome > 0) this.#skip--;
      return outcome;
    }
    // The reply will overwrite the query, so the query is written first, and kept if the reply comes.
    const writer = this.#writer;
    const hasRoom = writer.open(2, length + fastPath.replyOctets);
    if (hasRoom) {
      this.#describe(batch, i);
      writer.add(MessageType.CLIENT_QUERY, false, octets, at, length);
    }
    const outcome = fastPath.answer(octets, at, length, recursionAvailable);
    if (outcome <= 0) return outcome;
    this.#skip = this.#sample - 1;
    if (hasRoom) this.#addReply(octets, at, outcome);
    else writer.drop(2);
    return outcome;
  }

  /** True if the main thread sleeps, and the caller must wake it. */
  endBatch(): boolean {
    if (!this.#hasMessages) return false;
    this.#hasMessages = false;
    return this.#writer.publish();
  }

  /** A worker gives answers about our zones, which have AA, and those of other servers. */
  #addReply(octets: Uint8Array, at: number, length: number): void {
    const writer = this.#writer;
    const isOurs = ((octets[at + 2] as number) & AA) !== 0;
    writer.exchange.responseMs = writer.soonMs(performance.now());
    if (isOurs) writer.retype(MessageType.AUTH_QUERY);
    const type = isOurs ? MessageType.AUTH_RESPONSE : MessageType.CLIENT_RESPONSE;
    writer.add(type, true, octets, at, length);
    writer.commit();
    this.#hasMessages = true;
  }

  #describe(batch: Batch, i: number): void {
    const { exchange } = this.#writer;
    const { octets, socket } = batch;
    const nameAt = batch.nameAt(i);
    const isIpv4 = socket.family === 4;
    const addressAt = nameAt + (isIpv4 ? Sockaddr.ADDRESS4 : Sockaddr.ADDRESS6);
    // An inherited socket may be for both families.
    const isMapped = !isIpv4 && isMappedAt(octets, addressAt);
    exchange.family = isIpv4 || isMapped ? 4 : 6;
    copyAddress(octets, addressAt, isIpv4, isMapped, exchange.queryAddress);
    exchange.queryPort = sockaddrPort(octets, nameAt);
    exchange.queryMs = this.#queryMs;
    if (!socket.packetInfo) return;
    const localAt = receivingAddressAt(octets, batch.controlAt(i), batch.controlOctets(i));
    exchange.hasResponseAddress = localAt >= 0;
    if (localAt >= 0) copyAddress(octets, localAt, isIpv4, isMapped, exchange.responseAddress);
  }

  #setSocket(socket: UdpSocket): void {
    this.#socket = socket;
    const { exchange } = this.#writer;
    exchange.responsePort = socket.port;
    if (socket.packetInfo) return;
    exchange.responseAddress.set(addressOctets(clientAddress(socket.address)));
    exchange.hasResponseAddress = true;
  }
}

/** Copies an address, an IPv4-mapped one as IPv4. */
function copyAddress(
  octets: Uint8Array,
  at: number,
  isIpv4: boolean,
  isMapped: boolean,
  to: Uint8Array,
): void {
  const from = isMapped ? at + 12 : at;
  const length = isIpv4 || isMapped ? 4 : 16;
  for (let i = 0; i < length; i++) to[i] = octets[from + i] as number;
}

function isMappedAt(octets: Uint8Array, at: number): boolean {
  for (let i = 0; i < 10; i++) if (octets[at + i] !== 0) return false;
  return octets[at + 10] === 0xff && octets[at + 11] === 0xff;
}
