/**
 * Carries a plan out, each write guarded by what was known when it was planned: a key that has changed since is left as
 * it is. Every outcome is a value; nothing here tries again.
 */
import type { Entry } from '../service/change.ts';
import { type Store, StoreError } from '../store/store.ts';
import type { Operation, Plan } from './diff.ts';

export type Outcome =
  /** `entry`: what stands there now. `revision`: of the store, at which that was seen. */
  | {
      readonly kind: 'done' | 'changed';
      readonly operation: Operation;
      readonly entry: Entry | undefined;
      readonly revision: number;
    }
  | { readonly kind: 'failed'; readonly operation: Operation; readonly error: StoreError };

export interface ApplyOptions {
  readonly leaseId: string;
  /** Writes under way at a time. */
  readonly concurrency: number;
  /** Called as each is known. */
  readonly onOutcome: (outcome: Outcome) => void;
}

/** Resolves when all were tried. When the store is lost the rest of that phase is not tried, and has no outcome. */
export async function applyPlan(
  store: Store,
  plan: Pick<Plan, 'phases'>,
  options: ApplyOptions,
): Promise<void> {
  // A store that is full or read-only may take deletes still, so that a phase that failed does not end it.
  for (const phase of plan.phases) await applyPhase(store, phase, options);
}

async function applyPhase(
  store: Store,
  operations: readonly Operation[],
  { leaseId, concurrency, onOutcome }: ApplyOptions,
): Promise<void> {
  const waiting = operations.values();
  let isLost = false;
  const work = async (): Promise<void> => {
    for (const operation of waiting) {
      const outcome = await perform(store, operation, leaseId);
      onOutcome(outcome);
      if (outcome.kind === 'failed' && outcome.error.code === 'unavailable') isLost = true;
      if (isLost) return;
    }
  };
  const workers = Math.min(concurrency, operations.length);
  await Promise.all(Array.from({ length: workers }, work));
}

async function perform(store: Store, operation: Operation, leaseId: string): Promise<Outcome> {
  try {
    return operation.kind === 'put'
      ? await put(store, operation, leaseId)
      : await remove(store, operation);
  } catch (error) {
    if (error instanceof StoreError) return { kind: 'failed', operation, error };
    throw error;
  }
}

async function put(
  store: Store,
  operation: Extract<Operation, { kind: 'put' }>,
  lease: string,
): Promise<Outcome> {
  const { key, value, modRevision } = operation;
  const condition =
    modRevision === undefined
      ? ({ kind: 'absent' } as const)
      : ({ kind: 'modRevision', modRevision } as const);
  const result = await store.put(key, value, { lease, if: condition });
  return result.done
    ? { kind: 'done', operation, entry: result.entry, revision: result.entry.modRevision }
    : { kind: 'changed', operation, entry: result.current, revision: result.revision };
}

async function remove(
  store: Store,
  operation: Extract<Operation, { kind: 'delete' }>,
): Promise<Outcome> {
  const { key, modRevision } = operation;
  const result = await store.delete(key, { if: { kind: 'modRevision', modRevision } });
  const entry = result.done ? undefined : result.current;
  return { kind: result.done ? 'done' : 'changed', operation, entry, revision: result.revision };
}
