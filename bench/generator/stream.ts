/** A stream of queries of one kind at one pace, over its own sockets. */
import type { LatencySummary } from './latency.ts';
import type { QuerySocket } from './querySocket.ts';
import type { Edns } from './questions.ts';
import type { TallyResult } from './tally.ts';

/** The pace of a stream: a window of pending queries on each socket, one query at a time, or a fixed rate. */
export type Pace =
  | { readonly kind: 'single' }
  | { readonly kind: 'window'; readonly window: number }
  | { readonly kind: 'rate'; readonly perSecond: number };

export interface StreamSpec {
  /** A file with a line `name TYPE` for each question. */
  readonly questions: string;
  readonly pace: Pace;
  readonly edns?: Edns;
  readonly sockets?: number;
  /** Number of the first question, modulo the count. */
  readonly first?: number;
  /**
   * The stream reads no answers, and the kernel drops them: the flood of a sender that forged its address. For a fixed
   * rate.
   */
  readonly blind?: boolean;
  /** The most queries to send. */
  readonly limit?: number;
}

export interface StreamResult extends TallyResult {
  /** In microseconds, for a fixed rate and for one query at a time. */
  readonly latency?: Record<keyof LatencySummary, number | null>;
}

export interface Stream {
  readonly sockets: readonly QuerySocket[];
  /** Whether the thread may sleep until a reply arrives; otherwise it polls the clock. */
  readonly maySleep: boolean;
  /** Sends the due queries and receives replies; false when the stream is done. */
  step(elapsedMs: number, maySend: boolean): boolean;
  result(): StreamResult;
}
