/**
 * The packets of one socket that a worker has read. In normal load one batch holds them. When packets come faster than
 * their replies can be sent, the worker defers the replies that matter less, and goes on reading: they wait in a queue of
 * batches, in the order of their packets. If the queue is full, the oldest batch loses its deferred replies, because their
 * clients have waited longest and are the first to ask again.
 */
import type { Libc } from '../../kernel/libc.ts';
import { type CounterBlock, count, dropSlot } from '../table/counters.ts';
import { BATCH_PACKETS, Batch } from './batch.ts';
import type { UdpSocket } from './socket.ts';

/**
 * The longest queue. It takes more packets than the kernel's buffer holds, so a burst that fits there is not shed here.
 * The memory of a batch is used only when a queue gets that long: 6 MiB for a whole queue.
 */
export const MOST_BATCHES = 48;

const OVERLOAD = dropSlot('overload');

export class Intake {
  readonly socket: UdpSocket;
  /** Holds the packets of the last read. */
  current: Batch;
  /** The last read found more packets than it had room for, or as many. */
  wasFull = false;
  /** That room was less than a batch, because deferred replies took a part of it. */
  wasShort = false;
  readonly #libc: Libc;
  readonly #replyOctets: number;
  readonly #counters: CounterBlock;
  /** Batches with deferred replies: a ring. */
  readonly #queue: Batch[] = [];
  #oldest = 0;
  #waiting = 0;
  readonly #free: Batch[] = [];

  /** `replyOctets`: the longest reply that overwrites a packet. */
  constructor(libc: Libc, socket: UdpSocket, replyOctets: number, counters: CounterBlock) {
    this.socket = socket;
    this.#libc = libc;
    this.#replyOctets = replyOctets;
    this.#counters = counters;
    this.current = this.#newBatch();
  }

  /** Reads packets into `current`; see `Batch.receive`. */
  receive(flags: number): number {
    if (this.current.isFull) this.#startBatch();
    const room = BATCH_PACKETS - this.current.first;
    const received = this.current.receive(flags);
    this.wasFull = received === room;
    this.wasShort = this.wasFull && room < BATCH_PACKETS;
    return received;
  }

  get hasDeferred(): boolean {
    return this.#waiting > 0 || this.current.hasDeferred;
  }

  /** The batch of the oldest deferred reply, if there is one. */
  get oldest(): Batch {
    return this.#waiting > 0 ? (this.#queue[this.#oldest] as Batch) : this.current;
  }

  /** Sends the oldest deferred replies, at most `most`. Returns their number. */
  sendDeferred(most: number): number {
    const batch = this.oldest;
    const sent = batch.sendDeferred(most, this.#counters);
    if (this.#waiting > 0 && !batch.hasDeferred) this.#free.push(this.#takeOldest());
    return sent;
  }

  #startBatch(): void {
    const full = this.current;
    if (this.#waiting === MOST_BATCHES) {
      this.current = this.#takeOldest();
      count(this.#counters, OVERLOAD, this.current.dropDeferred());
    } else this.current = this.#free.pop() ?? this.#newBatch();
    this.#queue[(this.#oldest + this.#waiting) % MOST_BATCHES] = full;
    this.#waiting++;
  }

  #takeOldest(): Batch {
    const batch = this.#queue[this.#oldest] as Batch;
    this.#oldest = (this.#oldest + 1) % MOST_BATCHES;
    this.#waiting--;
    return batch;
  }

  #newBatch(): Batch {
    return new Batch(this.#libc, this.socket, this.#replyOctets);
  }
}
