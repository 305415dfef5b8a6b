/**
 * What the reconciler reports of its plans: each conflict, and in standby each write that it would do, once while it
 * lasts.
 */
import type { ShortId } from '../engine/containerId.ts';
import type { Namespace } from './namespace.ts';
import { type Conflict, conflictOf } from './occupancy.ts';
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
