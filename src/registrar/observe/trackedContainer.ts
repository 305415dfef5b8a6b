/** What is remembered of one container between events, lists and inspections. */
import { type Clock, MAX_TIMER_MS, type Timer } from '../../timing/clock.ts';
import type { Description } from '../describe/description.ts';
import type { ContainerId } from '../engine/containerId.ts';
import type { EngineEvent, Inspection, ListedContainer } from '../engine/engine.ts';
import type { StampedRecord } from '../reconcile/claims.ts';
import { type Ending, endingBy, precedesInspectedLife, whyEnding } from './ending.ts';

/** A container as it stands; `description` is undefined while nothing is known of it. */
export interface ContainerState {
  readonly id: ContainerId;
  readonly inspection: Inspection | undefined;
  readonly description: Description | undefined;
  readonly desired: readonly StampedRecord[];
}

export interface SentSignal {
  readonly event: EngineEvent;
  /** When it was sent, on the monotonic clock. */
  readonly atMs: number;
}

/** The same, with what its keeper needs. */
export interface TrackedContainer extends ContainerState {
  inspection: Inspection | undefined;
  description: Description | undefined;
  desired: readonly StampedRecord[];
  parentId: string | undefined;
  fingerprint: string | undefined;
  deaths: Deaths;
  /** StartedAt of the last life that was inspected; what follows is about that life, and begins anew with the next. */
  lifeStartedAt: string | undefined;
  /** Its death is among `deaths`: the next life's inspection must not count it once more, as one that was missed. */
  isDeathCounted: boolean;
  /** It has died, and no start was heard of since: earlier over than the above, as a start comes before its inspection. */
  isDown: boolean;
  /** It is not believed before, as those before it died too soon. */
  heldUntilMs: number;
  /** A signal that ends it was sent to it, in this life. */
  ending: Ending | undefined;
  /** Signals that were heard of before it was inspected: whether one of them ends it is not known yet. */
  signals: readonly SentSignal[];
  retries: number;
  readonly timers: ContainerTimers;
}

/** Of a container that nothing is known of yet. */
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

/** Whether the signal ends the life that was inspected; from then on that life is about to end. */
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

/** What its HEALTHCHECK says; empty if it has none, or is not known: engines have several words for that. */
export function healthStatusOf(container: TrackedContainer | undefined): string {
  const status = container?.inspection?.State?.Health?.Status ?? '';
  return status === 'none' ? '' : status;
}

/** Whether it has a process, be it paused or about to be started again. */
export function hasProcess(inspection: Inspection | undefined): boolean {
  const { Status = '', Running } = inspection?.State ?? {};
  return Running === true || ['running', 'paused', 'restarting'].includes(Status);
}

/** Whether something is not known yet that will be. */
export function isWaiting(description: Description): boolean {
  return (
    description.kind === 'waiting' ||
    (description.kind === 'described' && description.waiting !== undefined)
  );
}

/**
 * Whether a listed container must be inspected although its fingerprint is the same. A list does not show that a
 * container without an address restarted, nor what a description waits for.
 */
export function mustInspectListed(
  container: TrackedContainer,
  { state, health }: ListedContainer,
): boolean {
  const { inspection, description, ending } = container;
  if (inspection === undefined || !hasProcess(inspection) || ending !== undefined) return true;
  const { Status = state } = inspection.State ?? {};
  // The inspected state began and ended between two equal lists, and its last event was lost. Podman lists no health.
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

/** What a container has timers for, each at most once. */
export type ContainerTimer = 'retry' | 'ending' | 'held' | 'health';

export class ContainerTimers {
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

/** Whether deaths still count. */
export function hasRecentDeaths(deaths: Deaths, nowMs: number): boolean {
  return recent(deaths, nowMs).length > 0;
}

function recent({ atMs }: Deaths, nowMs: number): readonly number[] {
  return atMs.filter((each) => nowMs - each < WITHIN_MS);
}

/** Notes a life that is seen for the first time, and gives whether this is one. */
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
  container.heldUntilMs = publishableAtMs(container.deaths, nowMs);
  return true;
}
