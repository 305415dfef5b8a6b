/**
 * What a worker does: read a batch, answer what the table holds, hand over the rest, send, again. It waits only in the
 * kernel, and between batches only; nothing here is allocated per packet.
 *
 * With one socket of its own the read itself waits, one system call in all; with several, poll does, and then each that
 * has packets is read.
 */
import type { MessagePort } from 'node:worker_threads';
import { Batch } from '../sockets/batch.ts';
import { MSG_DONTWAIT, MSG_WAITFORONE, sockaddrPort } from '../sockets/layout.ts';
import { EAGAIN, EBADF, EINTR, type Libc, loadLibc, systemError } from '../sockets/libc.ts';
import { RecursionRanges } from '../sockets/recursionRanges.ts';
import { Poll, RECEIVE_TIMEOUT_MS } from '../sockets/socket.ts';
import {
  BATCH_BOUNDS,
  bucketOf,
  type CounterBlock,
  count,
  countDrop,
  LATENCY_BOUNDS_US,
  Single,
  Slot,
} from '../table/counters.ts';
import { type FastPath, Outcome } from '../table/fastPath.ts';
import type { openFastPath } from '../table/reader.ts';
import { type Lane, RingWriter } from './handover.ts';
import { clockOriginMs, WorkerLink, type WorkerStart } from './signals.ts';
import { familyBlock } from './udpListener.ts';

export interface WorkerWay {
  readonly fastPath: FastPath;
  readonly counters: CounterBlock;
}

export interface WorkerParts {
  readonly libc: Libc;
  readonly link: WorkerLink;
  /** For sockets of either family, each with counters of its own. */
  readonly ways: Readonly<Record<4 | 6, WorkerWay>>;
  readonly rings: Readonly<Record<Lane, RingWriter>>;
}

/** How long a worker that is to end goes on with what has arrived. */
const DRAIN_MS = 200;
/** After a read that failed for a reason that may pass. */
const PAUSE_MS = 10;

export class WorkerLoop {
  readonly #parts: WorkerParts;
  #batches: readonly Batch[] = [];
  #poll: Poll;
  #recursionRanges = new RecursionRanges([]);
  /** Of all our sockets: a packet from one of these may be one of ours. */
  #ownPorts: readonly number[] = [];
  #stop = false;
  #handedOver = false;
  readonly #pause = new Int32Array(new SharedArrayBuffer(4));

  constructor(parts: WorkerParts) {
    this.#parts = parts;
    this.#poll = new Poll(parts.libc, []);
  }

