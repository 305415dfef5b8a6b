/**
 * What becomes of a packet from one of Node's own sockets: dropped, answered out of the table, or given to `respond`;
 * and of its reply, of which no more wait for the kernel than there is room for.
 */
import type { RemoteInfo, Socket } from 'node:dgram';
import { clientAddress } from '../../dns/clientAddress.ts';
import {
  bucketOf,
  type CounterBlock,
  count,
  countDrop,
  LATENCY_BOUNDS_US,
  Single,
  Slot,
} from '../counters.ts';
import { type FastPath, Outcome } from '../fastPath.ts';
import { RecursionRanges } from '../recursionRanges.ts';
import { sendDropReason } from '../sockets/errno.ts';
import { openFastPath } from '../table/open.ts';
import type { SlowCounts, UdpListenerOptions } from '../udpListener.ts';

/** Replies that may wait for the kernel, of all sockets of a family: at 1,232 octets each, 1.3 MB. */
const MAX_UNSENT = 1024;

const MAIN_THREAD = 0;

export class PortableReceiver {
  recursionRanges = new RecursionRanges([]);
  readonly #options: UdpListenerOptions;
  readonly #block: CounterBlock;
  readonly #slow: SlowCounts;
  readonly #isOwn: (address: string, port: number) => boolean;
  readonly #fastPath: FastPath | undefined;
  /** Where the table answers: with room for a reply, which a packet's own memory has not. */
  readonly #room = new Uint8Array(1 << 16);
  #unsent = 0;

  constructor(
    options: UdpListenerOptions,
    block: CounterBlock,
    slow: SlowCounts,
    isOwn: (address: string, port: number) => boolean,
  ) {
    const { table } = options;
    this.#options = options;
    this.#block = block;
    this.#slow = slow;
    this.#isOwn = isOwn;
    this.#fastPath = table && openFastPath(table, MAIN_THREAD, block, () => performance.now());
  }

  receive(socket: Socket, packet: Uint8Array, peer: RemoteInfo): void {
    const { port } = peer;
    const address = clientAddress(peer.address);
    if (port === 0) countDrop(this.#block, 'sourcePortZero');
    else if (this.#isOwn(address, port)) countDrop(this.#block, 'ownAddress');
    else if (this.#unsent >= MAX_UNSENT) countDrop(this.#block, 'overload');
    else if (!this.#answer(socket, packet, peer, address)) {
      this.#slow.queries += 1;
      this.#options.respond(packet, { transport: 'udp', address, port }, (reply) =>
        this.#send(socket, reply, peer, () => {
          this.#slow.replies += 1;
        }),
      );
    }
  }

  /** False if the table leaves it to others. */
  #answer(socket: Socket, packet: Uint8Array, peer: RemoteInfo, address: string): boolean {
    if (this.#fastPath === undefined) return false;
    const startedMs = performance.now();
    this.#room.set(packet);
    const mayRecurse = this.recursionRanges.hasAddress(address);
    this.#fastPath.beginBatch();
    const outcome = this.#fastPath.answer(this.#room, 0, packet.length, mayRecurse);
    this.#fastPath.endBatch();
    if (outcome < Outcome.DROP) return false;
    count(this.#block, Single.received);
    count(this.#block, Single.receivedOctets, packet.length);
    if (outcome === Outcome.DROP) return true;
    const micros = (performance.now() - startedMs) * 1000;
    count(this.#block, Slot.latency + bucketOf(LATENCY_BOUNDS_US, micros));
    count(this.#block, Single.latencyMicros, micros);
    this.#send(socket, this.#room.slice(0, outcome), peer, () => {
      count(this.#block, Single.sent);
      count(this.#block, Single.sentOctets, outcome);
    });
    return true;
  }

  #send(socket: Socket, reply: Uint8Array, peer: RemoteInfo, onSent: () => void): void {
    if (this.#unsent >= MAX_UNSENT) {
      countDrop(this.#block, 'noRoom');
      return;
    }
    this.#unsent += 1;
    try {
      socket.send(reply, peer.port, peer.address, (error: NodeJS.ErrnoException | null) => {
        this.#unsent -= 1;
        if (error === null) onSent();
        else countDrop(this.#block, sendDropReason(-(error.errno ?? 0)));
      });
    } catch {
      // A closed socket, or an argument that dgram itself refuses.
      this.#unsent -= 1;
      countDrop(this.#block, 'otherSendError');
    }
  }
}
