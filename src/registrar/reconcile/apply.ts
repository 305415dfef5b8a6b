/**
 * Carries a plan out, each write guarded by what was known when it was planned: a key that has changed since is left as
 * it is. Every outcome is a value; nothing here tries again. Being guarded, a write that goes unanswered may be planned
 * anew at any time: of two copies one at most is done, and a look at the key tells what became of them.
 */
import type { Entry } from '../../service/change.ts';
import { type Store, StoreError } from '../../store/store.ts';
import type { Clock } from '../../timing/clock.ts';
import { type AdaptiveTimeout, withDeadline } from '../../timing/deadline.ts';
import type { Operation, Plan } from './plan.ts';

export type WriteOutcome =
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
  readonly clock: Clock;
  /** A write without an answer for so long has failed, as far as the plan goes. It learns how long answers take. */
  readonly timeout: AdaptiveTimeout;
  /** Called as each is known, once for each. */
  readonly onOutcome: (outcome: WriteOutcome) => void;
  /** Called for a write that had failed for want of an answer, and was done all the same. */
  readonly onLate: (operation: Operation) => void;
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

/** The outcome, or the failure that none has come. */
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

/**
 * Notices that somebody undoes what was written: the same is written again where it was the last thing written. Once
 * that is nothing, as anybody may delete a key. Again and again it is another registrar of the engine that knows other
 * containers and believes that it holds the lock: until one of them learns better, neither may be as fast as it can.
 */

interface LastWrite {
  readonly operation: Operation;
  readonly leaseId: string;
}

const MAX_REMEMBERED = 10_000;

export class UndoDetector {
  /** By key, the latest last. */
  readonly #writes = new Map<string, LastWrite>();

  /** A write was done. Gives whether it is the same as the last one under that key. */
  note(operation: Operation, leaseId: string): boolean {
    const { key } = operation;
    const last = this.#writes.get(key);
    this.#writes.delete(key);
    this.#writes.set(key, { operation, leaseId });
    if (this.#writes.size > MAX_REMEMBERED) {
      const [oldest = ''] = this.#writes.keys();
      this.#writes.delete(oldest);
    }
    return last?.leaseId === leaseId && isSame(last.operation, operation);
  }
}

function isSame(one: Operation, other: Operation): boolean {
  if (one.kind === 'delete' || other.kind === 'delete') return one.kind === other.kind;
  return Buffer.compare(one.value, other.value) === 0;
}
