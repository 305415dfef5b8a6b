/**
 * A registrar's work for one engine, from the moment that the engine's id is known: the containers, what is wished for
 * them, whose turn it is to write, and under one identity after the other the records in the store.
 */
import { Mirror, type MirrorEvent } from '../store/mirror.ts';
import type { LeaseStore } from '../store/store.ts';
import type { Clock } from '../timing/clock.ts';
import type { Description } from './describe/description.ts';
import type { Engine, EngineInfo, Inspection } from './engine/engine.ts';
import type { RegistrarEvent } from './events.ts';
import { findingOf, type RegistrarFinding } from './finding.ts';
import { type Identity, ownerId, type Self } from './leadership/identity.ts';
import { answerWithinMs, Leadership } from './leadership/leadership.ts';
import { Locks } from './leadership/locks.ts';
import { type PeerRegistrar, PeerRegistrars } from './leadership/peers.ts';
import { permissionOf } from './leadership/permission.ts';
import { Checks, type Probe } from './observe/checks.ts';
import { Containers } from './observe/containers.ts';
import type { StampedRecord } from './reconcile/claims.ts';
import type { Namespace } from './reconcile/namespace.ts';
import { type ReconcileCounters, Reconciler } from './reconcile/reconciler.ts';
import { mayStand, StoredRecords } from './reconcile/storedRecords.ts';

export interface SessionOptions {
  readonly info: EngineInfo;
  readonly engine: Engine;
  readonly store: LeaseStore;
  readonly prefix: string;
  /** Of the zones that are served now. */
  readonly namespace: () => Namespace;
  readonly probe: Probe;
  readonly describe: (inspection: Inspection, parent: Inspection | undefined) => Description;
  /** What is known of ourselves now. */
  readonly self: (info: EngineInfo) => Self;
  readonly isDryRun: boolean;
  /** The engine has been away for so long that nothing known of it counts. */
  readonly isWithdrawn: () => boolean;
  /** Owners of earlier sessions of this run. */
  readonly formerOwners: ReadonlySet<string>;
  readonly leaseTtlSeconds: number;
  readonly counters: SessionCounters;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onEvent: (event: RegistrarEvent) => void;
}

/** Counts that outlast a session. */
export interface SessionCounters extends ReconcileCounters {
  /** Of mirrors that are closed. */
  storeFailures: number;
}

/** What there is for one identity. */
interface StoreSync {
  readonly stored: StoredRecords;
  readonly mirror: Mirror;
  readonly reconciler: Reconciler;
}

