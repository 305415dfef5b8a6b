/** The state of one container between events, lists and inspections. */
import { type Clock, MAX_TIMER_MS, type Timer } from '../../timing/clock.ts';
import type { Description } from '../describe/description.ts';
import type { StampedRecord } from '../describe/storedValue.ts';
import type { ContainerId } from '../engine/containerId.ts';
import type { EngineEvent, Inspection, ListedContainer } from '../engine/engine.ts';
import { type Ending, endingBy, precedesInspectedLife, whyEnding } from './ending.ts';

/**
 * The readable state of a container. `description` is undefined while it is unknown: before the first inspection, after
 * an invalidation, and while the container whose network this one joined is not inspected.
 */
export interface ContainerState {
  readonly id: ContainerId;
  readonly inspection: Inspection | undefined;
  readonly description: Description | undefined;
  readonly desired: readonly StampedRecord[];
}

export interface SentSignal {
  readonly event: EngineEvent;
  /** The time of sending on the monotonic clock. */
  readonly atMs: number;
}

/** The whole state of a container, which only `Containers` changes. */
export interface TrackedContainer extends ContainerState {
  inspection: Inspection | undefined;
  description: Description | undefined;
  desired: readonly StampedRecord[];
  parentId: string | undefined;
  fingerprint: string | undefined;
  deaths: Deaths;
  /** StartedAt of the inspected life. The fields below belong to this life and are reset by the next. */
  lifeStartedAt: string | undefined;
  /** Whether `deaths` contains the death of this life. If not, the inspection of the next life adds it. */
  isDeathCounted: boolean;
  /** Whether it died and no start event followed. The start event comes before the inspection of the new life. */
  isDown: boolean;
  /** The life has no records before this time, because earlier lives died too soon. */
  heldUntilMs: number;
  /** Set by the container's stop signal. */
  ending: Ending | undefined;
  /** Signals from before the first inspection, which shows whether one of them is the stop signal. */
  signals: readonly SentSignal[];
  retries: number;
  readonly timers: ContainerTimers;
}

/** A container without events and inspections. */
export function newTrackedContainer(id: ContainerId, clock: Clock): TrackedContainer {
  return {
    id,
    inspection: undefined,
    description: undefined,
    desired: [],
    parentId: undefined,
    fingerprint: undefined,
    deaths: NO_DEATHS,
    lifeStartedAt: undefined,
    isDeathCounted: false,
    isDown: false,
    heldUntilMs: 0,
    ending: undefined,
    signals: [],
    retries: 0,
    timers: new ContainerTimers(clock),
  };
}

/** Notes the inspected life, and returns whether it is a new one. */
export function noteLife(
  container: TrackedContainer,
  inspection: Inspection,
  nowMs: number,
): boolean {
  const startedAt = inspection.State?.StartedAt ?? '';
  if (!hasProcess(inspection) || container.lifeStartedAt === startedAt) return false;
  const isDeathMissed = container.lifeStartedAt !== undefined && !container.isDeathCounted;
  if (isDeathMissed) container.deaths = addDeath(container.deaths, nowMs);
  container.lifeStartedAt = startedAt;
  container.isDeathCounted = false;
  container.isDown = false;
  if (container.ending !== undefined && precedesInspectedLife(container.ending, inspection))
    container.ending = undefined;
  container.heldUntilMs = firstRecordAtMs(container.deaths, nowMs);
  return true;
}

/** Notes a signal, and returns whether it ends the inspected life. */
export function noteStopSignal(
  container: TrackedContainer,
  inspection: Inspection,
  { event, atMs }: SentSignal,
): boolean {
  const ending = endingBy(event, inspection, atMs);
  if (ending === undefined) return false;
  container.ending = ending;
  container.timers.cancel('ending');
  return true;
}

/** Whether the container has that id or that name. */
export function hasIdOrName(
  { id, inspection }: TrackedContainer,
  idOrName: string | undefined,
): boolean {
  return id === idOrName || (idOrName !== undefined && inspection?.Name === `/${idOrName}`);
}

/** The status of the HEALTHCHECK; empty without a HEALTHCHECK and while the status is unknown. */
export function healthStatusOf(container: TrackedContainer | undefined): string {
  const status = container?.inspection?.State?.Health?.Status ?? '';
  return status === 'none' ? '' : status;
}

