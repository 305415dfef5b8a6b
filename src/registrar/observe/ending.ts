/**
 * A container between its stop signal and its death. Clients that reach a stopping container lose their requests, while
 * a surviving container out of DNS only costs capacity for a while. So the container stays out of DNS until it shows
 * that it survived: by a new life, by a HEALTHCHECK that passes after a stop would have ended, or by running for a long
 * time. PURE.
 */
import type { Draining } from '../describe/description.ts';
import type { EngineEvent, Inspection } from '../engine/engine.ts';
import { parseInstant, parseNano, precedesLife } from '../engine/instants.ts';
import { asList, asObject, asText } from '../engine/json.ts';

export interface Ending {
  /** The time of the signal by the engine's clock, which the health log also uses; nanoseconds since 1970. */
  readonly signalNano: bigint;
  /** The same time on the monotonic clock. */
  readonly atMs: number;
}

/** The interval of inspections of a container that may have survived. */
const INSPECT_EVERY_MS = 2_000;

/** The ending that a signal begins; `undefined` if the signal does not end the inspected life. */
export function endingBy(
  event: EngineEvent,
  inspection: Inspection,
  atMs: number,
): Ending | undefined {
  const signalNano = parseNano(event.timeNano);
  const isEnding = !precedesLife(event, inspection) && endsContainer(event.signal, inspection);
  return isEnding && signalNano !== undefined ? { signalNano, atMs } : undefined;
}

/** Whether the signal was sent before the inspected life began, so that it ended an earlier one. */
export function precedesInspectedLife({ signalNano }: Ending, { State }: Inspection): boolean {
  const startedNano = parseInstant(State?.StartedAt ?? '');
  return startedNano === undefined || signalNano < startedNano;
}

export function hasSurvived(
  ending: Ending,
  draining: Draining,
  inspection: Inspection,
  nowMs: number,
): boolean {
  return nowMs >= limitAtMs(ending, draining) || hasPassed(ending, draining, inspection);
}

/** The delay until an inspection may show that the container survived; `undefined` if only a new life can show it. */
export function nextInspectionInMs(
  ending: Ending,
  draining: Draining,
  inspection: Inspection,
  nowMs: number,
): number | undefined {
  const healthyAtMs = ending.atMs + draining.healthySeconds * 1000;
  const afterCheckAtMs = hasCheck(inspection)
    ? Math.max(healthyAtMs, nowMs) + INSPECT_EVERY_MS
    : Number.POSITIVE_INFINITY;
  const nextMs = Math.min(limitAtMs(ending, draining), afterCheckAtMs) - nowMs;
  return Number.isFinite(nextMs) ? nextMs : undefined;
}

/** Why the container is out of DNS; completes a sentence that begins with "it". */
export function whyEnding(
  { maxSeconds, healthySeconds }: Draining,
  inspection: Inspection,
): string {
  const health =
    hasCheck(inspection) && Number.isFinite(healthySeconds)
      ? ` passes its HEALTHCHECK after ${healthySeconds} s, or`
      : '';
  const then = Number.isFinite(maxSeconds)
    ? `if it${health} still runs after ${maxSeconds} s`
    : 'when it starts again';
  return `is being stopped; it comes back ${then}`;
}

function hasCheck({ State }: Inspection): boolean {
  return (State?.Health?.Status ?? 'none') !== 'none';
}

function limitAtMs({ atMs }: Ending, { maxSeconds }: Draining): number {
  return atMs + maxSeconds * 1000;
}

/** Whether a HEALTHCHECK passed that began after a stop would have ended. Docker sends no event for it. */
function hasPassed(
  { signalNano }: Ending,
  { healthySeconds }: Draining,
  { State }: Inspection,
): boolean {
  const { Status, Log } = State?.Health ?? {};
  if (Status !== 'healthy' || !Number.isFinite(healthySeconds)) return false;
  const fromNano = signalNano + BigInt(Math.ceil(healthySeconds)) * 1_000_000_000n;
  return asList(Log).some((run) => {
    const { Start, ExitCode } = asObject(run);
    const startedNano = parseInstant(asText(Start));
    return ExitCode === 0 && startedNano !== undefined && startedNano > fromNano;
  });
}

const SIGTERM = 15;
const SIGKILL = 9;
const SIGRTMIN = 34;
const SIGRTMAX = 64;

/** Linux's names on x86 and ARM; the first is signal 1. */
const SIGNAL_NAMES =
  'HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS'.split(
    ' ',
  );

/**
 * Whether the signal of a `kill` event ends the container: SIGKILL or the container's stop signal. `signal` is the
 * number as text, or Podman's name.
 */
export function endsContainer(signal: string | undefined, inspection: Inspection): boolean {
  const number = signalNumber(signal ?? '');
  if (number === undefined) return false;
  const stopSignal = signalNumber(inspection.Config?.StopSignal ?? '') ?? SIGTERM;
  return number === SIGKILL || number === stopSignal;
}

/** Reads `15`, `TERM`, `SIGTERM` or `SIGRTMIN+3`; `undefined` for any other text. */
export function signalNumber(text: unknown): number | undefined {
  if (typeof text !== 'string') return undefined;
  if (/^[0-9]{1,2}$/.test(text)) return signalInRange(Number(text));
  const name = text.toUpperCase().replace(/^SIG/, '');
  const realtime = /^RT(?:MIN(?:\+([0-9]{1,2}))?|MAX(?:-([0-9]{1,2}))?)$/.exec(name);
  if (realtime !== null) {
    const isFromMax = name.startsWith('RTMAX');
    return signalInRange(
      isFromMax ? SIGRTMAX - Number(realtime[2] ?? 0) : SIGRTMIN + Number(realtime[1] ?? 0),
    );
  }
  const index = SIGNAL_NAMES.indexOf(name);
  return index < 0 ? undefined : index + 1;
}

function signalInRange(number: number): number | undefined {
  return number >= 1 && number <= SIGRTMAX ? number : undefined;
}
