/**
 * dataplane/listeners/: UDP: worker threads or one socket of Node's, answering from the table.
 * Imports: dataplane/sockets, dataplane/table, dns, timing.
 * Used by: app, server, server/http.
 *
 * What a UDP listener is to the code that starts and watches it, whatever sockets and threads it has.
 */
import type { SocketAddress } from '../../dns/address.ts';
import type { Respond } from '../../dns/message.ts';
import type { AddressRange } from '../sockets/recursionRanges.ts';
import {
  type CounterBlock,
  counterBlock,
  type DropReason,
  dropSlot,
  Single,
  Slot,
} from '../table/counters.ts';
import type { TableHandle } from '../table/layout.ts';

export interface UdpListenerOptions {
  /**
   * For what the table does not answer. A reply belongs to the listener once it is given to `send`: the kernel may copy
   * it later.
   */
  readonly respond: Respond;
  /** Told of a socket's error other than a failed send, and of a thread's; the listener goes on. */
  readonly onError?: ((error: Error) => void) | undefined;
  /** Where answers are looked up; without it `respond` gives them all. */
  readonly table?: TableHandle | undefined;
}

export interface UdpListener {
  /** Starts its threads before there is anything to read; `listen` does so otherwise. Resolves when they run. */
  begin(): Promise<void>;
  /** May be called for several addresses. With `fd`, an inherited socket; `address` then tells its family. */
  readonly listen: Listen;
  /** Has new packets go to the sockets of a successor, which must be there; what has arrived is answered here. */
  giveWay(): void;
  /** Takes no more packets; replies to those that were taken still go out. Resolves when `respond` has all those. */
  stop(): Promise<void>;
  /** Closes every socket. Replies that come later are dropped. */
  close(): Promise<void>;
  /** Which clients replies out of the table tell that recursion is available; none at first. */
  recurseFor(ranges: readonly AddressRange[]): void;
  counters(): Readonly<UdpCounters>;
  /** What was answered out of the table, and what was dropped; what `respond` was given is not in them. */
  readonly blocks: readonly FamilyBlock[];
}

export interface UdpCounters {
  /** Packets looked up in the table or given to `respond`. */
  queries: number;
  /** Replies that the kernel took. */
  replies: number;
  /** Dropped unread: source port 0, to which nothing can be sent. */
  sourcePortZero: number;
  /** Dropped unread: sent, or forged to look sent, by one of our own listeners. */
  ownAddress: number;
  /** Packets dropped unread because too much waits before them. */
  shed: number;
  /** Replies that did not leave: refused by the kernel (EPERM, ENOBUFS, EMSGSIZE, ENETUNREACH …), or no room. */
  sendErrors: number;
  socketErrors: number;
}

export interface FamilyBlock {
  readonly family: 4 | 6;
  readonly block: CounterBlock;
}

/** Blocks for `threads` threads, the main one included: one for each family of sockets. */
export const BLOCKS_PER_THREAD = 2;

/** The block of the sockets of that family that a thread has; `memory` is for as many threads as there are. */
export function familyBlock(
  memory: SharedArrayBuffer,
  thread: number,
  family: 4 | 6,
): CounterBlock {
  return counterBlock(memory, thread * BLOCKS_PER_THREAD + (family === 4 ? 0 : 1));
}

/** All of them. */
export function familyBlocks(memory: SharedArrayBuffer, threads: number): FamilyBlock[] {
  return Array.from({ length: threads }, (_, thread) => thread).flatMap((thread) =>
    ([4, 6] as const).map((family) => ({ family, block: familyBlock(memory, thread, family) })),
  );
}

/** Replies out of the table. */
export function tableReplies(blocks: readonly FamilyBlock[]): number {
  let replies = 0;
  for (const { block } of blocks) {
    for (let slot: number = Slot.rcode; slot < Slot.drop; slot++) replies += block[slot] as number;
  }
  return replies;
}

/** What is not counted in blocks. */
export interface SlowCounts {
  /** Packets given to `respond`, and its replies that the kernel took. */
  queries: number;
  replies: number;
  socketErrors: number;
}

/** What all threads counted, the table's part and the other one together. */
export function udpCounters(blocks: readonly FamilyBlock[], slow: SlowCounts): UdpCounters {
  const sum = (slot: number): number =>
    blocks.reduce((total, { block }) => total + (block[slot] as number), 0);
  const dropped = (...reasons: readonly DropReason[]): number =>
    reasons.reduce((total, reason) => total + sum(dropSlot(reason)), 0);
  return {
    queries: sum(Single.received) + slow.queries,
    replies: sum(Single.sent) + slow.replies,
    sourcePortZero: dropped('sourcePortZero'),
    ownAddress: dropped('ownAddress'),
    shed: dropped('overload'),
    sendErrors: dropped('noRoom', 'forbidden', 'unreachable', 'tooLong', 'otherSendError'),
    socketErrors: slow.socketErrors,
  };
}

/** What a listener of any transport is to the code that starts the server. */

/** An address that is listened on, with the port that it really got. */
export interface Bound extends SocketAddress {
  close(): Promise<void>;
}

/** Rejects with the system's error (its `code` says EADDRINUSE, EACCES …). Port 0 lets the system choose. */
export type Listen = (address: string, port: number, fd?: number) => Promise<Bound>;
