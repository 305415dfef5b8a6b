/**
 * What must be written so that the store holds what is wished: nothing when it does already. PURE.
 *
 * Order: what belongs to nobody any more goes first, as its address may be somebody else's by now; then the puts; last
 * what a container has left for another key, so that it is never without a name.
 *
 * A name that gets its second family moves from its own key to one below it for each family. A value with keys below it
 * is hidden, so the key of the family that it has comes first: it answers what the hidden one did. The other way round
 * the key of the family that is gone goes first, and the one that stays goes last, when the name's own key is there.
 */
import { addressFamily } from '../../dns/address.ts';
import { type FamilyLabel, familyLabel, familyOf, nameKeyOf } from '../describe/record.ts';
import type { ShortId } from '../engine/containerId.ts';
import { type AssignInput, type Assignment, assignKeys } from './assign.ts';
import type { StoredRecord } from './storedRecords.ts';

export interface DeleteOperation {
  readonly kind: 'delete';
  readonly key: string;
  /** Must still be the key's. */
  readonly modRevision: number;
  readonly shortId: ShortId;
}

export interface PutOperation {
  readonly kind: 'put';
  readonly key: string;
  readonly value: Uint8Array;
  /** Must still be the key's; `undefined`: there must be no such key. */
  readonly modRevision: number | undefined;
  readonly shortId: ShortId;
}

export type Operation = DeleteOperation | PutOperation;

export interface Plan {
  /** To be carried out one after the other; the operations within one do not depend on each other. */
  readonly phases: readonly [
    withdraw: readonly DeleteOperation[],
    put: readonly PutOperation[],
    widen: readonly PutOperation[],
    retire: readonly DeleteOperation[],
  ];
  readonly assignments: readonly Assignment[];
  /** Nothing to do. */
  readonly isEmpty: boolean;
}

export interface DiffInput extends AssignInput {
  /** That all our records must live with; `undefined`: any. */
  readonly leaseId: string | undefined;
}

type KeyAssignment = Extract<Assignment, { kind: 'key' }>;

export function diff(input: DiffInput): Plan {
  const assignments = assignKeys(input);
  const given = assignments.filter((assignment) => assignment.kind === 'key');
  const put: PutOperation[] = [];
  const widen: PutOperation[] = [];
  for (const assignment of given) {
    const operation = putOf(assignment, input);
    if (operation !== undefined) (isSecondFamily(assignment, input) ? widen : put).push(operation);
  }
  const { withdraw, retire } = deletes(given, input);
  const phases = [withdraw, put, widen, retire] as const;
  return { phases, assignments, isEmpty: phases.every(({ length }) => length === 0) };
}

/** Of all our records that nobody was given, and of those that no registrar keeps and no lease ends. */
function deletes(given: readonly KeyAssignment[], { stored, isDesiredKnown, owners }: DiffInput) {
  const byKey = new Map(given.map((assignment) => [assignment.key, assignment]));
  const placed = new Set(given.map(({ stamped }) => stamped.owner.shortId));
  const withdraw: DeleteOperation[] = [];
  const retire: DeleteOperation[] = [];
  for (const { entry, owner, isOwn, isDangling } of stored.records()) {
    if (owner === undefined || byKey.has(entry.key) || !isDesiredKnown(owner.shortId)) continue;
    if (!isOwn && !(isDangling && owners.isUnlocked(owner.id))) continue;
    const { key, modRevision } = entry;
    const { shortId } = owner;
    const name = byKey.get(nameKeyOf(key));
    const isLeft = placed.has(shortId) && (name === undefined || !hasLostFamily(key, name));
    (isLeft ? retire : withdraw).push({ kind: 'delete', key, modRevision, shortId });
  }
  return { withdraw, retire };
}

/** Whether the key, below a name that has one family again, is the other family's. */
function hasLostFamily(key: string, { stamped }: KeyAssignment): boolean {
  const family = addressFamily(stamped.record.fields.host);
  return family !== 0 && !key.endsWith(`/${familyLabel(family)}`);
}

/** Whether the key would hide the name's own while the family of that one is not below it yet. */
function isSecondFamily(
  { stamped: { record }, key }: KeyAssignment,
  { stored }: DiffInput,
): boolean {
  const { family } = record;
  const name = nameKeyOf(key);
  const hidden = family === undefined ? undefined : stored.get(name);
  if (hidden?.isOwn !== true || stored.get(key) !== undefined) return false;
  const first: FamilyLabel = familyOf(hidden.entry.value) === 6 ? 'ipv6' : 'ipv4';
  return family !== first && stored.get(`${name}/${first}`) === undefined;
}

function putOf({ key, stamped, value }: KeyAssignment, input: DiffInput): PutOperation | undefined {
  const { shortId } = stamped.owner;
  const stored: StoredRecord | undefined = input.stored.get(key);
  if (stored === undefined) return { kind: 'put', key, value, modRevision: undefined, shortId };
  const { entry } = stored;
  const isLeased = input.leaseId === undefined || entry.lease?.id === input.leaseId;
  if (isLeased && Buffer.compare(entry.value, value) === 0) return undefined;
  return { kind: 'put', key, value, modRevision: entry.modRevision, shortId };
}
