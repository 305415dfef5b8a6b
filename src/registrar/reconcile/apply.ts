/**
 * Carries out a plan. Each write is conditional on the revision that the plan was made from: a key that has
 * changed since stays as it is. Every outcome is a value, and nothing here retries. Because writes are conditional, a
 * write without an answer may be planned again at any time: at most one of the two takes effect, and a read of the key
 * shows which.
 */
import type { Entry } from '../../service/change.ts';
import { type Store, StoreError } from '../../store/store.ts';
import type { Clock } from '../../timing/clock.ts';
import { type AdaptiveTimeout, withDeadline } from '../../timing/deadline.ts';
import type { Operation, Plan } from './plan.ts';

export type WriteOutcome =
  /** `entry`: the key's entry after the call. `revision`: the store's revision at that time. */
  | {
      readonly kind: 'done' | 'changed';
      readonly operation: Operation;
      readonly entry: Entry | undefined;
      readonly revision: number;
    }
  | { readonly kind: 'failed'; readonly operation: Operation; readonly error: StoreError };

export interface ApplyOptions {
  readonly leaseId: string;
  /** Writes under way at the same time. */
  readonly concurrency: number;
  readonly clock: Clock;
  /** A write without an answer in this time counts as failed. The timeout adapts to the answers. */
  readonly timeout: AdaptiveTimeout;
  /** Called once for each operation that was tried. */
  readonly onOutcome: (outcome: WriteOutcome) => void;
  /** Called when the late answer to a write that counted as failed reports that the store has done it. */
  readonly onLate: (operation: Operation) => void;
}

/**
 * Resolves when all operations were tried. After an `unavailable` the rest of that phase is skipped without an outcome.
 */
export async function applyPlan(
  store: Store,
  plan: Pick<Plan, 'phases'>,
  options: ApplyOptions,
): Promise<void> {
  // A failed phase does not end the plan: a store that is full or read-only may still accept deletes.
  for (const phase of plan.phases) await applyPhase(store, phase, options);
}

async function applyPhase(
  store: Store,
  operations: readonly Operation[],
  options: ApplyOptions,
): Promise<void> {
  const { leaseId, concurrency, onOutcome } = options;
  const waiting = operations.values();
  let isLost = false;
  const work = async (): Promise<void> => {
    for (const operation of waiting) {
      const outcome = await inTime(perform(store, operation, leaseId), operation, options);
      onOutcome(outcome);
      if (outcome.kind === 'failed' && outcome.error.code === 'unavailable') isLost = true;
      if (isLost) return;
    }
  };
  const workers = Math.min(concurrency, operations.length);
  await Promise.all(Array.from({ length: workers }, work));
}

/** The outcome, or a failure if there is none in time. */
function inTime(
  outcome: Promise<WriteOutcome>,
  operation: Operation,
  { clock, timeout, onLate }: ApplyOptions,
): Promise<WriteOutcome> {
  const startMs = clock.monotonicMs();
  let isLate = false;
  const known = outcome.then((reached) => {
    if (isAnswer(reached)) timeout.noteAnswer(clock.monotonicMs() - startMs);
    if (isLate && reached.kind === 'done') onLate(operation);
    return reached;
  });
  const giveUp = (): WriteOutcome => {
    isLate = true;
    const seconds = Math.round((clock.monotonicMs() - startMs) / 1000);
    const error = new StoreError('unavailable', `no answer to a write within ${seconds} s`);
    return { kind: 'failed', operation, error };
  };
  return withDeadline(known, timeout.timeoutMs, giveUp, { clock });
}

function isAnswer(outcome: WriteOutcome): boolean {
  return outcome.kind !== 'failed' || outcome.error.code !== 'unavailable';
}

async function perform(store: Store, operation: Operation, leaseId: string): Promise<WriteOutcome> {
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
): Promise<WriteOutcome> {
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
): Promise<WriteOutcome> {
  const { key, modRevision } = operation;
  const result = await store.delete(key, { if: { kind: 'modRevision', modRevision } });
  const entry = result.done ? undefined : result.current;
  return { kind: result.done ? 'done' : 'changed', operation, entry, revision: result.revision };
}
