/**
 * The loop of a worker: it reads a batch, answers the questions that the table or the cache can answer, hands over the
 * misses, and sends the replies. Between batches it waits in the kernel. It allocates nothing per packet.
 *
 * After a full read more packets wait in the kernel, and some may ask for names that exist. The worker then defers the
 * replies about names that do not exist, and reads on: reading a packet takes a third of the time of answering it. So
 * a flood of random names delays other answers little, and if it exceeds what the worker can answer, it alone is shed.
 * Replies about existing names keep their order, and deferred replies keep theirs.
 *
 * A worker with one socket of its own waits in the read, which saves a system call; a worker with several waits in
 * poll, and then reads each socket that has packets. An idle worker waits in poll as well, because that wait may be
 * longer than the one that the socket allows.
 */
import type { MessagePort } from 'node:worker_threads';
import { Rcode } from '../../dns/rr.ts';
import { BatchTap } from '../../dnstap/batchTap.ts';
import { EAGAIN, EBADF, EINTR, type Libc, loadLibc, systemError } from '../../kernel/libc.ts';
import { type FastPath, Outcome } from '../reply/fastPath.ts';
import type { openFastPath } from '../reply/reader.ts';
import { AddressRanges } from '../sockets/addressRanges.ts';
import type { Batch } from '../sockets/batch.ts';
import type { ClientPolicy } from '../sockets/clientPolicy.ts';
import { Intake } from '../sockets/intake.ts';
import { MSG_DONTWAIT, MSG_WAITFORONE, sockaddrPort } from '../sockets/layout.ts';
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
import { clockOriginMs, WorkerChannel, type WorkerStart } from './controlChannel.ts';
import { type RingKind, RingWriter } from './handover.ts';
import { Spin } from './spin.ts';
import { familyBlock } from './udpListener.ts';

/** The table and the counters for packets of one address family. */
export interface FamilyPath {
  readonly fastPath: FastPath;
  readonly counters: CounterBlock;
}

export interface WorkerParts {
  readonly libc: Libc;
  readonly channel: WorkerChannel;
  /** By family of the socket, each with counters of its own. */
  readonly paths: Readonly<Record<4 | 6, FamilyPath>>;
  readonly rings: Readonly<Record<RingKind, RingWriter>>;
  /** Undefined: no messages for dnstap. */
  readonly tap?: BatchTap | undefined;
}

/**
 * How long an idle worker waits for packets before it checks for an assignment. Each wake-up costs an idle server 100 µs
 * of CPU time, and an assignment, or the end of the process, waits for the next one.
 */
const IDLE_WAIT_MS = 200;
/** How long a stopped worker answers the packets that have arrived. */
const DRAIN_MS = 200;
/** The pause after a failed read, whose cause may pass. */
const PAUSE_MS = 10;

/** Deferred replies that are sent between two reads. At 2 µs each they delay the next read little. */
const DEFERRED_AT_ONCE = 16;
/** In a flood every read is full; then deferred replies are sent after one read in this many. */
const FULL_READS = 4;

export class WorkerLoop {
  readonly #parts: WorkerParts;
  readonly #spin: Spin;
  #intakes: readonly Intake[] = [];
  #poll: Poll;
  #allowed: AddressRanges | undefined;
  #recursion = new AddressRanges([]);
  /** Ports of all our sockets: a packet from such a port may come from one of them. */
  #ownPorts: readonly number[] = [];
  #stop = false;
  #handedOver = false;
  /** No packet came in the last wait. */
  #isIdle = false;
  #fullReads = 0;
  readonly #pause = new Int32Array(new SharedArrayBuffer(4));
  readonly #readFirst = (): number => (this.#intakes[0] as Intake).receive(MSG_DONTWAIT);
  readonly #pollNow = (): number => this.#poll.wait(0);

  constructor(parts: WorkerParts) {
    this.#parts = parts;
    this.#spin = new Spin(parts.libc);
    this.#poll = new Poll(parts.libc, []);
  }

