/**
 * Plans the writes that make the store hold the desired records; none if it does already. Pure.
 *
 * Order: records without a container go first, because another container may have their address by now. Then come the
 * puts. Last go the records that a container leaves for another key, so that it always has a name.
 *
 * A name that gets its second address family moves from its own key to two keys below it, one for each family. A value
 * with keys below it is hidden, so the key of the present family is written first: it gives the answers of the hidden
 * value. When a name loses a family, the key of the lost family goes first, and the key of the other one goes last,
 * after the name's own key was written.
 */
import { addressFamily } from '../../dns/address.ts';
import type { FamilyLabel } from '../describe/description.ts';
import { familyLabel, familyOf, nameKeyOf } from '../describe/storedValue.ts';
import type { ShortId } from '../engine/containerId.ts';
import { type AssignInput, type Assignment, assignKeys } from './assign.ts';
import type { StoredRecord } from './storedRecords.ts';

export interface DeleteOperation {
  readonly kind: 'delete';
  readonly key: string;
  /** The condition: the key still has this revision. */
  readonly modRevision: number;
  readonly shortId: ShortId;
}

export interface PutOperation {
  readonly kind: 'put';
  readonly key: string;
  readonly value: Uint8Array;
  /** The condition: the key still has this revision; `undefined`: the key does not exist. */
  readonly modRevision: number | undefined;
  readonly shortId: ShortId;
}

export type Operation = DeleteOperation | PutOperation;

export interface Plan {
  /** Carried out one after the other. The operations within a phase do not depend on each other. */
  readonly phases: readonly [
    remove: readonly DeleteOperation[],
    put: readonly PutOperation[],
    widen: readonly PutOperation[],
    retire: readonly DeleteOperation[],
  ];
  readonly assignments: readonly Assignment[];
  /** Without operations. */
  readonly isEmpty: boolean;
}

export interface PlanInput extends AssignInput {
  /** The lease that all our records need; `undefined`: any. */
  readonly leaseId: string | undefined;
}

type KeyAssignment = Extract<Assignment, { kind: 'key' }>;

export function planWrites(input: PlanInput): Plan {
  const assignments = assignKeys(input);
  const given = assignments.filter((assignment) => assignment.kind === 'key');
  const put: PutOperation[] = [];
  const widen: PutOperation[] = [];
  for (const assignment of given) {
    const operation = putOf(assignment, input);
    if (operation !== undefined) (isSecondFamily(assignment, input) ? widen : put).push(operation);
  }
  const { remove, retire } = deletes(given, input);
  const phases = [remove, put, widen, retire] as const;
  return { phases, assignments, isEmpty: phases.every(({ length }) => length === 0) };
}

/** Deletes our records without an assignment, and records that have no lease and whose registrar has no lock. */
function deletes(given: readonly KeyAssignment[], { stored, isDesiredKnown, owners }: PlanInput) {
  const byKey = new Map(given.map((assignment) => [assignment.key, assignment]));
  const assigned = new Set(given.map(({ stamped }) => stamped.owner.shortId));
  const remove: DeleteOperation[] = [];
  const retire: DeleteOperation[] = [];
  for (const { entry, owner, isOwn, isDangling } of stored.records()) {
    if (owner === undefined || byKey.has(entry.key) || !isDesiredKnown(owner.shortId)) continue;
    if (!isOwn && !(isDangling && owners.isUnlocked(owner.id))) continue;
    const { key, modRevision } = entry;
    const { shortId } = owner;
    const name = byKey.get(nameKeyOf(key));
    const isLeft = assigned.has(shortId) && (name === undefined || !hasLostFamily(key, name));
    (isLeft ? retire : remove).push({ kind: 'delete', key, modRevision, shortId });
  }
  return { remove, retire };
}

/** Whether the key is that of the lost family, below a name that has one family again. */
function hasLostFamily(key: string, { stamped }: KeyAssignment): boolean {
  const family = addressFamily(stamped.record.fields.host);
  return family !== 0 && !key.endsWith(`/${familyLabel(family)}`);
}

/** Whether the key would hide the name's own value before the key of that value's family exists. */
function isSecondFamily(
  { stamped: { record }, key }: KeyAssignment,
  { stored }: PlanInput,
): boolean {
  const { family } = record;
  const name = nameKeyOf(key);
  const hidden = family === undefined ? undefined : stored.get(name);
  if (hidden?.isOwn !== true || stored.get(key) !== undefined) return false;
  const first: FamilyLabel = familyOf(hidden.entry.value) === 6 ? 'ipv6' : 'ipv4';
  return family !== first && stored.get(`${name}/${first}`) === undefined;
}

function putOf({ key, stamped, value }: KeyAssignment, input: PlanInput): PutOperation | undefined {
  const { shortId } = stamped.owner;
  const stored: StoredRecord | undefined = input.stored.get(key);
  if (stored === undefined) return { kind: 'put', key, value, modRevision: undefined, shortId };
  const { entry } = stored;
  const isLeased = input.leaseId === undefined || entry.lease?.id === input.leaseId;
  if (isLeased && Buffer.compare(entry.value, value) === 0) return undefined;
  return { kind: 'put', key, value, modRevision: entry.modRevision, shortId };
}
