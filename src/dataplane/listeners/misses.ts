/**
 * The main thread's side of what workers hand over: packets out of their rings, to `answer`, a few milliseconds at a
 * turn. Questions whose answers will soon be in the table come first, since each of them spares many; but one of eight
 * turns is the others', so that nobody waits for ever. A flood of misses costs other work here its share of time, no more;
 * and where more come than can be answered, most of the time is left to whoever else is on this core, such as workers:
 * half of the questions would meet a busy core otherwise, and wait for the end of its turn.
 *
 * Questions by wildcard come when nothing else waits, one at a time, and after each the thread is left alone for as long
 * as it took: a flood of them keeps no other question from being answered.
 */
import { clientAddress } from '../../dns/address.ts';
import type { DnsClient, Respond } from '../../dns/message.ts';
import { Envelope, sockaddrPort, sockaddrText } from '../sockets/layout.ts';
import { sendDropReason } from '../sockets/libc.ts';
import type { ReplySender } from '../sockets/sender.ts';
import { type CounterBlock, countDrop } from '../table/counters.ts';
import type { MainChannel } from './controlChannel.ts';
import { Miss, RingReader } from './handover.ts';
import type { SlowCounts } from './udpListener.ts';

/** How long the main thread answers misses before it looks at what else there is to do. */
const SLICE_MS = 3;
const SLOW_SHARE = 8;
/** In a flood: so long, and so long a pause. */
const FLOODED_SLICE_MS = 0.3;
const FLOODED_PAUSE_MS = 1;
/** Where the others' rings are never empty, one of so many answers is a wildcard's. */
const WILDCARD_SHARE = 64;

export interface MissSchedulerOptions {
  readonly ringMemory: SharedArrayBuffer;
  readonly workers: number;
  readonly channel: MainChannel;
  /** The packet's memory is used again after the call. Must not throw. */
  readonly answer: (miss: Miss) => void;
}

export class MissScheduler {
  readonly #channel: MainChannel;
  readonly #answer: (miss: Miss) => void;
  readonly #pendingRings: readonly RingReader[];
  readonly #slowRings: readonly RingReader[];
  readonly #wildcardRings: readonly RingReader[];
  readonly #miss = new Miss();
  #count = 0;
  /** No wildcard is answered before. */
  #wildcardAtMs = 0;
  #nextRun: NodeJS.Immediate | undefined;
  #pause: NodeJS.Timeout | undefined;

  constructor({ ringMemory, workers, channel, answer }: MissSchedulerOptions) {
    const threads = Array.from({ length: workers }, (_, i) => i + 1);
    this.#channel = channel;
    this.#answer = answer;
    this.#pendingRings = threads.map((thread) => new RingReader(ringMemory, thread, 'pending'));
    this.#slowRings = threads.map((thread) => new RingReader(ringMemory, thread, 'slow'));
    this.#wildcardRings = threads.map((thread) => new RingReader(ringMemory, thread, 'wildcard'));
  }

  /** To be called when a worker says that it has handed something over. */
  run(): void {
    this.#cancel();
    const isFlooded = this.#wasOverrun();
    const untilMs = performance.now() + (isFlooded ? FLOODED_SLICE_MS : SLICE_MS);
    if (this.#answerUntil(untilMs)) {
      this.#channel.markAsleep();
      // What came after the last look, and before a worker could know that it has to call.
      const isEmpty = this.#areEmpty(this.#pendingRings, this.#slowRings);
      if (isEmpty && this.#areEmpty(this.#wildcardRings)) return;
      if (isEmpty) {
        this.#sleepUntilWildcard();
        return;
      }
      if (!this.#channel.markAwake()) return;
    }
    if (isFlooded) this.#pause = setTimeout(() => this.run(), FLOODED_PAUSE_MS);
    else this.#nextRun = setImmediate(() => this.run());
  }

  /** Sleeps until it is time for the next wildcard, unless a worker calls before. */
  #sleepUntilWildcard(): void {
    const restMs = Math.max(0, Math.ceil(this.#wildcardAtMs - performance.now()));
    this.#pause = setTimeout(() => {
      this.#channel.markAwake();
      this.run();
    }, restMs);
  }

  /** Whether more came than could be answered since the last turn. */
  #wasOverrun(): boolean {
    let overrun = false;
    for (const ring of this.#slowRings) {
      overrun ||= ring.overran;
      ring.overran = false;
    }
    return overrun;
  }

  /** Answers all that waits now, within that time. */
  drain(timeoutMs: number): void {
    const untilMs = performance.now() + timeoutMs;
    let isDone = false;
    while (!isDone && performance.now() < untilMs) {
      this.#wildcardAtMs = 0;
      this.#answerUntil(untilMs);
      isDone = this.#areEmpty(this.#pendingRings, this.#slowRings, this.#wildcardRings);
    }
  }

