/** Which signals end a container, and how long one that got such a signal is believed to be about to end. */
import type { Inspection } from '../engine/engine.ts';
import type { Container } from './container.ts';
import type { RegistrarContext } from './context.ts';
import type { Draining } from './description.ts';
import { isSwarmTask } from './names.ts';

const SIGTERM = 15;
const SIGKILL = 9;
const SIGRTMIN = 34;
const SIGRTMAX = 64;

/** Linux's on x86 and ARM, from 1. */
const NAMES =
  'HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS'.split(
    ' ',
  );

/**
 * Whether a signal that `kill` announced will end the container: the one it is stopped with, or SIGKILL. `signal` as the
 * event has it: the number, or Podman's name.
 */
export function endsContainer(signal: string | undefined, inspection: Inspection): boolean {
  const number = signalNumber(signal ?? '');
  if (number === undefined) return false;
  const stopSignal = signalNumber(inspection.Config?.StopSignal ?? '') ?? SIGTERM;
  return number === SIGKILL || number === stopSignal;
}

/** `15`, `TERM`, `SIGTERM`, `SIGRTMIN+3`; `undefined` for what is no signal. */
export function signalNumber(text: unknown): number | undefined {
  if (typeof text !== 'string') return undefined;
  if (/^[0-9]{1,2}$/.test(text)) return inRange(Number(text));
  const name = text.toUpperCase().replace(/^SIG/, '');
  const realtime = /^RT(?:MIN(?:\+([0-9]{1,2}))?|MAX(?:-([0-9]{1,2}))?)$/.exec(name);
  if (realtime !== null) {
    const isFromMax = name.startsWith('RTMAX');
    return inRange(
      isFromMax ? SIGRTMAX - Number(realtime[2] ?? 0) : SIGRTMIN + Number(realtime[1] ?? 0),
    );
  }
  const index = NAMES.indexOf(name);
  return index < 0 ? undefined : index + 1;
}

function inRange(number: number): number | undefined {
  return number >= 1 && number <= SIGRTMAX ? number : undefined;
}

/** Docker's, for a stop and a container that say nothing. */
const DEFAULT_STOP_SECONDS = 10;
/** Between Docker's SIGKILL and the death that follows it. */
const STOP_GRACE_SECONDS = 2;

/**
 * How long a stop may take. The container's own timeout says only how long at least: `docker stop -t`, `compose stop -t`
 * and swarm's grace period are in the request, which nobody else sees. `said`: what its metadata says.
 */
export function drainingOf(
  container: Container,
  { stopTimeoutSeconds }: RegistrarContext,
  said: number | undefined,
): Draining {
  const own = container.stopTimeoutSeconds ?? DEFAULT_STOP_SECONDS;
  const never = Number.POSITIVE_INFINITY;
  if (said !== undefined) return { maxSeconds: said, healthySeconds: never };
  if (own < 0) return { maxSeconds: never, healthySeconds: never };
  const maxSeconds = Math.max(stopTimeoutSeconds, own + STOP_GRACE_SECONDS);
  // Swarm signals a task only to end it, and its grace period is not the container's timeout.
  return { maxSeconds, healthySeconds: isSwarmTask(container) ? never : own };
}
