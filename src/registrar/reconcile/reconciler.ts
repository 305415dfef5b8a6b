/**
 * registrar/reconcile/: Desired against stored records: which key goes to which claim, and the writes that are missing.
 * Imports: dns, registrar/describe, registrar/engine, registrar/leadership, service, store, timing.
 * Used by: cli, cli/commands, registrar, registrar/observe, tools/doctor.
 *
 * Brings the store to what is wished: compares, writes the difference, and compares again until there is none. One
 * round at a time, so that whatever happens meanwhile is in the next one. When the store fails it is tried again for
 * ever, from what is wished then; what was wished in between is never replayed.
 */
import { asStoreError, type Store, type StoreError } from '../../store/store.ts';
import { backoffMs } from '../../timing/backoff.ts';
import type { Clock } from '../../timing/clock.ts';
import { AdaptiveTimeout } from '../../timing/deadline.ts';
import { WakeableSleep } from '../../timing/sleep.ts';
import type { ShortId } from '../engine/containerId.ts';
import type { WritePermission } from '../leadership/permission.ts';
import { applyPlan, UndoDetector, type WriteOutcome } from './apply.ts';
import type { Assignment } from './assign.ts';
import { parseNumberedKey, type StampedRecord } from './claims.ts';
import { HolderLookup } from './holderLookup.ts';
import type { Namespace } from './namespace.ts';
import { type Conflict, conflictOf, type OwnerStates } from './occupancy.ts';
import { diff, type Operation, type Plan } from './plan.ts';
import type { StoredRecords } from './storedRecords.ts';

export type ReconcileEvent =
  | { readonly kind: 'wrote'; readonly operation: Operation }
  | { readonly kind: 'would'; readonly operation: Operation }
  | ({
      readonly kind: 'conflict';
      readonly shortId: ShortId;
      readonly key: string;
    } & Conflict)
  | { readonly kind: 'writeFailed'; readonly error: StoreError; readonly retryInMs: number };

export interface ReconcilerOptions {
  readonly store: Store;
  readonly stored: StoredRecords;
  readonly permission: () => WritePermission;
  readonly desired: () => readonly StampedRecord[];
  readonly isDesiredKnown: (shortId: ShortId) => boolean;
  readonly owners: OwnerStates;
  /** Of the zones that are served now. */
  readonly namespace: () => Namespace;
  /** The store's revision up to which `actual` was brought. */
  readonly mirroredRevision: () => number;
  /** The store takes no such lease, or somebody undoes what is written. */
  readonly onLeaseDoubt: () => void;
  readonly onEvent: (event: ReconcileEvent) => void;
  /** Counted on. */
  readonly counters: ReconcileCounters;
  readonly clock: Clock;
  readonly random: () => number;
}

/** Since the start of the registrar. */
export interface ReconcileCounters {
  puts: number;
  deletes: number;
  failures: number;
}

const WRITES_AT_ONCE = 32;
/** In one round, so that a death need not wait for a thousand starts. */
const PUTS_IN_A_ROUND = 128;
const BACKOFF = { minMs: 100, maxMs: 5_000 };
/** Comparing takes at most about a tenth of the time, though what happened first is served at once. */
const REST_FOR_WORK = 10;
const MAX_REST_MS = 50;
/** What is undone twice within this time is written no more often than that. */
const UNDONE_WITHIN_MS = 1_000;
const UNDONE_REST_MS = 100;
const MAX_FORMER_NUMBERS = 10_000;