  /** Returns after an assignment that stops it. Throws if a socket was closed, which is a bug. */
  run(): void {
    const { channel } = this.#parts;
    for (;;) {
      if (channel.hasAssignment()) this.#takeAssignment();
      if (this.#stop) break;
      const [first] = this.#intakes;
      if (first === undefined) channel.waitForAssignment(RECEIVE_TIMEOUT_MS);
      else if (this.#isIdle) this.#isIdle = this.#poll.wait(IDLE_WAIT_MS) === 0;
      else if (this.#intakes.length === 1 && first.socket.blocking) this.#serveAlone(first);
      else this.#isIdle = !this.#serveReady(RECEIVE_TIMEOUT_MS);
    }
    this.#drain();
  }

  #takeAssignment(): void {
    const { libc, channel, paths } = this.#parts;
    const assignment = channel.receiveAssignment();
    if (assignment === undefined) return;
    this.#sendAllDeferred();
    this.#stop = assignment.stop;
    this.#setPolicy(assignment.policy);
    this.#ownPorts = [...new Set(assignment.sockets.map(({ port }) => port))];
    this.#isIdle = false;
    this.#intakes = assignment.sockets.map((socket) => {
      const { fastPath, counters } = paths[socket.family];
      return (
        this.#intakes.find((intake) => intake.socket.fd === socket.fd) ??
        new Intake(libc, socket, fastPath.replyOctets, counters)
      );
    });
    this.#poll = new Poll(
      libc,
      assignment.sockets.map(({ fd }) => fd),
    );
    channel.acknowledge(assignment);
  }

  #setPolicy(policy: ClientPolicy): void {
    const { allowed, recursionRanges } = policy;
    this.#allowed = allowed && new AddressRanges(allowed);
    this.#recursion = new AddressRanges(recursionRanges);
    for (const { fastPath } of Object.values(this.#parts.paths)) fastPath.setPolicy(policy);
  }

  /** Answers the packets that wait in the kernel, within the time limit. */
  #drain(): void {
    const untilMs = performance.now() + DRAIN_MS;
    while (performance.now() < untilMs && this.#serveReady(0));
    this.#sendAllDeferred();
  }

  /** Serves the worker's only socket: waits in the read, unless deferred replies wait. */
  #serveAlone(intake: Intake): void {
    if (intake.hasDeferred) {
      this.#serveDeferring(intake);
      return;
    }
    const received = this.#spin.look(this.#readFirst) || intake.receive(MSG_WAITFORONE);
    this.#isIdle = received < 0;
    this.#serve(intake, received);
  }

  /** False if no socket had packets within the time, and no replies were deferred. */
  #serveReady(timeoutMs: number): boolean {
    let deferring = false;
    for (const intake of this.#intakes) deferring ||= intake.hasDeferred;
    if (!deferring && this.#intakes.length === 0) return false;
    const isReady =
      timeoutMs === 0 || deferring
        ? this.#poll.wait(0) > 0
        : (this.#spin.look(this.#pollNow) || this.#poll.wait(timeoutMs)) > 0;
    for (let i = 0; i < this.#intakes.length; i++) {
      const intake = this.#intakes[i] as Intake;
      if (intake.hasDeferred) this.#serveDeferring(intake);
      else if (isReady && this.#poll.isReady(i)) this.#serve(intake, intake.receive(MSG_DONTWAIT));
    }
    return isReady || deferring;
  }

  /**
   * Serves a socket with deferred replies. Some of them are sent after each read that is not full, and after one full read
   * in `FULL_READS`. A batch with few of them does not wait for that, because it is soon free.
   * After a read that deferred replies have made short, the worker first reads again.
   */
  #serveDeferring(intake: Intake): void {
    this.#serve(intake, intake.receive(MSG_DONTWAIT));
    if (intake.wasShort) return;
    const isBusy = intake.wasFull && ++this.#fullReads % FULL_READS !== 0;
    if (isBusy && intake.oldest.deferredCount > 2 * DEFERRED_AT_ONCE) return;
    this.#sendDeferred(intake);
  }

  /** False if no replies were deferred. */
  #sendDeferred(intake: Intake): boolean {
    const { readMs } = intake.oldest;
    const sent = intake.sendDeferred(DEFERRED_AT_ONCE);
    const { counters } = this.#parts.paths[intake.socket.family];
    countLatency(counters, sent, performance.now() - readMs);
    return sent > 0;
  }

  #sendAllDeferred(): void {
    for (const intake of this.#intakes) while (this.#sendDeferred(intake));
  }

  #serve(intake: Intake, received: number): void {
    if (received <= 0) {
      this.#onReadFailed(received);
      return;
    }
    const { channel, tap } = this.#parts;
    const { fastPath, counters } = this.#parts.paths[intake.socket.family];
    const batch = intake.current;
    const readMs = performance.now();
    fastPath.beginBatch();
    tap?.beginBatch(batch, readMs);
    this.#answer(intake, received, fastPath, counters);
    fastPath.endBatch();
    const replies = batch.send(counters);
    if (tap?.endBatch() === true) channel.report({ kind: 'tapped' });
    if (this.#handedOver) {
      this.#handedOver = false;
      channel.wakeMain();
    }
    count(counters, Slot.batch + bucketOf(BATCH_BOUNDS, received));
    countLatency(counters, replies, performance.now() - readMs);
  }

  #answer(intake: Intake, received: number, fastPath: FastPath, counters: CounterBlock): void {
    const allowed = this.#allowed;
    const recursion = this.#recursion;
    const batch = intake.current;
    // More packets wait, or are likely to.
    const mayDefer = intake.wasFull || intake.hasDeferred;
    const { octets, words } = batch;
    const ownPorts = this.#ownPorts;
    const { needsClient } = fastPath;
    const { tap } = this.#parts;
    let handled = 0;
    let handledOctets = 0;
    const end = batch.first + received;
    for (let i = batch.first; i < end; i++) {
      const length = batch.length(i);
      const nameAt = batch.nameAt(i);
      const port = sockaddrPort(octets, nameAt);
      if (port === 0) countDrop(counters, 'sourcePortZero');
      else if (allowed !== undefined && !allowed.has(words, nameAt))
        countDrop(counters, 'notAllowed');
      else if (ownPorts.includes(port))
        this.#handOver(batch, i, Outcome.SLOW, counters); // The main thread compares the address with ours.
      else {
        if (needsClient) fastPath.setClient(words, nameAt);
        const recursionAvailable = recursion.has(words, nameAt);
        const outcome =
          tap === undefined
            ? fastPath.answer(octets, batch.packetAt(i), length, recursionAvailable)
            : tap.answer(fastPath, batch, i, length, recursionAvailable);
        if (outcome >= Outcome.DROP) {
          handled++;
          handledOctets += length;
          if (outcome > 0) {
            if (mayDefer && isNameError(octets, batch.packetAt(i))) batch.defer(i, outcome);
            else batch.reply(i, outcome);
          }
        } else this.#handOver(batch, i, outcome, counters);
      }
    }
    count(counters, Single.received, handled);
    count(counters, Single.receivedOctets, handledOctets);
  }

  #handOver(batch: Batch, i: number, outcome: number, counters: CounterBlock): void {
    const ring = this.#parts.rings[ringKindOf(outcome)];
    if (!ring.put(batch, i)) countDrop(counters, 'overload');
    count(counters, Single.handedOver);
    this.#handedOver = true;
  }

  /** Continues after a timeout, an interruption, or an error that may pass. */
  #onReadFailed(received: number): void {
    const errno = received < 0 ? this.#parts.libc.errno() : EAGAIN;
    if (errno === EAGAIN || errno === EINTR) return;
    if (errno === EBADF) throw systemError(errno, 'recvmmsg');
    this.#parts.channel.report({ kind: 'readError', errno });
    Atomics.wait(this.#pause, 0, 0, PAUSE_MS);
  }
}