/** Whether the container runs, is paused, or is about to be restarted. */
export function hasProcess(inspection: Inspection | undefined): boolean {
  const { Status = '', Running } = inspection?.State ?? {};
  return Running === true || ['running', 'paused', 'restarting'].includes(Status);
}

/** Whether the container will have more records. */
export function isWaiting(description: Description): boolean {
  return (
    description.kind === 'waiting' ||
    (description.kind === 'described' && description.waiting !== undefined)
  );
}

/**
 * Whether a listed container must be inspected although its fingerprint is the same. A list shows neither that a
 * container without an address restarted, nor the fact that a description waits for.
 */
export function mustInspectListed(
  container: TrackedContainer,
  { state, health }: ListedContainer,
): boolean {
  const { inspection, description, ending } = container;
  if (inspection === undefined || !hasProcess(inspection) || ending !== undefined) return true;
  const { Status = state } = inspection.State ?? {};
  // The inspected state began and ended between two equal lists, and its last event was lost. Podman's list has no
  // health.
  if (Status !== state || (health ?? '') !== healthStatusOf(container)) return true;
  if (description === undefined || isWaiting(description)) return true;
  return /^(?:container:|host$)/.test(inspection.HostConfig?.NetworkMode ?? '');
}

/** Why a container with a complete description has no records at present: it is stopping, or it keeps dying. */
export function whyWithheld(
  { ending, heldUntilMs }: TrackedContainer,
  inspection: Inspection,
  { stop, draining }: Extract<Description, { kind: 'described' }>,
  nowMs: number,
): string | undefined {
  if (stop === 'drain' && ending !== undefined) return whyEnding(draining, inspection);
  const isHeld = heldUntilMs > nowMs && inspection.State?.Health?.Status !== 'healthy';
  return isHeld ? 'keeps dying: registered after it has run for 5 s' : undefined;
}

/** The purposes for which a container has a timer, at most one each. */
export type ContainerTimer = 'retry' | 'ending' | 'held' | 'health';

class ContainerTimers {
  readonly #clock: Clock;
  readonly #timers = new Map<ContainerTimer, Timer>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  has(name: ContainerTimer): boolean {
    return this.#timers.has(name);
  }

  /** Fires once and replaces a timer of the same name. Delays above 24 days fire after 24 days. */
  set(name: ContainerTimer, delayMs: number, fire: () => void): void {
    this.cancel(name);
    const timer = this.#clock.startTimer(Math.min(delayMs, MAX_TIMER_MS), () => {
      this.#timers.delete(name);
      fire();
    });
    this.#timers.set(name, timer);
  }

  cancel(name: ContainerTimer): void {
    this.#timers.get(name)?.cancel();
    this.#timers.delete(name);
  }

  cancelAll(): void {
    for (const name of this.#timers.keys()) this.cancel(name);
  }
}

/**
 * The recent deaths of a container. After three deaths within half a minute a new life gets records only after it has
 * lasted 5 seconds. Times are monotonic.
 */
export interface Deaths {
  /** The last three deaths of the last half minute, oldest first. */
  readonly atMs: readonly number[];
}

const DEATHS = 3;
const WITHIN_MS = 30_000;
const SURVIVE_MS = 5_000;

const NO_DEATHS: Deaths = { atMs: [] };

export function addDeath(deaths: Deaths, nowMs: number): Deaths {
  return { atMs: [...recent(deaths, nowMs), nowMs].slice(-DEATHS) };
}

/** The time from which a life that begins at `nowMs` may have records. */
function firstRecordAtMs(deaths: Deaths, nowMs: number): number {
  return recent(deaths, nowMs).length >= DEATHS ? nowMs + SURVIVE_MS : nowMs;
}

/** Whether the container died within the last half minute. */
export function hasRecentDeaths(deaths: Deaths, nowMs: number): boolean {
  return recent(deaths, nowMs).length > 0;
}

function recent({ atMs }: Deaths, nowMs: number): readonly number[] {
  return atMs.filter((each) => nowMs - each < WITHIN_MS);
}
