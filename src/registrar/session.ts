/**
 * A registrar's work for one engine, from the moment that the engine's id is known. A session has one set of containers
 * and one leadership. It writes under one identity at a time, and has a mirror and a reconciler for that identity.
 *
 * The path of an event, such as a container's death, to the deleted key:
 *
 *   observe/follow.ts          EngineFollower.#read   reads the event from the engine's stream
 *   observe/containers.ts      Containers.onEvent     drops the container's desired records, calls `onChange`
 *   session.ts                 EngineSession.wake     is the `onChange` of all sources of desired records
 *   reconcile/reconciler.ts    Reconciler.#reconcile  compares `DesiredRecords.list` with the stored records
 *   reconcile/plan.ts          diff                   plans the delete
 *   reconcile/apply.ts         applyPlan              deletes the key in the store
 *   reconcile/storedRecords.ts StoredRecords.apply    receives the change, which `applyPlan` has noted
 */
import { Mirror, type MirrorEvent } from '../store/mirror.ts';
import type { LeaseStore } from '../store/store.ts';
import type { Clock } from '../timing/clock.ts';
import type { CurrentContext } from './currentContext.ts';
import type { Description } from './describe/description.ts';
import { describeContainer } from './describeContainer.ts';
import { DesiredRecords } from './desiredRecords.ts';
import { asContainerId, shortIdOf } from './engine/containerId.ts';
import type { Engine, EngineInfo, Inspection } from './engine/engine.ts';
import { findingOf, type RegistrarFinding } from './finding.ts';
import type { GracePeriod } from './gracePeriod.ts';
import { HostContainers } from './hostContainers.ts';
import { type Identity, ownerId, type Self, type SelfSource } from './leadership/identity.ts';
import { Leadership } from './leadership/leadership.ts';
import { answerWithinMs, Locks } from './leadership/locks.ts';
import { type PeerRegistrar, PeerRegistrars } from './leadership/peers.ts';
import { nodeRecords } from './nodeRecords.ts';
import { Checks, type Probe } from './observe/checks.ts';
import { Containers } from './observe/containers.ts';
import type { Namespace } from './reconcile/namespace.ts';
import { type ReconcileCounters, Reconciler } from './reconcile/reconciler.ts';
import { StoredRecords } from './reconcile/storedRecords.ts';
import type { RegistrarEvent, ReportedRefusals } from './registrarEvents.ts';

export interface SessionOptions {
  readonly info: EngineInfo;
  readonly engine: Engine;
  readonly store: LeaseStore;
  /** See `RegistrarOptions.mirror`. */
  readonly mirror: Pick<Mirror, 'beside'> | undefined;
  readonly context: CurrentContext;
  readonly probe: Probe;
  readonly gracePeriod: Pick<GracePeriod, 'isExpired'>;
  readonly history: RegistrarHistory;
  readonly dryRun: boolean;
  readonly leaseTtlSeconds: number;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onEvent: (event: RegistrarEvent) => void;
  /** Called when `hostContainers` may have other results: for a container's death at once, in the event's handling. */
  readonly onHostChange: () => void;
}

/** State of the registrar that outlives a session. */
export interface RegistrarHistory {
  readonly counters: SessionCounters;
  /** Owner ids of this run's former sessions. */
  readonly formerOwners: Set<string>;
  readonly reportedRefusals: ReportedRefusals;
}

export interface SessionCounters extends ReconcileCounters {
  /** Failures of mirrors that are closed. */
  storeFailures: number;
}

/** The work under one identity. */
interface StoreSync {
  readonly stored: StoredRecords;
  readonly mirror: Mirror;
  readonly reconciler: Reconciler;
}

