/**
 * dataplane/listeners/: Answers DNS over UDP from the table, with worker threads or on Node's own sockets.
 * Imports: dataplane/reply, dataplane/sockets, dataplane/table, dns, dnstap, kernel, timing.
 * Used by: ambassador/nft, ambassador/proxy, ambassador/proxy/carry, app, app/ambassador, app/answering, server/http,
 *   server/listening, server/tcp, server/tls.
 *
 * The contract of a UDP listener, for the code that starts it and reads its counters. Two files implement it:
 * `workerListener.ts` and `portableListener.ts`.
 */
import type { SocketAddress } from '../../dns/address.ts';
import type { Respond } from '../../dns/message.ts';
import type { ClientTap } from '../../dnstap/clientTap.ts';
import type { TapStart } from '../../dnstap/tapWriter.ts';
import type { PolicyFollower } from '../sockets/clientPolicy.ts';
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
   * Answers the packets that the table cannot answer. A reply belongs to the listener once it is passed to `send`: the
   * kernel may copy it later.
   */
  readonly respond: Respond;
  /** Receives the errors of sockets, other than failed sends, and of threads. The listener continues. */
  readonly onError?: ((error: Error) => void) | undefined;
  /** The answer table; without it `respond` answers everything. */
  readonly table?: TableHandle | undefined;
  /** Undefined: no messages for dnstap. */
  readonly tap?: ListenerTap | undefined;
}

/** The parts of dnstap that listeners use. */
export interface ListenerTap {
  /** For the threads of workers. */
  readonly start: TapStart;
  /** For a listener without workers. */
  readonly client: ClientTap;
  /** A thread has written messages. */
  wake(): void;
}

export interface UdpListener extends PolicyFollower {
  /** Starts the threads early; otherwise the first `listen` starts them. Resolves when they run. */
  begin(): Promise<void>;
  /** May be called for several addresses. `fd` is an inherited socket; `address` then only gives its family. */
  readonly listen: Listen;
  /**
   * Directs new packets to the sockets of a successor, which must be open. Packets that have arrived are still
   * answered.
   */
  divertToSuccessor(): void;
  /** Reads no more packets. Resolves when `respond` has received all that were read; their replies are still sent. */
  stop(): Promise<void>;
  /** Closes every socket, and drops later replies. */
  close(): Promise<void>;
  counters(): Readonly<UdpCounters>;
  /**
   * Counters of the packets that the table answered or that were dropped. Packets that `respond` received are not in
   * them.
   */
  readonly blocks: readonly FamilyBlock[];
}

export interface UdpCounters {
  /** Packets looked up in the table or passed to `respond`. */
  queries: number;
  /** Replies that the kernel accepted. */
  replies: number;
  /** Dropped: source port 0, to which nothing can be sent. */
  sourcePortZero: number;
  /** Dropped: the source is one of our own listeners, or is forged to be. */
  ownAddress: number;
  /** Dropped: too many packets or replies wait. */
  shed: number;
  /** Replies that were not sent: the kernel refused them (EPERM, ENOBUFS, EMSGSIZE, ENETUNREACH …), or had no room. */
  sendErrors: number;
  socketErrors: number;
}

export interface FamilyBlock {
  readonly family: 4 | 6;
  readonly block: CounterBlock;
}

/** One block for each family of sockets. */
export const BLOCKS_PER_THREAD = 2;

/** The block that a thread counts in for its sockets of that family. */
export function familyBlock(
  memory: SharedArrayBuffer,
  thread: number,
  family: 4 | 6,
): CounterBlock {
  return counterBlock(memory, thread * BLOCKS_PER_THREAD + (family === 4 ? 0 : 1));
}

/** The blocks of all threads, the main thread included. */
export function familyBlocks(memory: SharedArrayBuffer, threads: number): FamilyBlock[] {
  return Array.from({ length: threads }, (_, thread) => thread).flatMap((thread) =>
    ([4, 6] as const).map((family) => ({ family, block: familyBlock(memory, thread, family) })),
  );
}

/** A counter of all blocks together. */
export function sumOf(blocks: readonly FamilyBlock[], slot: number): number {
  return blocks.reduce((total, { block }) => total + (block[slot] as number), 0);
}

/** How many replies the table gave. */
export function tableReplies(blocks: readonly FamilyBlock[]): number {
  let replies = 0;
  for (const { block } of blocks) {
    for (let slot: number = Slot.rcode; slot < Slot.drop; slot++) replies += block[slot] as number;
  }
  return replies;
}

/** Counts of the slow path, which are not in the blocks. */
export interface SlowCounts {
  /** Packets passed to `respond`, and its replies that the kernel accepted. */
  queries: number;
  replies: number;
  socketErrors: number;
}

/** The sum of the blocks and of the slow path's counts. */
export function udpCounters(blocks: readonly FamilyBlock[], slow: SlowCounts): UdpCounters {
  const sum = (slot: number): number => sumOf(blocks, slot);
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

/** An address that a listener of any transport listens on, with its actual port. */
export interface Bound extends SocketAddress {
  close(): Promise<void>;
}

/** Rejects with the system's error (its `code` is EADDRINUSE, EACCES …). Port 0 lets the system choose. */
export type Listen = (address: string, port: number, fd?: number) => Promise<Bound>;
