/**
 * registrar/reconcile/: Desired against stored records: which key goes to which claim, and the writes that are missing.
 * Imports: dns, registrar/describe, registrar/engine, registrar/leadership, service, store, timing.
 * Used by: cli, cli/commands, cli/host, registrar, tools/doctor.
 *
 * `Reconciler` compares desired with stored records, writes the difference, and compares again until there is none. It
 * runs one comparison at a time, so that a change during one is part of the next. After a failure of the store it
 * plans again from the records that are desired by then; it never replays an earlier plan. Its loop:
 *
 *   state     | ends when
 *   ----------|---------------------------------------------------------------------------------------------
 *   sleeping  | `wake` is called, or the retry after a failure is due
 *   resting   | the pace (pace.ts) allows another comparison
 *   comparing | the names around the desired ones are read, and a plan is made unless the leader is unknown
 *   writing   | every write of the plan has an outcome or no answer in time; only as leader
 */
import type { Mirror, MirrorState } from '../../store/mirror.ts';
import { asStoreError, type Store, type StoreError } from '../../store/store.ts';
import type { Clock } from '../../timing/clock.ts';
import { AdaptiveTimeout } from '../../timing/deadline.ts';
import type { StampedRecord } from '../describe/storedValue.ts';
import type { ShortId } from '../engine/containerId.ts';
import type { Leadership, LeadershipState } from '../leadership/leadership.ts';
import { type AnnouncedEvent, Announcements } from './announcements.ts';
import { applyPlan, type WriteOutcome } from './apply.ts';
import type { Assignment } from './assign.ts';
import { FormerNumbers } from './claims.ts';
import { HolderLookup } from './holderLookup.ts';
import type { Namespace } from './namespace.ts';
import type { OwnerStates } from './occupancy.ts';
import { ReconcilePace } from './pace.ts';
import { type Operation, type Plan, planWrites } from './plan.ts';
import type { StoredRecords } from './storedRecords.ts';

export type ReconcileEvent =
  | AnnouncedEvent
  | { readonly kind: 'wrote'; readonly operation: Operation }
  | { readonly kind: 'writeFailed'; readonly error: StoreError; readonly retryInMs: number };

/** Where the desired records come from. */
export interface DesiredSource {
  /** The records that the store should hold now. `stored` decides about those that need a check or another record. */
  list(stored: StoredRecords): readonly StampedRecord[];
  /** Whether the desired records of that container are known; if it does not exist, it is known that there are none. */
  isKnown(shortId: ShortId): boolean;
}

export interface ReconcilerOptions {
  readonly store: Store;
  readonly stored: StoredRecords;
  /** Keeps `stored` equal to the store. */
  readonly mirror: Pick<Mirror, 'state'>;
  readonly leadership: Pick<Leadership, 'state' | 'verifyLease'>;
  readonly desired: DesiredSource;
  readonly peers: OwnerStates;
  /** `namespace` covers the zones that are served now. */
  readonly context: { readonly namespace: Namespace };
  readonly counters: ReconcileCounters;
  readonly onEvent: (event: ReconcileEvent) => void;
  /** Called when `assignments` may have another result. */
  readonly onAssigned?: () => void;
  readonly clock: Clock;
  readonly random: () => number;
}

/** Since the start of the registrar. */
export interface ReconcileCounters {
  puts: number;
  deletes: number;
  failures: number;
}

const CONCURRENT_WRITES = 32;
/** Per comparison, so that a death does not wait for a thousand starts. */
const MAX_PUTS = 128;

