/**
 * Whether a container dies too often to be believed: after three deaths within half a minute a new life counts only
 * once it has lasted. Times are monotonic. PURE.
 */
export interface Deaths {
  /** Of the last half minute, oldest first; no more than count. */
  readonly atMs: readonly number[];
}

const DEATHS = 3;
const WITHIN_MS = 30_000;
const SURVIVE_MS = 5_000;

export const NO_DEATHS: Deaths = { atMs: [] };

export function addDeath(deaths: Deaths, nowMs: number): Deaths {
  return { atMs: [...recent(deaths, nowMs), nowMs].slice(-DEATHS) };
}

/** For a life that begins now: when it may be published. */
export function publishableAtMs(deaths: Deaths, nowMs: number): number {
  return recent(deaths, nowMs).length >= DEATHS ? nowMs + SURVIVE_MS : nowMs;
}

/** Whether the deaths no longer matter. */
export function isForgotten(deaths: Deaths, nowMs: number): boolean {
  return recent(deaths, nowMs).length === 0;
}

function recent({ atMs }: Deaths, nowMs: number): readonly number[] {
  return atMs.filter((each) => nowMs - each < WITHIN_MS);
}
