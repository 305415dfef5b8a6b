/**
 * dnstap/: Sends copies of DNS messages to a reader of dnstap, and never waits for it.
 * Imports: dataplane/reply, dataplane/sockets, dns, forward/exchange, timing.
 * Used by: app, app/answering, config/options, dataplane/listeners, server/tcp.
 *
 * Each thread that answers writes its messages as frames into a ring in shared memory. The main thread copies the frames
 * to the connection. Without a reader, and with one that is too slow, the rings fill, and the threads drop and count
 * their messages.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Name } from '../dns/name.ts';
import type { ExchangeObserver } from '../forward/exchange/exchange.ts';
import type { Clock, Timer } from '../timing/clock.ts';
import { ClientTap, forwarderTap } from './clientTap.ts';
import { TapConnection, type TapTarget } from './tapConnection.ts';
import { newTapMemory, TapAlarm, TapRingReader } from './tapRing.ts';
import { type TapStart, TapWriter } from './tapWriter.ts';

/** Whose messages are tapped: those of clients, or those of upstreams. */
export type TapKind = 'client' | 'forwarder';

export interface DnstapOptions {
  readonly target: TapTarget;
  readonly kinds: readonly TapKind[];
  /** One of so many queries, with its reply. */
  readonly sample: number;
  readonly identity: string | undefined;
  readonly version: string;
  /** Worker threads, which are numbered from 1. */
  readonly workers: number;
  /** Whether a name is in our zones. */
  readonly isOurs: (name: Name) => boolean;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onEvent: (event: TapEvent) => void;
  /** Receives errors that are bugs. Must not throw. */
  readonly onError: (error: unknown) => void;
}

/** What an operator should know. */
export type TapEvent =
  /** `dropped` messages since the last event. */
  | { readonly kind: 'connected'; readonly dropped: number }
  /** No reader, for the first time since the last one; `text` says why. */
  | { readonly kind: 'disconnected'; readonly text: string }
  /** The reader does not read fast enough. At most once a minute. */
  | { readonly kind: 'slow'; readonly dropped: number };

export interface TapCounters {
  /** Messages that the connection has taken, and messages that never reached it. */
  readonly written: number;
  readonly dropped: number;
}

const MAIN_THREAD = 0;
/** Messages that are copied before the event loop does other work. */
const MESSAGES_A_TURN = 1_000;
/**
 * How long messages are collected before they are sent: each delivery wakes the main thread, which costs as much as 30
 * answers. A sample fills the rings more slowly, so it is collected for longer, but not for more than `MOST_COLLECT_MS`.
 */
const COLLECT_MS = 10;
const MOST_COLLECT_MS = 100;
/** How often drops are looked for while the reader is slow, and reported. */
const SLOW_LOOK_MS = 1_000;
const SLOW_EVERY_MS = 60_000;
/** How long `close` goes on copying messages. */
const DRAIN_MS = 500;

export class Dnstap {
  /** For the clients of the main thread; undefined if clients are not tapped. */
  readonly client: ClientTap | undefined;
  /** For the worker threads. */
  readonly #start: TapStart;
  /** For upstreams. */
  readonly forwarder: ExchangeObserver | undefined;
  readonly #options: DnstapOptions;
  readonly #connection: TapConnection;
  readonly #rings: readonly TapRingReader[];
  readonly #alarm: TapAlarm;
  #timer: Timer | undefined;
  #turn: NodeJS.Immediate | undefined;
  #dropped = 0;
  /** Of `#dropped`, those that an event has reported. */
  #reported = 0;
  #slowAtMs = Number.NEGATIVE_INFINITY;
  #isLost = false;
  /** While `close` waits for room. */
  #endWait: (() => void) | undefined;