export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #nap: WakeableSleep;
  readonly #rest: WakeableSleep;
  readonly #formerNumbers = new Map<string, number>();
  readonly #holderLookup: HolderLookup;
  #assignments: readonly Assignment[] = [];
  #announcedConflicts = new Set<string>();
  #announcedWrites = new Set<string>();
  /** By key. */
  readonly #refused = new Map<string, string>();
  #lastFailure: StoreError | undefined;
  #failures = 0;
  readonly #writeTimeout = new AdaptiveTimeout();
  readonly #rewrites = new UndoDetector();
  #undoneAtMs = Number.NEGATIVE_INFINITY;
  #restUntilMs = 0;
  #isUpToDate = false;
  #isComparing = false;
  #isClosed = false;
  #ended: Promise<void> = Promise.resolve();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#nap = new WakeableSleep(options.clock);
    this.#rest = new WakeableSleep(options.clock);
    this.#holderLookup = new HolderLookup(options.store, options.stored);
  }

  start(): void {
    this.#ended = this.#run();
  }

  /** Something has changed. */
  wake(): void {
    this.#isUpToDate = false;
    this.#nap.wake();
  }

  /** Whether there was nothing left that may be written when last compared, and nothing has changed since. */
  get isUpToDate(): boolean {
    return this.#isUpToDate && !this.#isComparing;
  }

  /** Why the last writes failed, until some succeed. */
  get lastFailure(): StoreError | undefined {
    return this.#lastFailure;
  }

  /** Where each wish goes, as of the last round. */
  assignments(): readonly Assignment[] {
    return this.#assignments;
  }

  /** Why the store does not take a key. */
  refusalOf(key: string): string | undefined {
    return this.#refused.get(key);
  }

  /** Resolves when nothing is being written any more, but for what went unanswered. */
  close(): Promise<void> {
    this.#isClosed = true;
    this.#nap.wake();
    this.#rest.wake();
    return this.#ended;
  }

  async #run(): Promise<void> {
    let pauseMs: number | undefined;
    while (!this.#isClosed) {
      if (pauseMs !== 0) await this.#nap.sleep(pauseMs);
      const restMs = this.#restUntilMs - this.#options.clock.monotonicMs();
      if (restMs > 0) await this.#rest.sleep(restMs);
      if (this.#isClosed) return;
      this.#isComparing = true;
      try {
        pauseMs = await this.#compare();
      } catch (error) {
        pauseMs = this.#fail(asStoreError(error));
      }
      this.#isComparing = false;
    }
  }

  /** Gives when the next one is due: 0 at once, `undefined` when something changes. */
  async #compare(): Promise<number | undefined> {
    const permission = this.#options.permission();
    if (permission.kind === 'wait') return undefined;
    this.#isUpToDate = true; // unless `wake` is called meanwhile
    const { stored, owners } = this.#options;
    stored.onMirrored(this.#options.mirroredRevision());
    const desired = this.#options.desired();
    const isDesiredKnown = this.#knownOwners();
    const namespace = this.#options.namespace();
    await this.#holderLookup.lookUp(desired, namespace);
    const leaseId = permission.kind === 'write' ? permission.leaseId : undefined;
    const formerNumber = (shortId: ShortId, base: string): number | undefined =>
      this.#formerNumbers.get(`${shortId} ${base}`);
    const startMs = this.#options.clock.monotonicMs();
    const mirroredRevision = this.#options.mirroredRevision();
    const known = { stored, namespace, mirroredRevision, isDesiredKnown, owners, formerNumber };
    const plan = diff({ desired, leaseId, ...known });
    const endMs = this.#options.clock.monotonicMs();
    this.#restUntilMs = endMs + Math.min(MAX_REST_MS, (endMs - startMs) * REST_FOR_WORK);
    this.#assignments = plan.assignments;
    for (const assignment of plan.assignments) this.#rememberNumber(assignment);
    this.#announceConflicts(plan, namespace);
    if (leaseId === undefined) {
      this.#announceWrites(plan);
      return undefined;
    }
    if (plan.isEmpty) {
      this.#succeed();
      this.#refused.clear();
      return undefined;
    }
    return this.#apply(plan, leaseId);
  }

  /**
   * Of which containers that own records it is known what they should have, as of this moment. A container that is
   * inspected while the store is read is not among the wishes yet, and must not lose its records for that.
   */
  #knownOwners(): (shortId: ShortId) => boolean {
    const known = new Set<ShortId>();
    for (const { owner } of this.#options.stored.records())
      if (owner !== undefined && this.#options.isDesiredKnown(owner.shortId))
        known.add(owner.shortId);
    return (shortId) => known.has(shortId);
  }

  async #apply(plan: Plan, leaseId: string): Promise<number | undefined> {
    this.#isUpToDate = false;
    const phases = firstSteps(plan.phases);
    let failure: StoreError | undefined;
    let done = 0;
    await applyPlan(
      this.#options.store,
      { phases },
      {
        leaseId,
        concurrency: WRITES_AT_ONCE,
        clock: this.#options.clock,
        timeout: this.#writeTimeout,
        // Only told: by now more may be known of the key than that.
        onLate: (operation) => this.#tell(operation),
        onOutcome: (outcome) => {
          this.#learn(outcome, leaseId);
          if (outcome.kind === 'done') done++;
          if (outcome.kind === 'failed') failure = outcome.error;
        },
      },
    );
    if (failure !== undefined) return this.#fail(failure);
    // A plan that could not be carried out at all was made from something that is not so.
    if (done === 0) return this.#pauseMs();
    this.#succeed();
    return 0;
  }

  #learn(outcome: WriteOutcome, leaseId: string): void {
    const { operation } = outcome;
    if (outcome.kind === 'failed') {
      this.#options.counters.failures++;
      if (outcome.error.code !== 'invalid') return;
      this.#refused.set(operation.key, outcome.error.message);
      this.#options.onLeaseDoubt();
      return;
    }
    this.#options.stored.learn(operation.key, outcome.entry, outcome.revision);
    if (outcome.kind === 'changed') return;
    this.#refused.delete(operation.key);
    if (this.#rewrites.note(operation, leaseId)) this.#onUndone();
    this.#tell(operation);
  }

  #tell(operation: Operation): void {
    if (operation.kind === 'put') this.#options.counters.puts++;
    else this.#options.counters.deletes++;
    this.#options.onEvent({ kind: 'wrote', operation });
  }

  /** What was written before was undone by somebody: perhaps by one whose turn it is. */
  #onUndone(): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#undoneAtMs < UNDONE_WITHIN_MS) this.#restUntilMs = nowMs + UNDONE_REST_MS;
    this.#undoneAtMs = nowMs;
    this.#options.onLeaseDoubt();
  }

  /** Also of a record that an earlier run wrote and this one only keeps. */
  #rememberNumber({ kind, stamped: { owner, record }, key }: Assignment): void {
    if (kind !== 'key' || record.instance !== 'auto') return;
    const parsed = parseNumberedKey(key);
    if (parsed === undefined) return;
    const id = `${owner.shortId} ${parsed.base}`;
    this.#formerNumbers.delete(id);
    this.#formerNumbers.set(id, parsed.number);
    if (this.#formerNumbers.size <= MAX_FORMER_NUMBERS) return;
    const [oldest = ''] = this.#formerNumbers.keys();
    this.#formerNumbers.delete(oldest);
  }

  /** Each once, as long as it lasts. */
  #announceConflicts({ assignments }: Plan, namespace: Namespace): void {
    const announced = new Set<string>();
    for (const assignment of assignments) {
      if (assignment.kind !== 'taken') continue;
      const { key, stamped } = assignment;
      const { shortId } = stamped.owner;
      const conflict = conflictOf(assignment, namespace);
      const id = `${shortId} ${key} ${conflict.reason}`;
      announced.add(id);
      if (!this.#announcedConflicts.has(id))
        this.#options.onEvent({ kind: 'conflict', shortId, key, ...conflict });
    }
    this.#announcedConflicts = announced;
  }

  #announceWrites({ phases }: Plan): void {
    const announced = new Set<string>();
    for (const operation of phases.flat()) {
      const value = operation.kind === 'put' ? Buffer.from(operation.value).toString() : '';
      const id = `${operation.kind} ${operation.key} ${value}`;
      announced.add(id);
      if (!this.#announcedWrites.has(id)) this.#options.onEvent({ kind: 'would', operation });
    }
    this.#announcedWrites = announced;
  }

  #succeed(): void {
    this.#failures = 0;
    this.#lastFailure = undefined;
  }

  #fail(error: StoreError): number {
    this.#lastFailure = error;
    this.#isUpToDate = false;
    const retryInMs = this.#pauseMs();
    this.#options.onEvent({ kind: 'writeFailed', error, retryInMs });
    return retryInMs;
  }

  #pauseMs(): number {
    return backoffMs(++this.#failures, BACKOFF, this.#options.random);
  }
}

/** What of a plan is carried out before all is compared again. */
function firstSteps([withdraw, put, widen, retire]: Plan['phases']): Plan['phases'] {
  const isPut = put.length <= PUTS_IN_A_ROUND;
  const isWidened = isPut && widen.length <= PUTS_IN_A_ROUND;
  return [
    withdraw,
    put.slice(0, PUTS_IN_A_ROUND),
    isPut ? widen.slice(0, PUTS_IN_A_ROUND) : [],
    isWidened ? retire : [],
  ];
}
