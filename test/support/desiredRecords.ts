/** Desired and stored records for the rows of test tables, and the plan that follows from them. */

import type { StampedRecord } from '../../src/registrar/describe/storedValue.ts';
import { recordValue } from '../../src/registrar/describe/storedValue.ts';
import { asContainerId, shortIdOf } from '../../src/registrar/engine/containerId.ts';
import { type Conflict, conflictOf } from '../../src/registrar/reconcile/announcements.ts';
import { Namespace, pathOf } from '../../src/registrar/reconcile/namespace.ts';
import { type PlanInput, planWrites } from '../../src/registrar/reconcile/plan.ts';
import { StoredRecords } from '../../src/registrar/reconcile/storedRecords.ts';
import type { Lease } from '../../src/service/change.ts';

export const LEASE: Lease = { id: '7', ttlSeconds: 30, expiresAtMs: 0 };
const ENGINE = 'E1';
const NAMESPACE = new Namespace('/s/', []);

export function stamped(
  container: string,
  key: string,
  more: Partial<StampedRecord['record']> = {},
): StampedRecord {
  const containerId = asContainerId(container.padEnd(64, '0'));
  const shortId = shortIdOf(containerId);
  const owner = { id: ENGINE, shortId, startedAt: '2026-01-01T00:00:00Z' };
  const record = {
    key,
    instance: 'named',
    fields: { host: '192.0.2.1', ttl: 30 },
    ...more,
  } as const;
  return { containerId, owner, record, value: recordValue(record, owner) };
}

export interface Stored {
  readonly key: string;
  readonly of: StampedRecord | 'other engine' | 'operator' | 'mark';
  readonly lease?: Lease;
  /** Its position in the list if not given. */
  readonly revision?: number;
}

export function input(desired: readonly StampedRecord[], stored: readonly Stored[]): PlanInput {
  const records = new StoredRecords(ENGINE, () => undefined);
  const keys = desired.flatMap(({ record }) => [record.key, record.keyIfTaken ?? record.key]);
  const paths = new Set(keys.map(pathOf));
  const bases = new Set(
    desired.flatMap(({ record }) => (record.instance === 'auto' ? pathOf(record.key) : [])),
  );
  records.want({ names: paths, pointers: new Set(), bases }, NAMESPACE);
  stored.forEach(({ key, of, lease = LEASE, revision }, i) => {
    const theirs = { ...stamped('e', key).owner, id: 'E2' };
    const value =
      of === 'mark'
        ? Buffer.alloc(0)
        : of === 'operator'
          ? Buffer.from('{"host":"192.0.2.9"}')
          : of === 'other engine'
            ? recordValue(stamped('e', key).record, theirs)
            : of.value;
    const at = revision ?? i + 1;
    records.learn(key, { key, value, createRevision: at, modRevision: at, lease }, at);
  });
  const unknown = {
    owners: { isOrphaned: () => false, isUnlocked: () => false, isClone: () => false },
    formerNumber: () => undefined,
    mirroredRevision: Number.POSITIVE_INFINITY,
  };
  return {
    desired,
    stored: records,
    namespace: NAMESPACE,
    leaseId: '7',
    isDesiredKnown: () => true,
    ...unknown,
  };
}

/**
 * `-key` removed, `+key` put, `*key` put of a second family, `~key` removed last because its container has another key.
 */
export function steps(from: PlanInput): string[] {
  const marks = ['-', '+', '*', '~'];
  return planWrites(from).phases.flatMap((phase, i) => phase.map(({ key }) => `${marks[i]}${key}`));
}

/** The reasons why desired records get no key, in order. */
export function reasons(from: PlanInput): string[] {
  return conflicts(from).map(({ reason }) => reason);
}

/** The conflicts of desired records that get no key, in order. */
export function conflicts(from: PlanInput): Conflict[] {
  return planWrites(from).assignments.flatMap((assignment) =>
    assignment.kind === 'taken' ? conflictOf(assignment, from.namespace) : [],
  );
}
