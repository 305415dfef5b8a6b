/**
 * Logs faults of this program, each kind once in a time window: a client may repeat the query that causes a fault
 * thousands of times a second. The first fault of a kind is logged at once with its stack; at the end of the window one
 * line for each kind counts the others.
 */
import type { Log } from './log.ts';

/** The length of a window. A window begins with the first fault after the previous window. */
const WINDOW_MS = 60_000;

/** Further kinds are counted as one. */
const MAX_KINDS = 100;

export interface FaultLog {
  /** Logs or counts the fault; `message` names its effect. Never throws. */
  report(error: unknown, message: string): void;
  /** Logs the counts. */
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
      if (repeated > 0) log.error({ fault, repeated }, `${message}: the same fault occurred again`);
    }
    kinds.clear();
  };

  return {
    report(error, message) {
      const origin = originOf(error);
      const isKept = kinds.has(`${message} ${origin}`) || kinds.size < MAX_KINDS;
      const fault = isKept ? origin : 'other faults';
      const key = `${message} ${fault}`;
      const kind = kinds.get(key);
      if (kind !== undefined) {
        kind.repeated++;
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

/**
 * The error's type and the line that threw it. The message may contain a client's name, so it cannot identify a kind.
 */
function originOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const line = error.stack?.split('\n').find((text) => /^ +at /.test(text));
  return `${error.name}${line === undefined ? '' : ` ${line.trim()}`}`;
}