export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #holderLookup: HolderLookup;
  readonly #pace: ReconcilePace;
  readonly #announcements: Announcements;
  readonly #formerNumbers = new FormerNumbers();
  readonly #writeTimeout = new AdaptiveTimeout();
  /** Keys that the store refuses, with its reasons. */
  readonly #refused = new Map<string, string>();
  #assignments: readonly Assignment[] = [];
  #lastFailure: StoreError | undefined;
  /** The last comparison left nothing to write, and `wake` was not called since. */
  #isDone = false;
  #isComparing = false;
  #isClosed = false;
  #ended: Promise<void> = Promise.resolve();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#holderLookup = new HolderLookup(options.store, options.stored);
    this.#pace = new ReconcilePace(options.clock, options.random);
    this.#announcements = new Announcements(options.onEvent);
  }

  start(): void {
    this.#ended = this.#run();
  }

  /** Call it when desired or stored records, the owners or the leadership may have changed. */
  wake(): void {
    this.#isDone = false;
    this.#pace.wake();
  }

  /** Whether the last comparison left nothing that this registrar may write, and `wake` was not called since. */
  get isUpToDate(): boolean {
    return this.#isDone && !this.#isComparing;
  }

  /** Why the last writes failed; `undefined` once a write succeeds, or once there is none left to do. */
  get lastFailure(): StoreError | undefined {
    return this.#lastFailure;
  }

  /** The key of each desired record, as of the last comparison. */
  assignments(): readonly Assignment[] {
    return this.#assignments;
  }

  /** Why the store refuses a key. */
  refusalOf(key: string): string | undefined {
    return this.#refused.get(key);
  }

  /** Resolves when no write is under way, except those that were given up without an answer. */
  close(): Promise<void> {
    this.#isClosed = true;
    this.#pace.close();
    return this.#ended;
  }

  async #run(): Promise<void> {
    let pauseMs: number | undefined;
    while (!this.#isClosed) {
      await this.#pace.wait(pauseMs);
      if (this.#isClosed) return;
      this.#isComparing = true;
      try {
        pauseMs = await this.#reconcile();
      } catch (error) {
        pauseMs = this.#fail(asStoreError(error));
      }
      this.#isComparing = false;
    }
  }

  /** Returns when the next comparison is due: 0 at once, `undefined` at the next `wake`. */
  async #reconcile(): Promise<number | undefined> {
    const { mirror, leadership, context } = this.#options;
    const permission = permissionOf(mirror.state(), leadership.state());
    if (permission.kind === 'wait') return undefined;
    this.#isDone = true; // a `wake` during the comparison resets it
    const { namespace } = context;
    const leaseId = permission.kind === 'write' ? permission.leaseId : undefined;
    const plan = await this.#compare(namespace, leaseId);
    this.#assignments = plan.assignments;
    this.#options.onAssigned?.();
    for (const assignment of plan.assignments) this.#formerNumbers.remember(assignment);
    this.#announcements.conflictsOf(plan, namespace);
    if (leaseId === undefined) {
      this.#announcements.writesOf(plan);
      return undefined;
    }
    if (plan.isEmpty) {
      this.#succeed();
      this.#refused.clear();
      return undefined;
    }
    return this.#apply(plan, leaseId);
  }

  async #compare(namespace: Namespace, leaseId: string | undefined): Promise<Plan> {
    const { stored, peers, mirror, clock, desired: source } = this.#options;
    stored.onMirrored(revisionOf(mirror.state()));
    const desired = source.list(stored);
    const isDesiredKnown = this.#knownContainers();
    await this.#holderLookup.lookUp(desired, namespace);
    const startMs = clock.monotonicMs();
    const plan = planWrites({
      desired,
      stored,
      owners: peers,
      namespace,
      leaseId,
      isDesiredKnown,
      mirroredRevision: revisionOf(mirror.state()),
      formerNumber: (shortId, base) => this.#formerNumbers.get(shortId, base),
    });
    this.#pace.noteComparison(startMs);
    return plan;
  }

  /**
   * Returns a function that tells whether a container with stored records had known desired records at the time of this
   * call. A container that gets its inspection while the store is read is not in `desired` yet, and must not lose its
   * records for that.
   */
  #knownContainers(): (shortId: ShortId) => boolean {
    const { stored, desired } = this.#options;
    const known = new Set<ShortId>();
    for (const { owner } of stored.records())
      if (owner !== undefined && desired.isKnown(owner.shortId)) known.add(owner.shortId);
    return (shortId) => known.has(shortId);
  }

  async #apply(plan: Plan, leaseId: string): Promise<number | undefined> {
    this.#isDone = false;
    let failure: StoreError | undefined;
    let done = 0;
    await applyPlan(
      this.#options.store,
      { phases: firstSteps(plan.phases) },
      {
        leaseId,
        concurrency: CONCURRENT_WRITES,
        clock: this.#options.clock,
        timeout: this.#writeTimeout,
        // Its entry is not learned: the mirror may have brought a later one.
        onLate: (operation) => this.#report(operation),
        onOutcome: (outcome) => {
          this.#onOutcome(outcome, leaseId);
          if (outcome.kind === 'done') done++;
          if (outcome.kind === 'failed') failure = outcome.error;
        },
      },
    );
    if (failure !== undefined) return this.#fail(failure);
    // Every key had changed, so the plan came from an outdated state.
    if (done === 0) return this.#pace.retryInMs();
    this.#succeed();
    return 0;
  }

  #onOutcome(outcome: WriteOutcome, leaseId: string): void {
    const { stored, leadership, counters } = this.#options;
    const { operation } = outcome;
    if (outcome.kind === 'failed') {
      counters.failures++;
      if (outcome.error.code !== 'invalid') return;
      this.#refused.set(operation.key, outcome.error.message);
      // The store may refuse the lease instead of the key.
      leadership.verifyLease();
      return;
    }
    stored.learn(operation.key, outcome.entry, outcome.revision);
    if (outcome.kind === 'changed') return;
    this.#refused.delete(operation.key);
    // The writer that undoes our writes may be the leader.
    if (this.#pace.noteWrite(operation, leaseId)) leadership.verifyLease();
    this.#report(operation);
  }

  #report(operation: Operation): void {
    const { counters, onEvent } = this.#options;
    if (operation.kind === 'put') counters.puts++;
    else counters.deletes++;
    onEvent({ kind: 'wrote', operation });
  }

  #succeed(): void {
    this.#pace.noteSuccess();
    this.#lastFailure = undefined;
  }

  #fail(error: StoreError): number {
    this.#lastFailure = error;
    this.#isDone = false;
    const retryInMs = this.#pace.retryInMs();
    this.#options.onEvent({ kind: 'writeFailed', error, retryInMs });
    return retryInMs;
  }
}

