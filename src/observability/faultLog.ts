/**
 * Logs faults of this program, each kind once in a time window: a client may repeat the query that causes a fault
 * thousands of times a second. The first fault of a kind is logged at once with its stack; at the end of the window one
 * line for each kind counts the others.
 */
import type { Log } from './log.ts';
import { RepeatedLines } from './repeatedLines.ts';

export interface FaultLog {
  /** Logs or counts the fault; `message` names its effect. Never throws. */
  report(error: unknown, message: string): void;
  /** Logs the counts. */
  close(): void;
}

export function createFaultLog(log: Log): FaultLog {
  const lines = new RepeatedLines();
  return {
    report(error, message) {
      const origin = originOf(error);
      const fault = lines.hasRoom(`${message} ${origin}`) ? origin : 'other faults';
      const summarize = (repeated: number): void =>
        log.error({ fault, repeated }, `${message}: the same fault occurred again`);
      if (lines.isFirst(`${message} ${fault}`, summarize)) log.error({ err: error }, message);
    },
    close: () => lines.close(),
  };
}

/**
 * The error's type and the line that threw it. The message may contain a client's name, so it cannot identify a kind.
 */
function originOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const line = error.stack?.split('\n').find((text) => /^ +at /.test(text));
  return `${error.name}${line === undefined ? '' : ` ${line.trim()}`}`;
}