export class EngineSession implements SelfSource {
  readonly containers: Containers;
  readonly checks: Checks;
  readonly leadership: Leadership;
  readonly hostContainers: HostContainers;
  readonly #options: SessionOptions;
  readonly #desired: DesiredRecords;
  readonly #locks: Locks;
  readonly #peers: PeerRegistrars;
  #info: EngineInfo;
  #sync: StoreSync;
  /** Pending while reconcilers of former identities may still write. */
  #ending: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(options: SessionOptions) {
    const { info, engine, store, history, clock, random, leaseTtlSeconds, onEvent } = options;
    this.#info = info;
    this.#options = options;
    const onChange = (): void => this.wake();
    const common = { store, engineId: info.id, clock, random, registrar: this };
    const times = { leaseTtlSeconds, answerWithinMs: answerWithinMs(leaseTtlSeconds) };
    this.#locks = new Locks({ ...common, ...times, runId: this.self().runId });
    this.leadership = new Leadership({
      ...common,
      ...times,
      locks: this.#locks,
      dryRun: options.dryRun,
      onIdentity: () => this.#onIdentity(),
      onChange,
      onEvent,
    });
    this.#peers = new PeerRegistrars({
      ...common,
      ...times,
      locks: this.#locks,
      leadership: this.leadership,
      formerOwners: history.formerOwners,
      onChange,
      onFound: (peer) => this.#onFound(peer),
    });
    this.containers = new Containers({
      engine,
      leadership: this.leadership,
      describe: (inspection, parent) => this.#describe(inspection, parent),
      clock,
      onChange: () => {
        options.onHostChange();
        this.wake();
      },
      onFailure: (shortId, error) => onEvent({ kind: 'inspectFailed', shortId, error }),
    });
    this.hostContainers = new HostContainers({
      engine,
      containers: this.containers,
      context: options.context,
      assignments: () => this.reconciler.assignments(),
      stored: () => this.stored,
      isStoreRead: () => this.mirror.state().kind !== 'loading',
      clock,
      onChange: options.onHostChange,
    });
    this.checks = new Checks({ probe: options.probe, clock, onChange });
    this.#desired = new DesiredRecords(this.containers, this.checks, options.gracePeriod, () =>
      nodeRecords(options.context.forDescriptions, this.info.name, ownerId(this.identity)),
    );
    this.#sync = this.#openSync();
  }

  start(): void {
    this.#sync.mirror.start();
    this.#sync.reconciler.start();
    this.leadership.start();
    // A dry run challenges no holder, because a challenge is a write.
    if (this.#options.dryRun) return;
    this.#locks.start();
    this.#peers.start();
  }

  get info(): EngineInfo {
    return this.#info;
  }

  get identity(): Identity {
    return this.leadership.identity;
  }

  get namespace(): Namespace {
    return this.#options.context.namespace;
  }

  get stored(): StoredRecords {
    return this.#sync.stored;
  }

  get mirror(): Mirror {
    return this.#sync.mirror;
  }

  get reconciler(): Reconciler {
    return this.#sync.reconciler;
  }

  self(): Self {
    return this.#options.context.selfFor(this.#info);
  }

  /** Compares desired and stored records again. */
  wake(): void {
    this.#sync.reconciler.wake();
  }

  /** The context changed: descriptions may differ, and the lock may state other facts about this registrar. */
  onContext(): void {
    this.containers.reevaluate();
    this.refresh();
  }

  /** The engine's info or the context changed: compares the lock's entry and the peers with it. */
  refresh(info: EngineInfo = this.#info): void {
    this.#info = info;
    this.leadership.refresh();
    this.#peers.refresh();
  }

  /** Faults that do not keep the session from working. */
  findings(): readonly RegistrarFinding[] {
    return this.#peers.alive().flatMap((peer) => this.#findingOf(peer) ?? []);
  }

  /** Rejects with a `StoreError` when the lease could not be released or revoked. */
  async close(onExit: 'keep' | 'revoke'): Promise<void> {
    this.#isClosed = true;
    this.containers.close();
    this.hostContainers.close();
    this.checks.close();
    this.#peers.close();
    await this.#ending;
    await this.#closeSync();
    this.#locks.close();
    await this.leadership.close(onExit);
  }

  /** Under another identity other records are ours, so the mirror and the reconciler start again. */
  #onIdentity(): void {
    if (this.#isClosed) return;
    const closing = this.#closeSync();
    this.#ending = Promise.all([this.#ending, closing]);
    this.#sync = this.#openSync();
    this.containers.reevaluate();
    this.#sync.mirror.start();
    this.#sync.reconciler.start();
  }

  #openSync(): StoreSync {
    const { store, context, history, clock, random, onEvent } = this.#options;
    const { leadership } = this;
    const stored = new StoredRecords(ownerId(leadership.identity), () => this.wake());
    const { prefix } = context.forDescriptions;
    const following = {
      replica: stored,
      onEvent: (event: MirrorEvent) => this.#onMirror(event, stored),
    };
    const mirror =
      this.#options.mirror?.beside(following) ??
      new Mirror({ store, prefix, ...following, clock, random });
    const reconciler = new Reconciler({
      store,
      stored,
      mirror,
      leadership,
      desired: this.#desired,
      peers: this.#peers,
      context,
      counters: history.counters,
      onEvent,
      onAssigned: this.#options.onHostChange,
      clock,
      random,
    });
    return { stored, mirror, reconciler };
  }

  /** Resolves when the reconciler has ended. */
  async #closeSync(): Promise<void> {
    const { mirror, reconciler } = this.#sync;
    await reconciler.close();
    mirror.close();
    this.#options.history.counters.storeFailures += mirror.counters().failures;
  }

  #onMirror(event: MirrorEvent, stored: StoredRecords): void {
    if (event.kind === 'relisted') stored.onRelisted(event.revision);
    this.#options.onEvent({ kind: 'store', event });
    this.wake();
  }

  #describe(inspection: Inspection, parent: Inspection | undefined): Description {
    const { context, history, onEvent } = this.#options;
    const description = describeContainer(inspection, context.forDescriptions, parent);
    const ofNames = description.kind === 'described' ? description.refusals : [];
    const refusals = [...ofNames, ...this.hostContainers.linksOf(inspection).refusals];
    const shortId = shortIdOf(asContainerId(inspection.Id));
    for (const refusal of history.reportedRefusals.addNew(shortId, refusals))
      onEvent({ kind: 'refused', shortId, refusal });
    return description;
  }

  #onFound(peer: PeerRegistrar): void {
    const finding = this.#findingOf(peer);
    if (finding !== undefined) this.#options.onEvent({ kind: 'found', finding });
  }

  #findingOf(peer: PeerRegistrar): RegistrarFinding | undefined {
    return findingOf(peer, this.#info, this.self());
  }
}