type Permission =
  /** `leaseId`: the lease of all records. */
  | { readonly kind: 'write'; readonly leaseId: string }
  /** In standby and in a dry run: makes plans and reports them. */
  | { readonly kind: 'compare' }
  /** The store's state, or who leads, is not known yet. */
  | { readonly kind: 'wait' };

function permissionOf(mirror: MirrorState, leadership: LeadershipState): Permission {
  if (mirror.kind === 'loading') return { kind: 'wait' };
  switch (leadership.kind) {
    case 'held':
      return { kind: 'write', leaseId: leadership.leaseId };
    case 'standby':
    case 'dryRun':
      return { kind: 'compare' };
    case 'seeking':
      return { kind: 'wait' };
  }
}

function revisionOf(mirror: MirrorState): number {
  return mirror.kind === 'loading' ? 0 : mirror.revision;
}

/** The part of a plan that is carried out before the next comparison. */
function firstSteps([remove, put, widen, retire]: Plan['phases']): Plan['phases'] {
  const isPut = put.length <= MAX_PUTS;
  const isWidened = isPut && widen.length <= MAX_PUTS;
  return [
    remove,
    put.slice(0, MAX_PUTS),
    isPut ? widen.slice(0, MAX_PUTS) : [],
    isWidened ? retire : [],
  ];
}
