/**
 * What a service manager is told of this process (sd_notify(3)): that it is ready, reads its configuration again,
 * ends, how it is, and that its event loop turns. The last is the watchdog's beat: a timer of the loop itself sends it,
 * so a loop that hangs misses it and is ended.
 */

export interface SupervisorOptions {
  /** Sends one message. It may fail; a supervisor that does not listen is no reason not to serve. */
  readonly send: (message: string) => void;
  /** Time between beats at most; undefined where nobody waits for them. */
  readonly watchdogMs: number | undefined;
  /** One line on how the process is. */
  readonly status: () => string;
  /** CLOCK_MONOTONIC's. */
  readonly monotonicMicros: () => bigint;
}

export interface Supervisor {
  ready(): void;
  /** Until the next `ready`. */
  reloading(): void;
  stopping(): void;
  /** No more beats. */
  close(): void;
}

type Env = Readonly<Record<string, string | undefined>>;

/** How often the process `pid` has to give a sign of life; undefined where it need not (sd_watchdog_enabled(3)). */
export function watchdogMsOf(env: Env, pid: number): number | undefined {
  const isOurs = env.WATCHDOG_PID === undefined || env.WATCHDOG_PID === String(pid);
  const micros = Number(env.WATCHDOG_USEC ?? '0');
  return isOurs && Number.isInteger(micros) && micros > 0 ? micros / 1_000 : undefined;
}

const STATUS_EVERY_MS = 5_000;
const LEAST_PAUSE_MS = 1;

/** Beats from now on: a start that takes long is life too. */
export function startSupervisor(options: SupervisorOptions): Supervisor {
  const { send, watchdogMs } = options;
  let told: string | undefined;
  const status = (): readonly string[] => {
    const line = options.status();
    if (line === told) return [];
    told = line;
    return [`STATUS=${line}`];
  };
  const beat = (): void => {
    const lines = [...(watchdogMs === undefined ? [] : ['WATCHDOG=1']), ...status()];
    if (lines.length > 0) send(lines.join('\n'));
  };
  // Half of the time, as systemd advises, so that one late beat is not the end.
  const everyMs = Math.max(LEAST_PAUSE_MS, Math.min(STATUS_EVERY_MS, (watchdogMs ?? Infinity) / 2));
  const timer = setInterval(beat, everyMs);
  timer.unref();
  return {
    ready: () => send(['READY=1', ...status()].join('\n')),
    reloading: () => send(`RELOADING=1\nMONOTONIC_USEC=${options.monotonicMicros()}`),
    stopping: () => send('STOPPING=1\nSTATUS=stopping'),
    close: () => clearInterval(timer),
  };
}
