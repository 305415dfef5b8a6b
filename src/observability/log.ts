/**
 * observability/: Log, query log, metrics, and text that is safe to print. The only folder that imports pino.
 * Imports: dns, dns/presentation.
 * Used by: app, app/ambassador, app/answering, app/process, app/registrar, cli, cli/commands, cli/host, cli/linking,
 *   config, registrar/describe, tools/doctor/judge.
 *
 * The log writes JSON lines to stdout, or coloured lines to a terminal. It makes every text printable, so callers need
 * not. If the reader is slow or has closed the pipe, the log drops lines, but delays no answer.
 */
import { type DestinationStream, type LogFn, type Logger, pino } from 'pino';
import { type LogSink, openLogSink } from './logSink.ts';
import { excerpt, printable } from './printable.ts';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** Fields first, as in `log.warn({ key }, 'value skipped')`. An `err` field takes an Error. */
export type WriteLog = (fields: Readonly<Record<string, unknown>>, message: string) => void;

export interface Log {
  readonly debug: WriteLog;
  readonly info: WriteLog;
  readonly warn: WriteLog;
  readonly error: WriteLog;
  /** From now on leaves out lines below this level. */
  setLevel(level: LogLevel): void;
  /** Writes the buffered lines, for about a second at most. */
  close(): void;
}

export interface LogOptions {
  readonly level: LogLevel;
  /** Coloured lines instead of JSON. */
  readonly pretty: boolean;
  /** File descriptor; 1 is stdout. */
  readonly fd?: number;
}

/** The interval of lines about dropped lines. */
const REPORT_MS = 1000;

/** Opens the log. After an error of the descriptor, such as a closed pipe, the log drops its lines. */
export async function openLog({ level, pretty, fd = 1 }: LogOptions): Promise<Log> {
  const sink = openLogSink(fd);
  const logger = pino(pinoOptions(level), pretty ? await prettyStream(sink) : sink);
  const reportDropped = (): void => {
    const lines = sink.takeDropped();
    if (lines > 0) logger.warn({ lines }, 'dropped log lines: the reader is too slow');
  };
  const timer = setInterval(reportDropped, REPORT_MS);
  timer.unref();
  return logOf(logger, () => {
    clearInterval(timer);
    if (!sink.flush()) return;
    reportDropped();
    sink.flush();
  });
}

function pinoOptions(level: LogLevel) {
  return {
    level,
    base: null,
    serializers: { err: (error: unknown) => error },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: {
      level: (label: string) => ({ level: label }),
      log: (fields: Record<string, unknown>) => printableFields(fields),
    },
    hooks: {
      logMethod(this: Logger, args: Parameters<LogFn>, method: LogFn) {
        const [fields, message] = args as unknown as [object, string];
        method.call(this, fields, textOf(message));
      },
    },
  };
}

function logOf(logger: Logger, close: () => void): Log {
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    setLevel: (level) => {
      logger.level = level;
    },
    close,
  };
}

/** pino-pretty in this process: a worker transport would lose the last lines. */
async function prettyStream(sink: LogSink): Promise<DestinationStream> {
  const { prettyFactory } = await import('pino-pretty');
  const colorize = process.env.NO_COLOR === undefined || process.env.NO_COLOR === '';
  const format = prettyFactory({ colorize, translateTime: 'SYS:HH:MM:ss.l', singleLine: true });
  return { write: (line) => sink.write(format(line)) };
}

/** A longer text would fill the screen many times over. */
const MAX_CHARACTERS = 4_000;

function textOf(text: string): string {
  return excerpt(printable(text), MAX_CHARACTERS);
}

/** The fields with all texts made printable, to a limited depth. */
function printableFields(fields: Record<string, unknown>, depth = 4): Record<string, unknown> {
  const result: Record<string, unknown> = Object.create(null);
  for (const [field, value] of Object.entries(fields)) {
    result[printable(field)] = printableValue(value, depth);
  }
  return result;
}

function printableValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return textOf(value);
  if (typeof value === 'bigint') return String(value);
  // Three decimals are enough, for example for the milliseconds of an answer.
  if (typeof value === 'number') return Math.round(value * 1000) / 1000;
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Error) return printableError(value);
  if (depth === 0) return '…';
  if (Array.isArray(value)) return value.map((item) => printableValue(item, depth - 1));
  if ('toJSON' in value && typeof value.toJSON === 'function') {
    return printableValue(value.toJSON(), depth - 1);
  }
  return printableFields(value as Record<string, unknown>, depth - 1);
}

function printableError(error: Error): Record<string, unknown> {
  const code = 'code' in error ? { code: printable(String(error.code)) } : {};
  const cause = error.cause instanceof Error ? { cause: textOf(error.cause.message) } : {};
  // Without the first lines, which repeat the message unescaped.
  const stack = error.stack?.split('\n').filter((line) => /^ +at /.test(line));
  return {
    type: error.name,
    message: textOf(error.message),
    ...code,
    ...cause,
    stack: stack?.map(printable),
  };
}
