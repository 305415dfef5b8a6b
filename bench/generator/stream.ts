/** Questions of one kind, asked in one way, over sockets of their own. */
import type { LatencySummary } from './latency.ts';
import type { QuerySocket } from './querySocket.ts';
import type { TallyResult } from './tally.ts';

/** How many are asked: a window of outstanding ones on each socket, or a timetable. */
export type Pace =
  | { readonly kind: 'window'; readonly window: number }
  | { readonly kind: 'rate'; readonly perSecond: number };

export interface StreamSpec {
  /** A file with a line `name TYPE` for each question. */
  readonly questions: string;
  readonly pace: Pace;
  readonly edns?: boolean;
  readonly sockets?: number;
  /** The question to begin with, counted round. */
  readonly first?: number;
  /** At most so many questions. */
  readonly limit?: number;
}

export interface StreamResult extends TallyResult {
  /** Of a timetable, in microseconds. */
  readonly latency?: Record<keyof LatencySummary, number | null>;
}

export interface Stream {
  readonly sockets: readonly QuerySocket[];
  /** It may sleep until a reply comes; otherwise it watches the clock all the time. */
  readonly maySleep: boolean;
  /** Sends what is due, reads what came; false once nothing is left to do. */
  step(elapsedMs: number, mayAsk: boolean): boolean;
  result(): StreamResult;
}
