/** What is remembered of one container between events, lists and inspections. */
import type { Clock } from '../store/clock.ts';
import { Alarms } from './alarms.ts';
import type { Wish } from './claims.ts';
import { type Deaths, NO_DEATHS } from './crashLoop.ts';
import type { Description } from './description.ts';
import { type Ending, endingBy } from './ending.ts';
import type { EngineEvent, Inspection } from './engine.ts';

/** A container as it stands; `description` is undefined while nothing is known of it. */
export interface Tracked {
  readonly id: string;
  readonly inspection: Inspection | undefined;
  readonly description: Description | undefined;
  readonly wishes: readonly Wish[];
}

export interface Signal {
  readonly event: EngineEvent;
  /** When it was sent, on the monotonic clock. */
  readonly atMs: number;
}

/** The same, with what its keeper needs. */
export interface Slot extends Tracked {
  inspection: Inspection | undefined;
  description: Description | undefined;
  wishes: readonly Wish[];
  parentId: string | undefined;
  fingerprint: string | undefined;
  deaths: Deaths;
  /** StartedAt of the last life that was inspected; what follows is about that life, and begins anew with the next. */
  life: string | undefined;
  /** Its death is among `deaths`: the next life's inspection must not count it once more, as one that was missed. */
  isDeathCounted: boolean;
  /** It has died, and no start was heard of since: earlier over than the above, as a start comes before its inspection. */
  isDown: boolean;
  /** It is not believed before, as those before it died too soon. */
  heldUntilMs: number;
  /** A signal that ends it was sent to it, in this life. */
  ending: Ending | undefined;
  /** Signals that were heard of before it was inspected: whether one of them ends it is not known yet. */
  signals: readonly Signal[];
  retries: number;
  readonly alarms: Alarms;
}

/** Of a container that nothing is known of yet. */
export function newSlot(id: string, clock: Clock): Slot {
  return {
    id,
    inspection: undefined,
    description: undefined,
    wishes: [],
    parentId: undefined,
    fingerprint: undefined,
    deaths: NO_DEATHS,
    life: undefined,
    isDeathCounted: false,
    isDown: false,
    heldUntilMs: 0,
    ending: undefined,
    signals: [],
    retries: 0,
    alarms: new Alarms(clock),
  };
}

/** Whether the signal ends the life that was inspected; from then on that life is about to end. */
export function endsWith(slot: Slot, inspection: Inspection, { event, atMs }: Signal): boolean {
  const ending = endingBy(event, inspection, atMs);
  if (ending === undefined) return false;
  slot.ending = ending;
  slot.alarms.cancel('ending');
  return true;
}

/** Whether the container has that id or that name. */
export function isNamed({ id, inspection }: Slot, idOrName: string | undefined): boolean {
  return id === idOrName || (idOrName !== undefined && inspection?.Name === `/${idOrName}`);
}

/** What its HEALTHCHECK says; empty if it has none, or is not known: engines have several words for that. */
export function healthOf(slot: Slot | undefined): string {
  const status = slot?.inspection?.State?.Health?.Status ?? '';
  return status === 'none' ? '' : status;
}

/** Whether it has a process, be it paused or about to be started again. */
export function isAlive(inspection: Inspection | undefined): boolean {
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
