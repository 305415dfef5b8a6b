/**
 * What must be written so that the store holds what is wished: nothing when it does already. PURE.
 *
 * Order: what belongs to nobody any more goes first, as its address may be somebody else's by now; then the puts; last
 * what a container has left for another key, so that it is never without a name.
 */
import type { ActualRecord } from './actual.ts';
import { type AssignInput, type Assignment, assignKeys, type Wish } from './assign.ts';

export interface DeleteOperation {
  readonly kind: 'delete';
  readonly key: string;
  /** Must still be the key's. */
  readonly modRevision: number;
  /** First 12 digits. */
  readonly containerId: string;
}

export interface PutOperation {
  readonly kind: 'put';
  readonly key: string;
  readonly value: Uint8Array;
  /** Must still be the key's; `undefined`: there must be no such key. */
  readonly modRevision: number | undefined;
  /** First 12 digits. */
  readonly containerId: string;
}

export type Operation = DeleteOperation | PutOperation;

export interface Plan {
  /** To be carried out one after the other; the operations within one do not depend on each other. */
  readonly phases: readonly [
    withdraw: readonly DeleteOperation[],
    put: readonly PutOperation[],
    retire: readonly DeleteOperation[],
  ];
  readonly assignments: readonly Assignment[];
  /** Nothing to do. */
  readonly isDone: boolean;
}

export interface DiffInput extends AssignInput {
  /** That all our records must live with; `undefined`: any. */
  readonly leaseId: string | undefined;
}

export function diff(input: DiffInput): Plan {
  const assignments = assignKeys(input);
  const puts: PutOperation[] = [];
  const claimed = new Set<string>();
  const placed = new Set<string>();
  for (const assignment of assignments) {
    if (assignment.kind === 'taken') continue;
    const { key, wish } = assignment;
    claimed.add(key);
    placed.add(wish.owner.containerId);
    const put = putOf(key, wish, input.actual.get(key), input.leaseId);
    if (put !== undefined) puts.push(put);
  }
  const withdraw: DeleteOperation[] = [];
  const retire: DeleteOperation[] = [];
  for (const { entry, owner } of input.actual.own()) {
    if (owner === undefined || claimed.has(entry.key) || !input.isKnown(owner.containerId))
      continue;
    const { containerId } = owner;
    const { key, modRevision } = entry;
    (placed.has(containerId) ? retire : withdraw).push({
      kind: 'delete',
      key,
      modRevision,
      containerId,
    });
  }
  const isDone = puts.length + withdraw.length + retire.length === 0;
  return { phases: [withdraw, puts, retire], assignments, isDone };
}

function putOf(
  key: string,
  { owner: { containerId }, value }: Wish,
  actual: ActualRecord | undefined,
  leaseId: string | undefined,
): PutOperation | undefined {
  if (actual === undefined) return { kind: 'put', key, value, modRevision: undefined, containerId };
  const { entry } = actual;
  const isLeased = leaseId === undefined || entry.lease?.id === leaseId;
  if (isLeased && Buffer.compare(entry.value, value) === 0) return undefined;
  return { kind: 'put', key, value, modRevision: entry.modRevision, containerId };
}