  /** Returns when it is told to stop. Throws if a socket is gone, which is a fault of ours. */
  run(): void {
    const { link } = this.#parts;
    for (;;) {
      if (link.hasOrders()) this.#takeOrders();
      if (this.#stop) break;
      const [first] = this.#batches;
      if (first === undefined) link.idle(RECEIVE_TIMEOUT_MS);
      else if (this.#batches.length === 1 && first.socket.blocking)
        this.#serve(first, MSG_WAITFORONE);
      else this.#serveReady(RECEIVE_TIMEOUT_MS);
    }
    this.#drain();
  }

  #takeOrders(): void {
    const { libc, link, ways } = this.#parts;
    const orders = link.orders();
    if (orders === undefined) return;
    this.#stop = orders.stop;
    this.#recursionRanges = new RecursionRanges(orders.recursionRanges);
    this.#ownPorts = [...new Set(orders.sockets.map(({ port }) => port))];
    this.#batches = orders.sockets.map(
      (socket) =>
        this.#batches.find((batch) => batch.socket.fd === socket.fd) ??
        new Batch(libc, socket, ways[socket.family].fastPath.replyOctets),
    );
    this.#poll = new Poll(
      libc,
      orders.sockets.map(({ fd }) => fd),
    );
    link.follow(orders);
  }

  /** Answers what waits in the kernel, for as long as there is time. */
  #drain(): void {
    const untilMs = performance.now() + DRAIN_MS;
    while (performance.now() < untilMs && this.#serveReady(0));
  }

  /** False if no socket had anything before the time was over. */
  #serveReady(timeoutMs: number): boolean {
    if (this.#batches.length === 0 || this.#poll.wait(timeoutMs) <= 0) return false;
    for (let i = 0; i < this.#batches.length; i++)
      if (this.#poll.isReady(i)) this.#serve(this.#batches[i] as Batch, MSG_DONTWAIT);
    return true;
  }

  #serve(batch: Batch, flags: number): void {
    const received = batch.receive(flags);
    if (received <= 0) {
      this.#readFailed(received);
      return;
    }
    const { link } = this.#parts;
    const { fastPath, counters } = this.#parts.ways[batch.socket.family];
    const readMs = performance.now();
    fastPath.beginBatch();
    this.#answer(batch, received, fastPath, counters);
    fastPath.endBatch();
    const replies = batch.send(counters);
    if (this.#handedOver) {
      this.#handedOver = false;
      link.wakeMain();
    }
    countBatch(counters, received, replies, performance.now() - readMs);
  }

  #answer(batch: Batch, received: number, fastPath: FastPath, counters: CounterBlock): void {
    const ranges = this.#recursionRanges;
    const { octets, words } = batch;
    const ownPorts = this.#ownPorts;
    let dealtWith = 0;
    let dealtOctets = 0;
    for (let i = 0; i < received; i++) {
      const length = batch.length(i);
      const nameAt = batch.nameAt(i);
      const port = sockaddrPort(octets, nameAt);
      if (port === 0) countDrop(counters, 'sourcePortZero');
      else if (ownPorts.includes(port))
        this.#handOver(batch, i, Outcome.OTHER, counters); // our own address?
      else {
        const recursionAvailable = ranges.has(words, nameAt);
        const outcome = fastPath.answer(octets, batch.packetAt(i), length, recursionAvailable);
        if (outcome >= Outcome.DROP) {
          dealtWith++;
          dealtOctets += length;
          if (outcome > 0) batch.reply(i, outcome);
        } else this.#handOver(batch, i, outcome, counters);
      }
    }
    count(counters, Single.received, dealtWith);
    count(counters, Single.receivedOctets, dealtOctets);
  }

  #handOver(batch: Batch, i: number, outcome: number, counters: CounterBlock): void {
    const ring = this.#parts.rings[laneOf(outcome)];
    if (!ring.put(batch, i)) countDrop(counters, 'overload');
    count(counters, Single.handedOver);
    this.#handedOver = true;
  }

  /** Nothing within the time, an interruption, or a reason that may pass. */
  #readFailed(received: number): void {
    const errno = received < 0 ? this.#parts.libc.errno() : EAGAIN;
    if (errno === EAGAIN || errno === EINTR) return;
    if (errno === EBADF) throw systemError(errno, 'recvmmsg');
    this.#parts.link.report({ kind: 'readError', errno });
    Atomics.wait(this.#pause, 0, 0, PAUSE_MS);
  }
}

function laneOf(outcome: number): Lane {
  if (outcome === Outcome.KNOWN) return 'known';
  return outcome === Outcome.WILDCARD ? 'wildcard' : 'other';
}

function countBatch(
  counters: CounterBlock,
  packets: number,
  replies: number,
  elapsedMs: number,
): void {
  count(counters, Slot.batch + bucketOf(BATCH_BOUNDS, packets));
  if (replies === 0) return;
  const micros = elapsedMs * 1000;
  count(counters, Slot.latency + bucketOf(LATENCY_BOUNDS_US, micros), replies);
  count(counters, Single.latencyMicros, micros * replies);
}

/** A worker thread's parts, tied together and run until it is told to stop. */

/** Returns when the main thread says so; throws where the thread cannot go on. `open` is for tests to replace. */
export function runWorker(port: MessagePort, start: WorkerStart, open: typeof openFastPath): void {
  const found = loadLibc();
  if (found.kind === 'missing') throw new Error(found.reason);
  const { thread, table, ringMemory } = start;
  const aheadMs = clockOriginMs() - start.mainClockOriginMs;
  const mainNowMs = (): number => performance.now() + aheadMs;
  const way = (family: 4 | 6): WorkerWay => {
    const counters = familyBlock(start.counterMemory, thread, family);
    const fastPath = table === undefined ? NO_TABLE : open(table, thread, counters, mainNowMs);
    return { fastPath, counters };
  };
  new WorkerLoop({
    libc: found.libc,
    link: new WorkerLink(start.linkMemory, thread, port),
    // They take turns, so they may read the table as one thread.
    ways: { 4: way(4), 6: way(6) },
    rings: {
      known: new RingWriter(ringMemory, thread, 'known'),
      other: new RingWriter(ringMemory, thread, 'other'),
      wildcard: new RingWriter(ringMemory, thread, 'wildcard'),
    },
  }).run();
}

const NO_TABLE: FastPath = {
  replyOctets: 0,
  beginBatch: () => {},
  endBatch: () => {},
  answer: () => Outcome.OTHER,
};
