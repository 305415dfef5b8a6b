/**
 * Follows an engine: subscribes to its events, then lists its containers, so that every change after the list is an
 * event. Lists again at intervals, in case an event was lost. Reconnects until `close`. Each connection begins with the
 * engine's info, because another engine may have the address.
 */
import { backoffMs } from '../../timing/backoff.ts';
import type { Clock } from '../../timing/clock.ts';
import { WakeableSleep } from '../../timing/sleep.ts';
import { type Engine, EngineError, type EngineEvent, type EngineInfo } from '../engine/engine.ts';
import { parseNano } from '../engine/instants.ts';
import type { Containers } from './containers.ts';
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
  /**
   * Called at the start of each connection. Returns the containers that receive the signals, events and lists of this
   * engine; `undefined`: the registrar is closed. May reject with an `EngineError`, which ends the connection.
   */
  readonly openReceiver: (info: EngineInfo) => Promise<EngineReceiver | undefined>;
  readonly onConnected: () => void;
  readonly onLost: (error: EngineError, retryInMs: number) => void;
}

type EngineReceiver = Pick<Containers, 'onEvent' | 'onSignal' | 'onList'>;

const BACKOFF = { minMs: 100, maxMs: 5_000 };
/** The age of the oldest signals that are requested; stops are shorter. */
const MAX_SIGNAL_AGE_MS = 3_600_000;
/** A connection that lasts this long resets the backoff. */
const LASTING_MS = 5_000;

export class EngineFollower {
  readonly #options: FollowerOptions;
  readonly #retrySleep: WakeableSleep;
  readonly #abort = new AbortController();
  #state: EngineState;
  #failures = 0;
  #connects = 0;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#retrySleep = new WakeableSleep(options.clock);
    this.#state = { kind: 'connecting', sinceMs: options.clock.monotonicMs(), reason: undefined };
  }

  start(): void {
    void this.#run();
  }

  state(): EngineState {
    return this.#state;
  }

  /** The number of connections after the first. */
  get reconnects(): number {
    return Math.max(0, this.#connects - 1);
  }

  close(): void {
    this.#abort.abort();
    this.#retrySleep.wake();
  }

  async #run(): Promise<void> {
    while (!this.#abort.signal.aborted) {
      try {
        await this.#follow();
      } catch (error) {
        if (!(error instanceof EngineError)) throw error;
        if (this.#abort.signal.aborted) return;
        await this.#retrySleep.sleep(this.#onFailure(error));
      }
    }
  }

  async #follow(): Promise<void> {
    const { engine, openReceiver, clock } = this.#options;
    const requestedAtMs = clock.monotonicMs();
    const info = await engine.info();
    if (this.#abort.signal.aborted) return;
    const containers = await openReceiver(info);
    if (containers === undefined || this.#abort.signal.aborted) return;
    const connection = new AbortController();
    const { signal } = connection;
    const stream = engine.events(undefined, AbortSignal.any([signal, this.#abort.signal]));
    const reading = this.#read(stream, containers);
    reading.catch(() => {}); // awaited below, but another step may fail first
    try {
      await Promise.race([stream.opened, reading]);
      for (const sent of await this.#pastSignals(info, requestedAtMs)) containers.onSignal(sent);
      await this.#list(containers, { all: true });
      this.#onConnected();
      await Promise.race([reading, this.#relist(containers, signal)]);
    } finally {
      connection.abort();
    }
  }

  async #read(events: AsyncIterable<EngineEvent>, containers: EngineReceiver): Promise<void> {
    for await (const event of events) {
      if (this.#abort.signal.aborted) return;
      containers.onEvent(event);
    }
    if (!this.#abort.signal.aborted) throw new EngineError('unreachable', 'the events ended');
  }

  /**
   * A container that got its signal before this connection may still be stopping. `requestedAtMs` precedes the info's
   * time.
   */
  async #pastSignals(
    { isOwnId, timeNano }: EngineInfo,
    requestedAtMs: number,
  ): Promise<readonly SentSignal[]> {
    // Podman has no event for the signal of `podman stop`.
    if (timeNano === undefined || !isOwnId) return [];
    const { engine, clock } = this.#options;
    const untilNano = timeNano + nanoOf(clock.monotonicMs() - requestedAtMs);
    try {
      const events = await engine.signals(untilNano - nanoOf(MAX_SIGNAL_AGE_MS), untilNano);
      return events.flatMap((event) => {
        const sentNano = parseNano(event.timeNano);
        if (sentNano === undefined) return [];
        return [{ event, atMs: requestedAtMs - Number((timeNano - sentNano) / 1_000_000n) }];
      });
    } catch (error) {
      // A proxy may refuse the query. An unreachable engine also fails the next call.
      if (error instanceof EngineError) return [];
      throw error;
    }
  }

  async #relist(containers: EngineReceiver, signal: AbortSignal): Promise<void> {
    const sleep = new WakeableSleep(this.#options.clock);
    const ended = AbortSignal.any([signal, this.#abort.signal]);
    ended.addEventListener('abort', () => sleep.wake(), { once: true });
    while (!ended.aborted) {
      await sleep.sleep(this.#options.relistEveryMs);
      if (!ended.aborted) await this.#list(containers, { all: false });
    }
  }

  async #list(containers: EngineReceiver, scope: { readonly all: boolean }): Promise<void> {
    const list = await this.#options.engine.list();
    if (!this.#abort.signal.aborted) containers.onList(list, scope);
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
