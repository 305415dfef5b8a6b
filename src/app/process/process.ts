/**
 * app/process/: The process and its host: signals, exit codes, network, store access, systemd.
 * Imports: config, dataplane/sockets, dns, forward, observability, registrar/engine, server, service, store,
 *   store/embedded, store/etcd, store/file, store/http.
 * Used by: app, app/registrar, cli, cli/commands, main, tools/doctor.
 */
import { readFileSync } from 'node:fs';
import { format } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { ReadTextFile } from '../../config/settings.ts';
import type { Log } from '../../observability/log.ts';
import { EXIT_CODES } from './failure.ts';

/** The process around a command. */
export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly readFile: ReadTextFile;
  /** Where the embedded store lies by default. */
  readonly stateDirectory: string;
  /** Aborted by SIGINT and SIGTERM, with the signal's name as reason, for a command that asked by `handleSignals`. */
  readonly stop: AbortSignal;
  /** From now on the first signal aborts `stop` instead of ending the process. */
  handleSignals(): void;
  /** From now on SIGHUP calls `reload` instead of ending the process. */
  onReload(reload: () => void): void;
  /** From now on output that nobody can read does not end the process. */
  outliveReaders(): void;
}

export interface Output {
  readonly isTty: boolean;
  readonly colour: boolean;
  write(text: string): void;
}

/** How long-running commands end. */

/** Resolves when the signal is aborted. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

const LINGER_MS = 5_000;

/**
 * How long a registrar still serves deaths: a Docker daemon that stops ends us, by SIGTERM, and all others together.
 * Whoever presses ^C does not wait for that.
 */
export function lingerMsAfter(signalName: unknown): number {
  return signalName === 'SIGTERM' ? LINGER_MS : 0;
}

/** How long a server still answers although it says that it is not ready; ^C is from somebody who waits. */
export function lameDuckMsAfter(signalName: unknown, seconds: number): number {
  return signalName === 'SIGTERM' ? seconds * 1000 : 0;
}

/** An exception that escaped everything leaves unknown state behind: say so and let a supervisor start us afresh. */
export function exitOnFault(log: Log): void {
  const die = (err: unknown): void => {
    log.error({ err }, 'a fault that nobody caught; ending');
    log.close();
    process.exit(EXIT_CODES.broken);
  };
  process.on('uncaughtException', die);
  process.on('unhandledRejection', die);
}

/**
 * What libraries print by themselves (lmdb prints the stack of every commit that fails) as lines of the log, whose
 * readers expect JSON: the first line of each text, and none again within a minute.
 */

const QUIET_MS = 60_000;
const MAX_KNOWN = 100;
const METHODS = ['error', 'warn', 'info', 'log', 'debug'] as const;

/** From now on; gives back what ends it. */
export function logLibraryOutput(log: Log): () => void {
  const saidAtMs = new Map<string, number>();
  const say = (...args: readonly unknown[]): void => {
    const [text = ''] = format(...args).split('\n');
    const nowMs = performance.now();
    const lastMs = saidAtMs.get(text);
    if (lastMs !== undefined && nowMs - lastMs < QUIET_MS) return;
    if (saidAtMs.size >= MAX_KNOWN) saidAtMs.clear();
    saidAtMs.set(text, nowMs);
    log.warn({ text }, 'printed by a library');
  };
  const own = METHODS.map((name) => [name, console[name]] as const);
  for (const name of METHODS) console[name] = say;
  return () => {
    for (const [name, method] of own) console[name] = method;
  };
}

/**
 * How many files, sockets included, this process may have open at once. Node has raised its own limit to the hard one.
 * Imports nothing of ours: where the limit is too low, even the program's own files cannot be loaded.
 */

/** Node opens most of the program's files at once when it starts. */
const MIN_OPEN_FILES = 128;

/** Undefined where it cannot be told, or there is none. */
export function openFilesLimit(): number | undefined {
  try {
    const limits = readFileSync('/proc/self/limits', 'latin1');
    const found = /^Max open files +(\d+) /m.exec(limits)?.[1];
    return found === undefined ? undefined : Number(found);
  } catch {
    return undefined;
  }
}

/** Why this process cannot go on, and what to do; undefined: it can. */
export function fileLimitProblem(): string | undefined {
  const limit = openFilesLimit();
  if (limit === undefined || limit >= MIN_OPEN_FILES) return undefined;
  return `only ${limit} files may be open at once, soradns needs ${MIN_OPEN_FILES} to start: ulimit -n 1024`;
}

/**
 * Gives back the memory that a big load, or the first answers to a great many questions, leave behind. Both fill V8's
 * old space with garbage that it keeps for later; measured after a load of a million keys: 863 MB resident, 668 after a
 * plain collection, 421 after a compacting one (0.5 s). V8 compacts on request only by its flags.
 */

/** One full, compacting collection; blocks for about half a microsecond a key. */
export function compactHeap(): void {
  setFlagsFromString('--expose-gc');
  setFlagsFromString('--compact-on-every-full-gc');
  const collect: unknown = runInNewContext('globalThis.gc');
  if (typeof collect === 'function') collect();
  setFlagsFromString('--no-compact-on-every-full-gc');
}
