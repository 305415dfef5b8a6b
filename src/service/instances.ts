/**
 * The instances of a service and its leader as the HTTP API and commands show them, and the events that lead from one
 * state to the next. The events are those of flynn's discoverd.
 */
import type { LeaderRule } from './linking.ts';

/** An instance in JSON. */
export interface ListedInstance {
  /** Its name in presentation form. */
  readonly id: string;
  /** `10.0.0.2:3306`, or the host alone if the instance has no port. The host may be a name. */
  readonly addr: string;
  readonly proto: 'tcp' | 'udp';
  /** The store's revision at which the instance was registered: the oldest instance has the least. */
  readonly index: number;
  readonly priority: number;
  readonly weight: number;
  readonly tags: readonly string[];
  /** What the instance says about leading; absent: nothing. */
  readonly leader?: LeaderRule;
}

/**
 * Why an instance leads: it is the oldest that may lead, it was chosen, it is the oldest of those that say so, or it is
 * registered by the name of the leader.
 */
export type LeadingRule = 'oldest' | 'manual' | 'label' | 'registered';

export interface ServiceState {
  /** False: nothing is registered at or below the name. */
  readonly exists: boolean;
  /** The oldest first. */
  readonly instances: readonly ListedInstance[];
  /** False: the service has more instances than these. */
  readonly isWhole: boolean;
  readonly leader: ListedInstance | undefined;
  /** Set if there is a leader. */
  readonly rule: LeadingRule | undefined;
}

export interface ServiceEvent {
  /** `current`: the events before it made up the state. */
  readonly kind: 'up' | 'update' | 'down' | 'leader' | 'current';
  /** Of `leader`: null if there is none any more. Absent of `current`. */
  readonly instance?: ListedInstance | null;
}

/** Equal for states that clients cannot tell apart. */
export function isSameState(a: ServiceState, b: ServiceState): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

/** The events from one state to the next; `before` is undefined for a client that knows nothing yet. */
export function eventsBetween(
  before: ServiceState | undefined,
  after: ServiceState,
): readonly ServiceEvent[] {
  const known = byPlace(before?.instances ?? []);
  const changed: ServiceEvent[] = [];
  for (const [place, instance] of byPlace(after.instances)) {
    const other = known.get(place);
    known.delete(place);
    if (other === undefined) changed.push({ kind: 'up', instance });
    else if (!isSameInstance(other, instance)) changed.push({ kind: 'update', instance });
  }
  const gone = [...known.values()].map((instance) => ({ kind: 'down', instance }) as const);
  return [
    ...gone,
    ...changed,
    ...leaderEvents(before, after),
    ...(before === undefined ? [{ kind: 'current' } as const] : []),
  ];
}

/**
 * The first instance of each place. Several keys may stand for one name, so one transaction can register two instances
 * that clients cannot tell apart.
 */
function byPlace(instances: readonly ListedInstance[]): Map<string, ListedInstance> {
  const first = new Map<string, ListedInstance>();
  for (const instance of instances) {
    const place = placeOf(instance);
    if (!first.has(place)) first.set(place, instance);
  }
  return first;
}

function leaderEvents(
  before: ServiceState | undefined,
  { leader }: ServiceState,
): readonly ServiceEvent[] {
  const former = before?.leader;
  const isSame =
    leader === undefined || former === undefined
      ? leader === former
      : placeOf(leader) === placeOf(former);
  return isSame ? [] : [{ kind: 'leader', instance: leader ?? null }];
}

/** An instance with another address or age is another instance. */
function placeOf({ id, addr, proto, index }: ListedInstance): string {
  return `${id} ${addr} ${proto} ${index}`;
}

function isSameInstance(a: ListedInstance, b: ListedInstance): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
