/** `serve` under systemd, or whoever speaks its protocols: sockets that are there already, and notes on how it goes. */
import { spawn } from 'node:child_process';
import { readlink } from 'node:fs/promises';
import { openNotifySocket } from '../../dataplane/sockets/unixSocket.ts';
import type { InheritedSocket } from '../../server/listen.ts';
import { readSockets } from '../../server/socketTable.ts';
import { Failure } from './failure.ts';

type Env = Readonly<Record<string, string | undefined>>;

/**
 * The sockets to serve instead of those of `--addr`; none: there are no others. `wanted` is `--systemd`: true, they must
 * be there; false, they are not taken; undefined, they are if they are there. Throws a `Failure`.
 */
export async function inheritedSockets(
  wanted: boolean | undefined,
  env: Env,
): Promise<readonly InheritedSocket[]> {
  if (wanted === false) return [];
  const activation = readSocketActivation(env, process.pid);
  if (activation.kind === 'none') {
    if (wanted === undefined) return [];
    const hint =
      'start it by its socket unit (systemctl start soradns.socket), or leave --systemd out';
    throw new Failure('usage', '--systemd: no sockets were handed over', hint);
  }
  const identified = await identifySockets(activation.descriptors);
  if (identified.kind === 'sockets') return identified.sockets;
  const hint = 'a socket unit has ListenDatagram= and ListenStream= with addresses';
  throw new Failure('usage', identified.problem, hint);
}

/** Tells the service manager, if there is one, how it goes. `note` gets what an operator should know. */
export function superviseBy(
  env: Env,
  status: () => string,
  note: (text: string) => void,
): Supervisor | undefined {
  const address = env.NOTIFY_SOCKET;
  if (!address) return undefined;
  const opened = openNotifySocket(address);
  if (opened.kind === 'missing')
    note(`${opened.reason}; systemd-notify is used, which needs NotifyAccess=all`);
  const send = opened.kind === 'socket' ? opened.socket.send : sendByProgram;
  return startSupervisor({
    send: (message) => void send(message),
    watchdogMs: watchdogMsOf(env, process.pid),
    status,
    monotonicMicros: () => process.hrtime.bigint() / 1_000n,
  });
}

/** The message comes from another process then, and late; NOTIFY_SOCKET is in its environment. */
function sendByProgram(message: string): void {
  const words = [`--pid=${process.pid}`, ...message.split('\n')];
  const child = spawn('systemd-notify', words, { stdio: 'ignore' });
  child.on('error', () => {}); // it is not there: nobody can be told
}

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

/** Socket activation (sd_listen_fds(3)): which descriptors were handed to this process. Pure. */

export interface InheritedDescriptor {
  readonly fd: number;
  /** FileDescriptorName= of the socket unit. */
  readonly name: string;
}

export type SocketActivation =
  | { readonly kind: 'none' }
  /** At least one. */
  | { readonly kind: 'descriptors'; readonly descriptors: readonly InheritedDescriptor[] };

/** SD_LISTEN_FDS_START. */
const FIRST_FD = 3;
const MAX_FDS = 1_024;

/** What LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES say to the process `pid`; variables for another one are not for us. */
export function readSocketActivation(env: Env, pid: number): SocketActivation {
  const count = Number(env.LISTEN_FDS ?? '0');
  const isOurs = env.LISTEN_PID === undefined || env.LISTEN_PID === String(pid);
  if (!isOurs || !Number.isInteger(count) || count < 1 || count > MAX_FDS) return { kind: 'none' };
  const names = (env.LISTEN_FDNAMES ?? '').split(':');
  const descriptors = Array.from({ length: count }, (_, index) => ({
    fd: FIRST_FD + index,
    name: names[index] || 'unknown',
  }));
  return { kind: 'descriptors', descriptors };
}

/** What the descriptors are that were handed over: Node does not tell, Linux's /proc does. */

export type SocketsOutcome =
  | { readonly kind: 'sockets'; readonly sockets: readonly InheritedSocket[] }
  /** One line that names the descriptor and what it should have been. */
  | { readonly kind: 'mistake'; readonly problem: string };

/** Each must be a bound UDP socket or a listening TCP one. */
export async function identifySockets(
  descriptors: readonly InheritedDescriptor[],
): Promise<SocketsOutcome> {
  const known = [...(await readSockets('udp')), ...(await readSockets('tcp'))];
  const sockets: InheritedSocket[] = [];
  for (const { fd, name } of descriptors) {
    const link = await readlink(`/proc/self/fd/${fd}`).catch(() => 'closed');
    const inode = /^socket:\[(\d+)\]$/.exec(link)?.[1];
    const socket = known.find((one) => one.inode === inode);
    if (socket === undefined || !socket.isListening) {
      const problem = `descriptor ${fd} (${name}) is no UDP and no listening TCP socket`;
      return { kind: 'mistake', problem };
    }
    const { transport, address, port } = socket;
    sockets.push({ transport, address, port, fd });
  }
  return { kind: 'sockets', sockets };
}