  constructor(options: DnstapOptions) {
    const { kinds, sample, identity, version, workers, isOurs, clock, onError } = options;
    this.#options = options;
    const memory = newTapMemory(workers + 1);
    const start = { memory, sample, identity, version };
    const writer = new TapWriter(start, MAIN_THREAD);
    const onWritten = (): void => this.wake();
    const mainOptions = { writer, sample, isOurs, onWritten, onError };
    const hasClients = kinds.includes('client');
    this.#start = start;
    this.client = hasClients ? new ClientTap(mainOptions) : undefined;
    this.forwarder = kinds.includes('forwarder') ? forwarderTap(mainOptions) : undefined;
    this.#rings = Array.from({ length: workers + 1 }, (_, thread) => {
      return new TapRingReader(memory, thread);
    });
    this.#alarm = new TapAlarm(memory);
    this.#connection = new TapConnection({
      ...{ target: options.target, clock, random: options.random },
      onOpen: () => this.#onOpen(),
      onRoom: () => this.#onRoom(),
      onFailed: (text) => this.#onFailed(text),
    });
  }

  /** For listeners; undefined if clients are not tapped. */
  get listenerTap():
    | { readonly start: TapStart; readonly client: ClientTap; wake(): void }
    | undefined {
    const { client } = this;
    return client && { start: this.#start, client, wake: () => this.wake() };
  }

  /** Connects. Call this once. */
  open(): void {
    this.#connection.open();
  }

  /** Call this when a thread reports that it has written messages. */
  wake(): void {
    if (this.#timer !== undefined || this.#turn !== undefined || !this.#connection.isOpen) return;
    const { clock, sample } = this.#options;
    this.#timer = clock.startTimer(Math.min(COLLECT_MS * sample, MOST_COLLECT_MS), () => {
      this.#timer = undefined;
      this.#copy();
    });
  }

  counters(): TapCounters {
    this.#countDropped();
    const { written, lost } = this.#connection.frames;
    return { written, dropped: this.#dropped + lost };
  }

  /** Sends what the rings have, if the reader takes it in time, and ends the stream. */
  async close(): Promise<void> {
    this.#cancel();
    const { clock } = this.#options;
    const untilMs = clock.monotonicMs() + DRAIN_MS;
    for (;;) {
      const leftMs = untilMs - clock.monotonicMs();
      if (!this.#connection.isOpen || leftMs <= 0) break;
      if (!this.#connection.hasRoom) await this.#room(leftMs);
      else if (this.#copyRound()) await nextTurn();
      else break;
    }
    this.#cancel();
    await this.#connection.close();
  }

  /** Waits until the connection has room or has ended, but no longer than `mostMs`. */
  async #room(mostMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#endWait = resolve;
      this.#cancel();
      this.#timer = this.#options.clock.startTimer(mostMs, resolve);
    });
    this.#endWait = undefined;
    this.#cancel();
  }

  #onRoom(): void {
    if (this.#endWait === undefined) this.#copy();
    else this.#endWait();
  }

  /** Copies messages to the connection, in turns of the event loop, until the rings are empty or the reader is slow. */
  #copy(): void {
    this.#cancel();
    const mayHaveMore = this.#copyRound();
    if (!this.#connection.hasRoom) {
      this.#watchSlow();
      return;
    }
    if (mayHaveMore) {
      this.#turn = setImmediate(() => this.#copy());
      return;
    }
    this.#alarm.markAsleep();
    // A thread may have written after the last look at its ring, while this thread was marked awake.
    if (this.#rings.every((ring) => ring.isEmpty())) return;
    this.#alarm.markAwake();
    this.wake();
  }

  /** Copies at most `MESSAGES_A_TURN`; false if the rings are empty. */
  #copyRound(): boolean {
    let left = MESSAGES_A_TURN;
    for (const ring of this.#rings) {
      while (left > 0 && this.#connection.hasRoom) {
        const taken = ring.take(left);
        if (taken === undefined) break;
        this.#connection.write(taken);
        left -= taken.frames;
      }
    }
    return left < MESSAGES_A_TURN;
  }

  #onOpen(): void {
    this.#isLost = false;
    this.#countDropped();
    this.#options.onEvent({ kind: 'connected', dropped: this.#takeUnreported() });
    this.#alarm.markAwake();
    this.#copy();
  }

  #onFailed(text: string): void {
    this.#cancel();
    this.#endWait?.();
    if (this.#isLost) return;
    this.#isLost = true;
    this.#options.onEvent({ kind: 'disconnected', text });
  }

  /** Reports what a slow reader costs, until `onRoom` or the end of the connection. */
  #watchSlow(): void {
    const { clock, onEvent } = this.#options;
    this.#timer = clock.startTimer(SLOW_LOOK_MS, () => {
      this.#countDropped();
      const nowMs = clock.monotonicMs();
      const isDue = nowMs >= this.#slowAtMs + SLOW_EVERY_MS;
      if (isDue && this.#dropped > this.#reported) {
        this.#slowAtMs = nowMs;
        onEvent({ kind: 'slow', dropped: this.#takeUnreported() });
      }
      this.#watchSlow();
    });
  }

  #cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    clearImmediate(this.#turn);
    this.#turn = undefined;
  }

  #countDropped(): void {
    for (const ring of this.#rings) this.#dropped += ring.takeDropped();
  }

  #takeUnreported(): number {
    const unreported = this.#dropped - this.#reported;
    this.#reported = this.#dropped;
    return unreported;
  }
}
