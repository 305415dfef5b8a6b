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
import { answerWithinMs, Tenure } from './leadership/leadership.ts';
import { Locks } from './leadership/locks.ts';
import { type Neighbour, Neighbours } from './leadership/neighbours.ts';
import { permissionOf } from './leadership/permission.ts';
import { Checks, type Probe } from './observe/checks.ts';
import { Containers } from './observe/containers.ts';
import type { Wish } from './reconcile/claims.ts';
import type { Namespace } from './reconcile/namespace.ts';
import { type ConvergeCounters, Converger } from './reconcile/reconciler.ts';
import { ActualRecords, mayStand } from './reconcile/storedRecords.ts';

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
  readonly tally: Tally;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onEvent: (event: RegistrarEvent) => void;
}

/** Counts that outlast a session. */
export interface Tally extends ConvergeCounters {
  /** Of mirrors that are closed. */
  storeFailures: number;
}

/** What there is for one identity. */
interface Publication {
  readonly actual: ActualRecords;
  readonly mirror: Mirror;
  readonly converger: Converger;
}

export class EngineSession {
  readonly containers: Containers;
  readonly checks: Checks;
  readonly tenure: Tenure;
  readonly #options: SessionOptions;
  readonly #locks: Locks;
  readonly #neighbours: Neighbours;
  #info: EngineInfo;
  #publication: Publication;
  /** Convergers of earlier identities that may still be writing. */
  #ending: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(options: SessionOptions) {
    const { info, engine, store, clock, random, leaseTtlSeconds, onEvent } = options;
    const self = (): Self => options.self(this.#info);
    this.#info = info;
    this.#options = options;
    const kick = (): void => this.kick();
    this.containers = new Containers({
      engine,
      ownerId: () => ownerId(this.tenure.identity),
      describe: options.describe,
      clock,
      onChange: kick,
      onFailure: (containerId, error) => onEvent({ kind: 'inspectFailed', containerId, error }),
    });
    this.checks = new Checks({ probe: options.probe, clock, onChange: kick });
    const { instance } = self();
    const within = answerWithinMs(leaseTtlSeconds);
    const common = { store, engineId: info.id, clock, random };
    this.#locks = new Locks({ ...common, instance, answerWithinMs: within });
    this.tenure = new Tenure({
      ...common,
      locks: this.#locks,
      self,
      isDryRun: options.isDryRun,
      ttlSeconds: leaseTtlSeconds,
      onIdentity: () => this.#onIdentity(),
      onChange: kick,
      onEvent,
    });
    this.#neighbours = new Neighbours({
      locks: this.#locks,
      self,
      ownIdentity: () => this.identity,
      ttlSeconds: leaseTtlSeconds,
      clock,
      random,
      onChange: kick,
      onFound: (neighbour) => this.#onFound(neighbour),
    });
    this.#publication = this.#publish();
  }

  start(): void {
    this.#publication.mirror.start();
    this.#publication.converger.start();
    this.tenure.start();
    // In a dry run nobody is asked anything, as that would be a write.
    if (this.#options.isDryRun) return;
    this.#locks.start();
    this.#neighbours.start();
  }

  get info(): EngineInfo {
    return this.#info;
  }

  get identity(): Identity {
    return this.tenure.identity;
  }

  get namespace(): Namespace {
    return this.#options.namespace();
  }

  get actual(): ActualRecords {
    return this.#publication.actual;
  }

  get mirror(): Mirror {
    return this.#publication.mirror;
  }

  get converger(): Converger {
    return this.#publication.converger;
  }

  /** Something has changed. */
  kick(): void {
    this.#publication.converger.kick();
  }

  /** What is known of ourselves has changed, or of the engine. */
  refresh(info: EngineInfo = this.#info): void {
    this.#info = info;
    this.tenure.refresh();
    this.#neighbours.refresh();
  }

  /** What is wrong although it works, as far as is known. */
  findings(): readonly RegistrarFinding[] {
    return this.#neighbours.living().flatMap((neighbour) => this.#findingOf(neighbour) ?? []);
  }

  /** Rejects with a `StoreError` when the lease could not be given back. */
  async close(end: 'keep' | 'revoke'): Promise<void> {
    this.#isClosed = true;
    this.containers.close();
    this.checks.close();
    this.#neighbours.close();
    await this.#ending;
    await this.#unpublish();
    this.#locks.close();
    await this.tenure.close(end);
  }

  /** Everything under another identity: what we own is another set of records. */
  #onIdentity(): void {
    if (this.#isClosed) return;
    const before = this.#unpublish();
    this.#ending = Promise.all([this.#ending, before]);
    this.#publication = this.#publish();
    this.containers.reevaluate();
    this.#publication.mirror.start();
    this.#publication.converger.start();
  }

  #publish(): Publication {
    const { store, prefix, isWithdrawn, tally, clock, random, onEvent } = this.#options;
    const { containers, checks, tenure } = this;
    const actual = new ActualRecords(ownerId(tenure.identity), () => this.kick());
    const onMirror = (event: MirrorEvent): void => this.#onMirror(event, actual);
    const mirror = new Mirror({
      store,
      prefix,
      replica: actual,
      onEvent: onMirror,
      clock,
      random,
    });
    const converger = new Converger({
      store,
      actual,
      permission: () => permissionOf(mirror, tenure),
      wishes: () =>
        checks
          .passing(this.#wishes(), (wish) => actual.has(wish))
          .filter((wish) => mayStand(wish, actual)),
      isKnown: (id) => isWithdrawn() || containers.isKnown(id),
      owners: {
        isAbandoned: (owner) => this.#isAbandoned(owner),
        isGone: (owner) => this.#neighbours.isGone(owner),
        isClone: (owner) => this.#neighbours.isClone(owner),
      },
      namespace: this.#options.namespace,
      mirroredRevision: () => revisionOf(mirror),
      onLeaseDoubt: () => tenure.verify(),
      onEvent,
      counters: tally,
      clock,
      random,
    });
    return { actual, mirror, converger };
  }

  /** Resolves when nothing of it is being written any more. */
  async #unpublish(): Promise<void> {
    const { mirror, converger } = this.#publication;
    await converger.close();
    mirror.close();
    this.#options.tally.storeFailures += mirror.counters().failures;
  }

  #wishes(): Wish[] {
    if (this.#options.isWithdrawn()) return [];
    return [...this.containers.all()].flatMap(({ wishes }) => wishes);
  }

  #isAbandoned(owner: string): boolean {
    return this.#options.formerOwners.has(owner) || this.#neighbours.isAbandoned(owner);
  }

  #onMirror(event: MirrorEvent, actual: ActualRecords): void {
    if (event.kind === 'relisted') actual.forgetAhead(event.revision);
    this.#options.onEvent({ kind: 'store', event });
    this.kick();
  }

  #onFound(neighbour: Neighbour): void {
    const finding = this.#findingOf(neighbour);
    if (finding !== undefined) this.#options.onEvent({ kind: 'found', finding });
  }

  #findingOf(neighbour: Neighbour): RegistrarFinding | undefined {
    return findingOf(neighbour, this.#info, this.#options.self(this.#info));
  }
}

function revisionOf(mirror: Mirror): number {
  const state = mirror.state();
  return state.kind === 'loading' ? 0 : state.revision;
}