function ringKindOf(outcome: number): RingKind {
  if (outcome === Outcome.PENDING) return 'pending';
  return outcome === Outcome.WILDCARD ? 'wildcard' : 'slow';
}

/** Whether the reply says that its name does not exist: a flood of random names gets such replies. */
function isNameError(octets: Uint8Array, at: number): boolean {
  return ((octets[at + 3] as number) & 0x0f) === Rcode.NXDOMAIN;
}

function countLatency(counters: CounterBlock, replies: number, elapsedMs: number): void {
  if (replies === 0) return;
  const micros = elapsedMs * 1000;
  count(counters, Slot.latency + bucketOf(LATENCY_BOUNDS_US, micros), replies);
  count(counters, Single.latencyMicros, micros * replies);
}

/** Runs a worker's loop until an assignment stops it. Throws if the thread cannot continue. Tests replace `open`. */
export function runWorker(port: MessagePort, start: WorkerStart, open: typeof openFastPath): void {
  const found = loadLibc();
  if (found.kind === 'missing') throw new Error(found.reason);
  const { thread, table, ringMemory } = start;
  const aheadMs = clockOriginMs() - start.mainClockOriginMs;
  const mainNowMs = (): number => performance.now() + aheadMs;
  const path = (family: 4 | 6): FamilyPath => {
    const counters = familyBlock(start.counterMemory, thread, family);
    const fastPath = table === undefined ? NO_TABLE : open(table, thread, counters, mainNowMs);
    return { fastPath, counters };
  };
  new WorkerLoop({
    libc: found.libc,
    channel: new WorkerChannel(start.channelMemory, thread, port),
    // The loop uses one path at a time, so both may read the table under one thread number.
    paths: { 4: path(4), 6: path(6) },
    rings: {
      pending: new RingWriter(ringMemory, thread, 'pending'),
      slow: new RingWriter(ringMemory, thread, 'slow'),
      wildcard: new RingWriter(ringMemory, thread, 'wildcard'),
    },
    tap: start.tap && new BatchTap(start.tap, thread),
  }).run();
}

const NO_TABLE: FastPath = {
  replyOctets: 0,
  setPolicy: () => {},
  needsClient: false,
  setClient: () => {},
  beginBatch: () => {},
  endBatch: () => {},
  answer: () => Outcome.SLOW,
};
