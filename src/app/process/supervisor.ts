/**
 * Reports this process to the service manager (sd_notify(3)): readiness, reloads, stopping, a status line, and the
 * watchdog's beat. A timer of the event loop sends the beat, so systemd ends a process whose loop hangs.
 */
import { spawn } from 'node:child_process';
import { openNotifySocket } from '../../dataplane/sockets/unixSocket.ts';
import type { Io } from './process.ts';

export interface Supervisor {
  ready(): void;
  /** Reports that the process is reloading, until the next `ready`. */
  reloading(): void;
  stopping(): void;
  /** Ends the beats. */
  close(): void;
}

export interface SupervisorOptions {
  /** Sends one message. A failure is ignored: serving does not depend on the service manager. */
  readonly send: (message: string) => void;
  /** The longest time between two beats; undefined without a watchdog. */
  readonly watchdogMs: number | undefined;
  /** The state of the process in one line. */
  readonly status: () => string;
  /** CLOCK_MONOTONIC. */
  readonly monotonicMicros: () => bigint;
}

/** Undefined without a service manager. `warn` gets a line for the operator. */
export function superviseBy(
  env: Io['env'],
  status: () => string,
  warn: (text: string) => void,
): Supervisor | undefined {
  const address = env.NOTIFY_SOCKET;
  if (!address) return undefined;
  const opened = openNotifySocket(address);
  if (opened.kind === 'missing')
    warn(`${opened.reason}; using systemd-notify instead, which needs NotifyAccess=all`);
  const send = opened.kind === 'socket' ? opened.socket.send : sendByProgram;
  return startSupervisor({
    send: (message) => void send(message),
    watchdogMs: watchdogMsOf(env, process.pid),
    status,
    monotonicMicros: () => process.hrtime.bigint() / 1_000n,
  });
}

/**
 * Sends a message through a child process, so the message arrives later. systemd-notify finds NOTIFY_SOCKET in its
 * environment.
 */
function sendByProgram(message: string): void {
  const words = [`--pid=${process.pid}`, ...message.split('\n')];
  const child = spawn('systemd-notify', words, { stdio: 'ignore' });
  child.on('error', () => {}); // systemd-notify is not installed, so no message can be sent
}

/** The watchdog's timeout for the process `pid`; undefined without one (sd_watchdog_enabled(3)). */
function watchdogMsOf(env: Io['env'], pid: number): number | undefined {
  const isOurs = env.WATCHDOG_PID === undefined || env.WATCHDOG_PID === String(pid);
  const micros = Number(env.WATCHDOG_USEC ?? '0');
  return isOurs && Number.isInteger(micros) && micros > 0 ? micros / 1_000 : undefined;
}

const STATUS_EVERY_MS = 5_000;
const MIN_PAUSE_MS = 1;

/** Sends beats from the start, even before `ready`: a slow start is not a hang. */
function startSupervisor(options: SupervisorOptions): Supervisor {
  const { send, watchdogMs } = options;
  let sentStatus: string | undefined;
  const changedStatus = (): readonly string[] => {
    const line = options.status();
    if (line === sentStatus) return [];
    sentStatus = line;
    return [`STATUS=${line}`];
  };
  const beat = (): void => {
    const lines = [...(watchdogMs === undefined ? [] : ['WATCHDOG=1']), ...changedStatus()];
    if (lines.length > 0) send(lines.join('\n'));
  };
  // Half of the timeout, as systemd advises, so that one late beat does not end the process.
  const everyMs = Math.max(MIN_PAUSE_MS, Math.min(STATUS_EVERY_MS, (watchdogMs ?? Infinity) / 2));
  const timer = setInterval(beat, everyMs);
  timer.unref();
  return {
    ready: () => send(['READY=1', ...changedStatus()].join('\n')),
    reloading: () => send(`RELOADING=1\nMONOTONIC_USEC=${options.monotonicMicros()}`),
    stopping: () => send('STOPPING=1\nSTATUS=stopping'),
    close: () => clearInterval(timer),
  };
}
