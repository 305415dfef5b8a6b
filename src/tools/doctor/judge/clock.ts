/**
 * Compares this host's clock with that of the store's machine, which decides when leases expire. The source, HTTP's
 * Date header, has whole seconds, so a smaller offset is not detected. Pure.
 */
import { type Finding, findings } from './finding.ts';

export interface ClockFacts {
  /** The machine whose clock is compared. */
  readonly source: string;
  /** Its Date header. */
  readonly theirsMs: number;
  /** This host's clock before the request and after the reply. */
  readonly sentMs: number;
  readonly receivedMs: number;
}

const SECOND_MS = 1_000;
/** From this offset on, checks of certificates and dates in logs may be wrong. */
const WARN_MS = 2_000;
const PROBLEM_MS = 60_000;

const { ok, problem, warning } = findings('clock');

/** The least offset of this host's clock that agrees with the header's whole second and the delay on the network. */
export function leastOffsetMs({ theirsMs, sentMs, receivedMs }: ClockFacts): number {
  // The header was written between both readings, within the second that it names.
  if (sentMs >= theirsMs + SECOND_MS) return sentMs - (theirsMs + SECOND_MS);
  return receivedMs < theirsMs ? receivedMs - theirsMs : 0;
}

export function judgeClock(facts: ClockFacts): Finding {
  const offsetMs = leastOffsetMs(facts);
  const { source } = facts;
  const size = Math.abs(offsetMs);
  if (size < WARN_MS)
    return ok(`this host's clock agrees with that of ${source} to within three seconds`);
  const direction = offsetMs > 0 ? 'ahead of' : 'behind';
  const message = `this host's clock is ${Math.round(size / SECOND_MS)} s ${direction} that of ${source}`;
  const fix = 'sudo timedatectl set-ntp true';
  return size < PROBLEM_MS ? warning(message, fix) : problem(message, fix);
}
