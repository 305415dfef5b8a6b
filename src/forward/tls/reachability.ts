/** Whether an upstream can be connected to, as the connections so far have shown, and when the next one may be opened. */
import { backoffMs } from '../../timing/backoff.ts';
import type { Clock } from '../../timing/clock.ts';
import type { ExchangeResult } from '../exchange/reply.ts';
import type { TlsUpstream } from './trust.ts';

export interface TlsEvents {
  /** Once for each reason, until the upstream replies again. Must not throw. */
  onUnreachable(upstream: TlsUpstream, reason: string): void;
}

/** Below the time of one try, so that an upstream that is back soon gets a question. */
const RETRY = { minMs: 50, maxMs: 1_000 };

export class Reachability {
  readonly #upstream: TlsUpstream;
  readonly #clock: Clock;
  readonly #events: TlsEvents;
  readonly #reported = new Set<string>();
  #failuresInARow = 0;
  #retryAtMs = 0;
  #fault: ExchangeResult = { kind: 'network', text: 'not connected' };

  constructor(upstream: TlsUpstream, clock: Clock, events: TlsEvents) {
    this.#upstream = upstream;
    this.#clock = clock;
    this.#events = events;
  }

  /** The result of questions that no connection carries. */
  get fault(): ExchangeResult {
    return this.#fault;
  }

  get mayOpen(): boolean {
    return this.#clock.monotonicMs() >= this.#retryAtMs;
  }

  replied(): void {
    this.#failuresInARow = 0;
    this.#retryAtMs = 0;
    this.#reported.clear();
  }

  /** No connection was opened; `isUntrusted`: because the upstream's certificate is not trusted. */
  unopened(isUntrusted: boolean, text: string): void {
    this.#fault = { kind: isUntrusted ? 'untrusted' : 'network', text };
    this.postpone();
    if (this.#reported.has(text)) return;
    this.#reported.add(text);
    this.#events.onUnreachable(this.#upstream, text);
  }

  /** An open connection ended under its questions. */
  lost(text: string): void {
    this.#fault = { kind: 'network', text };
  }

  /** Makes the next connection wait, twice as long as the one before. */
  postpone(): void {
    this.#failuresInARow++;
    this.#retryAtMs = this.#clock.monotonicMs() + backoffMs(this.#failuresInARow, RETRY);
  }
}
