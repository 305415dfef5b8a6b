/**
 * app/process/: The process and its host: signals, exit codes, network, store access, systemd.
 * Imports: config, config/options, dataplane/sockets, dns, forward, kernel, observability, registrar/engine,
 *   server/http, server/listening, server/tls, store, store/embedded, store/etcd, store/file, store/http, zone/tree.
 * Used by: app, app/ambassador, app/answering, app/registrar, cli, cli/commands, cli/host, cli/linking, cli/signing,
 *   main, tools/doctor, tools/doctor/ambassador.
 */
import type { TextFileReader } from '../../config/settings.ts';
import type { Log } from '../../observability/log.ts';
import { EXIT_CODES } from './failure.ts';

/** What a command gets from its process. */
export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly readFile: TextFileReader;
  /** The default directory of the embedded store. */
  readonly stateDirectory: string;
  /** Aborted by SIGINT and SIGTERM, with the signal's name as reason, once a command has called `handleSignals`. */
  readonly stop: AbortSignal;
  /** From now on the first signal aborts `stop` instead of ending the process. */
  handleSignals(): void;
  /** From now on SIGHUP calls `reload` instead of ending the process. */
  onReload(reload: () => void): void;
  /** From now on a closed stdout or stderr does not end the process. */
  outliveReaders(): void;
}

export interface Output {
  readonly isTty: boolean;
  readonly colour: boolean;
  write(text: string): void;
}

/** Resolves when the signal is aborted. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

const LINGER_MS = 5_000;

/**
 * How long a registrar keeps removing records after a signal. When dockerd stops, it sends SIGTERM to all containers at
 * once, including the registrar's own, so the registrar receives their `die` events after its own signal. After ^C an
 * operator waits, so it ends at once.
 */
export function lingerMsAfter(signalName: unknown): number {
  return signalName === 'SIGTERM' ? LINGER_MS : 0;
}

/** How long a server answers while `/readyz` fails. After ^C an operator waits, so it ends at once. */
export function lameDuckMsAfter(signalName: unknown, seconds: number): number {
  return signalName === 'SIGTERM' ? seconds * 1000 : 0;
}

/** An uncaught exception leaves unknown state behind: log it and exit, so that a supervisor restarts the process. */
export function exitOnFault(log: Log): void {
  const die = (err: unknown): void => {
    log.error({ err }, 'uncaught exception; exiting');
    log.close();
    process.exit(EXIT_CODES.broken);
  };
  process.on('uncaughtException', die);
  process.on('unhandledRejection', die);
}

const QUIET_MS = 60_000;
const MAX_TEXTS = 100;
const METHODS = ['error', 'warn', 'info', 'log', 'debug'] as const;

/**
 * From now on logs what libraries print to the console (lmdb prints the stack of every failed commit), since readers of
 * the log expect JSON. Logs the first line of each text, at most once a minute. Returns a function that restores the
 * console.
 */
export function logLibraryOutput(log: Log): () => void {
  const { format } = process.getBuiltinModule('node:util');
  const loggedAtMs = new Map<string, number>();
  const logText = (...args: readonly unknown[]): void => {
    const [text = ''] = format(...args).split('\n');
    const nowMs = performance.now();
    const lastMs = loggedAtMs.get(text);
    if (lastMs !== undefined && nowMs - lastMs < QUIET_MS) return;
    if (loggedAtMs.size >= MAX_TEXTS) loggedAtMs.clear();
    loggedAtMs.set(text, nowMs);
    log.warn({ text }, 'a library printed a message');
  };
  const own = METHODS.map((name) => [name, console[name]] as const);
  for (const name of METHODS) console[name] = logText;
  return () => {
    for (const [name, method] of own) console[name] = method;
  };
}

/** The version in package.json, which is the parent of both `src/` and `dist/`. */
export function version(): string {
  const { readFileSync } = process.getBuiltinModule('node:fs');
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return String((JSON.parse(text) as { version: unknown }).version);
}
