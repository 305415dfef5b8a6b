/**
 * The reconciler's reports of its plans: each conflict, with the reason and the remedy, and in standby each write that
 * it would do. Each is reported once while it lasts.
 */
import { nameKeyOf } from '../describe/storedValue.ts';
import type { ShortId } from '../engine/containerId.ts';
import type { Assignment } from './assign.ts';
import type { Namespace } from './namespace.ts';
import type { Operation, Plan } from './plan.ts';

export type AnnouncedEvent =
  | { readonly kind: 'would'; readonly operation: Operation }
  | ({
      readonly kind: 'conflict';
      readonly shortId: ShortId;
      readonly key: string;
    } & Conflict);

export class Announcements {
  readonly #onEvent: (event: AnnouncedEvent) => void;
  #conflicts = new Set<string>();
  #writes = new Set<string>();

  constructor(onEvent: (event: AnnouncedEvent) => void) {
    this.#onEvent = onEvent;
  }

  conflictsOf({ assignments }: Plan, namespace: Namespace): void {
    const announced = new Set<string>();
    for (const assignment of assignments) {
      if (assignment.kind !== 'taken') continue;
      const { key, stamped } = assignment;
      const { shortId } = stamped.owner;
      const conflict = conflictOf(assignment, namespace);
      const id = `${shortId} ${key} ${conflict.reason}`;
      announced.add(id);
      if (!this.#conflicts.has(id)) this.#onEvent({ kind: 'conflict', shortId, key, ...conflict });
    }
    this.#conflicts = announced;
  }

  writesOf({ phases }: Plan): void {
    const announced = new Set<string>();
    for (const operation of phases.flat()) {
      const value = operation.kind === 'put' ? Buffer.from(operation.value).toString() : '';
      const id = `${operation.kind} ${operation.key} ${value}`;
      announced.add(id);
      if (!this.#writes.has(id)) this.#onEvent({ kind: 'would', operation });
    }
    this.#writes = announced;
  }
}

/** Why a container does not get a name, and what the operator can do about it. */
export interface Conflict {
  /** The rest of a sentence that begins with the name. */
  readonly reason: string;
  /** How the container can get a record. */
  readonly hint?: string;
}

export function conflictOf(
  { stamped, key, obstacle }: Extract<Assignment, { kind: 'taken' }>,
  namespace: Namespace,
): Conflict {
  const { holder } = obstacle;
  // The records of a name with both families are below it. One key of them is enough to hold the name.
  const obstacleKey = obstacle.stands === 'below' ? nameKeyOf(obstacle.key) : obstacle.key;
  const obstacleName = namespace.print(obstacleKey);
  const origin = holder === undefined ? 'was set by hand' : `${holder} holds`;
  const removal =
    holder === undefined
      ? `remove it with: soradns rm ${namespace.argumentFor(obstacle.key)}`
      : undefined;
  switch (obstacle.stands) {
    case 'at': {
      const reason = holder === undefined ? origin : `held by ${holder}`;
      return withHint(reason, removal ?? stamped.record.hintIfTaken);
    }
    case 'below': {
      const beside = `choose a name beside it, such as ${nameBeside(namespace.print(key), obstacleName)}`;
      const hint = removal === undefined ? beside : `${beside}, or ${removal}`;
      return withHint(`stands below ${obstacleName}, which ${origin}`, hint);
    }
    case 'above':
      return withHint(`would be hidden by ${obstacleName}, which ${origin}`, removal);
  }
}

function withHint(reason: string, hint: string | undefined): Conflict {
  return hint === undefined ? { reason } : { reason, hint };
}

/** `replica.db.skydns.local` beside `db.skydns.local` is `replica-db.skydns.local`. */
function nameBeside(name: string, above: string): string {
  const front = name.slice(0, name.length - above.length - 1);
  return `${front.replaceAll('.', '-')}-${above}`;
}
