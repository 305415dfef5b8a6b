/**
 * Follows an engine for ever: first its events, then a list of what runs, so that nothing can fall between the two; a
 * list again now and then, in case an event was lost. When the engine is gone it is tried again until it is back, and
 * asked first which engine it is: another one may be in its place.
 */
import { backoffMs } from '../../timing/backoff.ts';
import type { Clock } from '../../timing/clock.ts';
import { WakeableSleep } from '../../timing/sleep.ts';
import {
  type Engine,
  EngineError,
  type EngineEvent,
  type EngineInfo,
  type ListedContainer,
} from '../engine/engine.ts';
import { parseNano } from '../engine/instants.ts';
import type { SentSignal } from './trackedContainer.ts';

/** Times are monotonic. */
export type EngineState =
  | { readonly kind: 'connecting'; readonly sinceMs: number; readonly reason: string | undefined }
  | { readonly kind: 'connected'; readonly sinceMs: number }
  | { readonly kind: 'lost'; readonly sinceMs: number; readonly reason: string };

export interface FollowerOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly random: () => number;
  readonly relistEveryMs: number;
  /** At each connection, and waited for before any other. May reject with an `EngineError`: then it is tried again. */
  readonly onInfo: (info: EngineInfo) => Promise<void>;
  readonly onEvent: (event: EngineEvent) => void;
  /** A signal from before the connection, which was sent at `atMs`: before the first list. */
  readonly onSignal: (signal: SentSignal) => void;
  /** `all`: the first list of a connection. */
  readonly onList: (list: readonly ListedContainer[], about: { readonly all: boolean }) => void;
  readonly onConnected: () => void;
  readonly onLost: (error: EngineError, retryInMs: number) => void;
}

const BACKOFF = { minMs: 100, maxMs: 5_000 };
/** How far back signals are asked for: longer than stops take. */
const REMEMBER_MS = 3_600_000;
/** A connection that ends sooner is one more failure. */
const LASTING_MS = 5_000;

export class EngineFollower {
  readonly #options: FollowerOptions;
  readonly #nap: WakeableSleep;
  readonly #abort = new AbortController();
  #state: EngineState;
  #failures = 0;
  #connects = 0;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#nap = new WakeableSleep(options.clock);
    this.#state = { kind: 'connecting', sinceMs: options.clock.monotonicMs(), reason: undefined };
  }

  start(): void {
    void this.#run();
  }

  state(): EngineState {
    return this.#state;
  }

  /** Connections after the first. */
  get reconnects(): number {
    return Math.max(0, this.#connects - 1);
  }

  close(): void {
    this.#abort.abort();
    this.#nap.wake();
  }

  async #run(): Promise<void> {
    while (!this.#abort.signal.aborted) {
      try {
        await this.#follow();
      } catch (error) {
        if (!(error instanceof EngineError)) throw error;
        if (this.#abort.signal.aborted) return;
        await this.#nap.sleep(this.#onFailure(error));
      }
    }
  }

  async #follow(): Promise<void> {
    const { engine, onInfo, clock } = this.#options;
    const askedAtMs = clock.monotonicMs();
    const info = await engine.info();
    if (this.#abort.signal.aborted) return;
    await onInfo(info);
    if (this.#abort.signal.aborted) return;
    const session = new AbortController();
    const { signal } = session;
    const stream = engine.events(undefined, AbortSignal.any([signal, this.#abort.signal]));
    const reading = this.#read(stream);
    reading.catch(() => {}); // it is awaited below, but something else may fail first
    try {
      await Promise.race([stream.opened, reading]);
      for (const signal of await this.#pastSignals(info, askedAtMs)) this.#options.onSignal(signal);
      await this.#list(true);
      this.#onConnected();
      await Promise.race([reading, this.#relist(signal)]);
    } finally {
      session.abort();
    }
  }

  async #read(events: AsyncIterable<EngineEvent>): Promise<void> {
    for await (const event of events) {
      if (this.#abort.signal.aborted) return;
      this.#options.onEvent(event);
    }
    if (!this.#abort.signal.aborted) throw new EngineError('unreachable', 'the events ended');
  }

  /** What was being stopped when nobody listened still is, perhaps. `askedAtMs`: no later than the info's time. */
  async #pastSignals(
    { isOwnId, timeNano }: EngineInfo,
    askedAtMs: number,
  ): Promise<readonly SentSignal[]> {
    // Podman tells of no signals that `stop` sends.
    if (timeNano === undefined || !isOwnId) return [];
    const { engine, clock } = this.#options;
    const untilNano = timeNano + nanoOf(clock.monotonicMs() - askedAtMs);
    try {
      const events = await engine.signals(untilNano - nanoOf(REMEMBER_MS), untilNano);
      return events.flatMap((event) => {
        const sentNano = parseNano(event.timeNano);
        if (sentNano === undefined) return [];
        return [{ event, atMs: askedAtMs - Number((timeNano - sentNano) / 1_000_000n) }];
      });
    } catch (error) {
      // A proxy may refuse it. An engine that is gone fails the next call, too.
      if (error instanceof EngineError) return [];
      throw error;
    }
  }

  async #relist(signal: AbortSignal): Promise<void> {
    const nap = new WakeableSleep(this.#options.clock);
    const ended = AbortSignal.any([signal, this.#abort.signal]);
    ended.addEventListener('abort', () => nap.wake(), { once: true });
    while (!ended.aborted) {
      await nap.sleep(this.#options.relistEveryMs);
      if (!ended.aborted) await this.#list(false);
    }
  }

  async #list(all: boolean): Promise<void> {
    const list = await this.#options.engine.list();
    if (!this.#abort.signal.aborted) this.#options.onList(list, { all });
  }

  #onConnected(): void {
    this.#connects++;
    this.#state = { kind: 'connected', sinceMs: this.#options.clock.monotonicMs() };
    this.#options.onConnected();
  }

  #onFailure(error: EngineError): number {
    const { clock, random, onLost } = this.#options;
    const before = this.#state;
    const nowMs = clock.monotonicMs();
    const hasLasted = before.kind === 'connected' && nowMs - before.sinceMs >= LASTING_MS;
    if (hasLasted) this.#failures = 0;
    const retryInMs = backoffMs(++this.#failures, BACKOFF, random);
    const reason = error.message;
    const sinceMs = before.kind === 'connected' ? nowMs : before.sinceMs;
    this.#state = { kind: before.kind === 'connecting' ? 'connecting' : 'lost', sinceMs, reason };
    onLost(error, retryInMs);
    return retryInMs;
  }
}

function nanoOf(ms: number): bigint {
  return BigInt(Math.ceil(ms)) * 1_000_000n;
}