export class EngineSession {
  readonly containers: Containers;
  readonly checks: Checks;
  readonly leadership: Leadership;
  readonly #options: SessionOptions;
  readonly #locks: Locks;
  readonly #peers: PeerRegistrars;
  #info: EngineInfo;
  #sync: StoreSync;
  /** Convergers of earlier identities that may still be writing. */
  #ending: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(options: SessionOptions) {
    const { info, engine, store, clock, random, leaseTtlSeconds, onEvent } = options;
    const self = (): Self => options.self(this.#info);
    this.#info = info;
    this.#options = options;
    const wake = (): void => this.wake();
    this.containers = new Containers({
      engine,
      ownerId: () => ownerId(this.leadership.identity),
      describe: options.describe,
      clock,
      onChange: wake,
      onFailure: (shortId, error) => onEvent({ kind: 'inspectFailed', shortId, error }),
    });
    this.checks = new Checks({ probe: options.probe, clock, onChange: wake });
    const { instance } = self();
    const within = answerWithinMs(leaseTtlSeconds);
    const common = { store, engineId: info.id, clock, random };
    this.#locks = new Locks({ ...common, instance, answerWithinMs: within });
    this.leadership = new Leadership({
      ...common,
      locks: this.#locks,
      self,
      isDryRun: options.isDryRun,
      ttlSeconds: leaseTtlSeconds,
      onIdentity: () => this.#onIdentity(),
      onChange: wake,
      onEvent,
    });
    this.#peers = new PeerRegistrars({
      locks: this.#locks,
      self,
      ownIdentity: () => this.identity,
      ttlSeconds: leaseTtlSeconds,
      clock,
      random,
      onChange: wake,
      onFound: (peer) => this.#onFound(peer),
    });
    this.#sync = this.#openSync();
  }

  start(): void {
    this.#sync.mirror.start();
    this.#sync.reconciler.start();
    this.leadership.start();
    // In a dry run nobody is asked anything, as that would be a write.
    if (this.#options.isDryRun) return;
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
    return this.#options.namespace();
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

  /** Something has changed. */
  wake(): void {
    this.#sync.reconciler.wake();
  }

  /** What is known of ourselves has changed, or of the engine. */
  refresh(info: EngineInfo = this.#info): void {
    this.#info = info;
    this.leadership.refresh();
    this.#peers.refresh();
  }

  /** What is wrong although it works, as far as is known. */
  findings(): readonly RegistrarFinding[] {
    return this.#peers.alive().flatMap((peer) => this.#findingOf(peer) ?? []);
  }

  /** Rejects with a `StoreError` when the lease could not be given back. */
  async close(end: 'keep' | 'revoke'): Promise<void> {
    this.#isClosed = true;
    this.containers.close();
    this.checks.close();
    this.#peers.close();
    await this.#ending;
    await this.#closeSync();
    this.#locks.close();
    await this.leadership.close(end);
  }

  /** Everything under another identity: what we own is another set of records. */
  #onIdentity(): void {
    if (this.#isClosed) return;
    const before = this.#closeSync();
    this.#ending = Promise.all([this.#ending, before]);
    this.#sync = this.#openSync();
    this.containers.reevaluate();
    this.#sync.mirror.start();
    this.#sync.reconciler.start();
  }

  #openSync(): StoreSync {
    const { store, prefix, isWithdrawn, counters, clock, random, onEvent } = this.#options;
    const { containers, checks, leadership } = this;
    const stored = new StoredRecords(ownerId(leadership.identity), () => this.wake());
    const onMirror = (event: MirrorEvent): void => this.#onMirror(event, stored);
    const mirror = new Mirror({
      store,
      prefix,
      replica: stored,
      onEvent: onMirror,
      clock,
      random,
    });
    const reconciler = new Reconciler({
      store,
      stored,
      permission: () => permissionOf(mirror, leadership),
      desired: () =>
        checks
          .passing(this.#desired(), (stamped) => stored.has(stamped))
          .filter((stamped) => mayStand(stamped, stored)),
      isDesiredKnown: (id) => isWithdrawn() || containers.isDesiredKnown(id),
      owners: {
        isOrphaned: (owner) => this.#isOrphaned(owner),
        isUnlocked: (owner) => this.#peers.isUnlocked(owner),
        isClone: (owner) => this.#peers.isClone(owner),
      },
      namespace: this.#options.namespace,
      mirroredRevision: () => revisionOf(mirror),
      onLeaseDoubt: () => leadership.verifyLease(),
      onEvent,
      counters,
      clock,
      random,
    });
    return { stored, mirror, reconciler };
  }

  /** Resolves when nothing of it is being written any more. */
  async #closeSync(): Promise<void> {
    const { mirror, reconciler } = this.#sync;
    await reconciler.close();
    mirror.close();
    this.#options.counters.storeFailures += mirror.counters().failures;
  }

  #desired(): StampedRecord[] {
    if (this.#options.isWithdrawn()) return [];
    return [...this.containers.all()].flatMap(({ desired }) => desired);
  }

  #isOrphaned(owner: string): boolean {
    return this.#options.formerOwners.has(owner) || this.#peers.isOrphaned(owner);
  }

  #onMirror(event: MirrorEvent, stored: StoredRecords): void {
    if (event.kind === 'relisted') stored.onRelisted(event.revision);
    this.#options.onEvent({ kind: 'store', event });
    this.wake();
  }

  #onFound(peer: PeerRegistrar): void {
    const finding = this.#findingOf(peer);
    if (finding !== undefined) this.#options.onEvent({ kind: 'found', finding });
  }

  #findingOf(peer: PeerRegistrar): RegistrarFinding | undefined {
    return findingOf(peer, this.#info, this.#options.self(this.#info));
  }
}

function revisionOf(mirror: Mirror): number {
  const state = mirror.state();
  return state.kind === 'loading' ? 0 : state.revision;
}