  /** To be called when a worker is gone, before there is another in its place. */
  releaseBusySlots(thread: number): void {
    for (const rings of [this.#pendingRings, this.#slowRings, this.#wildcardRings])
      rings[thread - 1]?.releaseBusySlots();
  }

  close(): void {
    this.#cancel();
  }

  /** True if nothing is left, or nothing but wildcards whose time has not come. */
  #answerUntil(untilMs: number): boolean {
    while (this.#answerNext()) if (performance.now() >= untilMs) return false;
    return true;
  }

  #answerNext(): boolean {
    const wildcardsFirst = ++this.#count % WILDCARD_SHARE === 0;
    if (wildcardsFirst && this.#answerWildcard()) return true;
    if (!this.#take()) return this.#answerWildcard();
    this.#answer(this.#miss);
    return true;
  }

  #take(): boolean {
    const othersFirst = this.#count % SLOW_SHARE === 0;
    const [first, second] = othersFirst
      ? [this.#slowRings, this.#pendingRings]
      : [this.#pendingRings, this.#slowRings];
    return this.#takeFrom(first) || this.#takeFrom(second);
  }

  #answerWildcard(): boolean {
    const beganMs = performance.now();
    if (beganMs < this.#wildcardAtMs || !this.#takeFrom(this.#wildcardRings)) return false;
    this.#answer(this.#miss);
    const endedMs = performance.now();
    this.#wildcardAtMs = endedMs + (endedMs - beganMs);
    return true;
  }

  #takeFrom(rings: readonly RingReader[]): boolean {
    // Another ring is the first each time, or a flood in one would keep the others waiting.
    for (let i = 0; i < rings.length; i++)
      if (rings[(this.#count + i) % rings.length]?.take(this.#miss)) return true;
    return false;
  }

  #areEmpty(...rings: readonly (readonly RingReader[])[]): boolean {
    return rings.every((rings) => rings.every((ring) => ring.isEmpty()));
  }

  #cancel(): void {
    clearImmediate(this.#nextRun);
    clearTimeout(this.#pause);
    this.#nextRun = undefined;
    this.#pause = undefined;
  }
}

/**
 * From a packet that a worker handed over to its reply: `respond` in between, at once or later, and out through the
 * socket that the packet came by.
 */

export interface MissResponderOptions {
  readonly respond: Respond;
  readonly sender: ReplySender;
  /** Of the main thread, for what is dropped. */
  readonly counters: Readonly<Record<4 | 6, CounterBlock>>;
  readonly slow: SlowCounts;
  readonly isOwn: (address: string, port: number) => boolean;
  /** The listener's socket with that descriptor, and whether it is still there; `undefined` when it is not. */
  readonly socketOf: (fd: number) => ReplySocket | undefined;
}

export interface ReplySocket {
  readonly family: 4 | 6;
  readonly isOpen: boolean;
}

const WORD = Int32Array.BYTES_PER_ELEMENT;

export class MissResponder {
  readonly #options: MissResponderOptions;

  constructor(options: MissResponderOptions) {
    this.#options = options;
  }

  answer(miss: Miss): void {
    const { respond, isOwn, socketOf, counters, slow } = this.#options;
    const client = clientOf(miss.envelope);
    const socket = socketOf(miss.envelope[Envelope.FD] as number);
    if (socket === undefined) return;
    if (isOwn(client.address, client.port)) {
      countDrop(counters[socket.family], 'ownAddress');
      return;
    }
    slow.queries += 1;
    let { envelope } = miss;
    let isAnswered = false;
    respond(miss.packet, client, (reply) => {
      isAnswered = true;
      if (socket.isOpen) this.#send(socket, envelope, reply);
    });
    // The next packet will be where this one was.
    if (!isAnswered) envelope = envelope.slice();
  }

  #send({ family }: ReplySocket, envelope: Int32Array, reply: Uint8Array): void {
    const { sender, counters, slow } = this.#options;
    const errno = sender.send(envelope, reply);
    if (errno === 0) slow.replies += 1;
    else countDrop(counters[family], sendDropReason(errno));
  }
}

function clientOf(envelope: Int32Array): DnsClient {
  const at = envelope.byteOffset + Envelope.NAME * WORD;
  const name = new Uint8Array(envelope.buffer, at, Envelope.NAME_WORDS * WORD);
  const address = clientAddress(sockaddrText(name));
  return { transport: 'udp', address, port: sockaddrPort(name) };
}
