/**
 * Logs faults of ours, the same one once: a query that meets a fault comes again, thousands of times a second if somebody
 * wants it to. The first of a kind is logged at once with its stack; a minute later one line counts the others.
 */
import type { Log } from './log.ts';

/** How long equal faults are counted before the count is logged. */
const WINDOW_MS = 60_000;

/** Kinds counted at once; further ones count as one kind. */
const MAX_KINDS = 100;

export interface FaultLog {
  /** Logs or counts the fault under a message that says what it cost. Never throws. */
  report(error: unknown, message: string): void;
  /** Logs what was counted. */
  close(): void;
}

interface FaultKind {
  readonly message: string;
  readonly fault: string;
  repeated: number;
}

export function createFaultLog(log: Log): FaultLog {
  const kinds = new Map<string, FaultKind>();
  let timer: NodeJS.Timeout | undefined;

  const summarize = (): void => {
    timer = undefined;
    for (const { message, fault, repeated } of kinds.values()) {
      if (repeated > 0) log.error({ fault, repeated }, `${message}: the same fault again`);
    }
    kinds.clear();
  };

  return {
    report(error, message) {
      const place = originOf(error);
      const isKept = kinds.has(`${message} ${place}`) || kinds.size < MAX_KINDS;
      const fault = isKept ? place : 'other faults';
      const key = `${message} ${fault}`;
      const known = kinds.get(key);
      if (known !== undefined) {
        known.repeated++;
        return;
      }
      kinds.set(key, { message, fault, repeated: 0 });
      log.error({ err: error }, message);
      timer ??= setTimeout(summarize, WINDOW_MS).unref();
    },
    close() {
      clearTimeout(timer);
      summarize();
    },
  };
}

/** The error's kind and the line that threw it. Messages may hold names that clients chose, and are all different then. */
function originOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const line = error.stack?.split('\n').find((text) => /^ +at /.test(text));
  return `${error.name}${line === undefined ? '' : ` ${line.trim()}`}`;
}
