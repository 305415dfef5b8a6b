/**
 * This host's clock beside that of the machine that keeps the names, which is the one that counts their leases. HTTP's
 * Date header, the source, has whole seconds: less than that is not seen. Pure.
 */
import { type Finding, findings } from './finding.ts';

export interface ClockFacts {
  /** Whose clock it was compared with. */
  readonly source: string;
  /** Its Date header. */
  readonly theirsMs: number;
  /** Our clock before the question and after the answer. */
  readonly sentMs: number;
  readonly receivedMs: number;
}

const SECOND_MS = 1_000;
/** Certificates and the dates in logs begin to be wrong. */
const WARN_MS = 2_000;
const PROBLEM_MS = 60_000;

const { ok, problem, warning } = findings('clock');

/** How far our clock is ahead of theirs at least, whatever the header's second and the way hide. */
export function leastOffsetMs({ theirsMs, sentMs, receivedMs }: ClockFacts): number {
  // The header was written between both of our readings, and stands for the whole second that it begins.
  if (sentMs >= theirsMs + SECOND_MS) return sentMs - (theirsMs + SECOND_MS);
  return receivedMs < theirsMs ? receivedMs - theirsMs : 0;
}

export function judgeClock(facts: ClockFacts): Finding {
  const offsetMs = leastOffsetMs(facts);
  const { source } = facts;
  const size = Math.abs(offsetMs);
  if (size < WARN_MS) return ok(`this clock agrees with that of ${source}, to a second or two`);
  const direction = offsetMs > 0 ? 'ahead of' : 'behind';
  const message = `this clock is ${Math.round(size / SECOND_MS)} s ${direction} that of ${source}`;
  const fix = 'sudo timedatectl set-ntp true';
  return size < PROBLEM_MS ? warning(message, fix) : problem(message, fix);
}
