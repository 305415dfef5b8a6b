/**
 * The registrar: keeps the store true to what an engine runs. Puts the parts together: the engine's follower feeds the
 * containers, these say what is wished, the mirror says what there is, the tenure whether it is ours to write, and the
 * converger writes the difference. It never gives up: whatever is gone is tried again until it is back.
 */
import { isDeepStrictEqual } from 'node:util';
import { type Clock, systemClock } from '../store/clock.ts';
import { createMirror, type Mirror, type MirrorEvent } from '../store/mirror.ts';
import type { LeaseStore } from '../store/store.ts';
import { ActualRecords } from './actual.ts';
import type { Wish } from './assign.ts';
import { Caretaker } from './caretaker.ts';
import { Checks, type Probe } from './checks.ts';
import { Containers } from './containers.ts';
import type { RegistrarContext } from './context.ts';
import { Converger } from './converge.ts';
import { describe } from './describe.ts';
import type { Description } from './description.ts';
import type { Engine, EngineError, EngineInfo, Inspection } from './engine.ts';
import { EngineFollower } from './follow.ts';
import { Grace } from './grace.ts';
import { shortId } from './life.ts';
import { Lookout } from './lookout.ts';
import type { Zones } from './names.ts';
import { permissionOf } from './permission.ts';
import type { RegistrarEvent } from './registrarEvent.ts';
import {
  type Readiness,
  type RegistrarParts,
  type RegistrarStatus,
  readinessOf,
  statusOf,
} from './status.ts';
import { storeFailure } from './storeFailure.ts';
import type { Surroundings } from './surroundings.ts';
import { Tenure } from './tenure.ts';
import { ToldRefusals } from './toldRefusals.ts';

export interface RegistrarOptions {
  readonly engine: Engine;
  /** Not closed by the registrar. */
  readonly store: LeaseStore;
  /** An empty `registrator.hostName` stands for the engine's name. */
  readonly context: Omit<RegistrarContext, 'hostAddresses' | 'ownNetworks'>;
  /** Asked at the start, and again and again; may reject with an `EngineError`. */
  readonly surroundings: (info: EngineInfo) => Promise<Surroundings>;
  readonly probe: Probe;
  /** Unique to this run. */
  readonly instance: string;
  /** Where it runs, for people. */
  readonly host: string;
  /** The same for every run that follows this engine from this machine, until that starts anew; undefined: not known. */
  readonly place?: string | undefined;
  /** Writes nothing, and says what it would write. */
  readonly dryRun?: boolean;
  /** How long records stay while the engine is gone; of a run that never reached it, from its start. */
  readonly dockerGraceMs?: number;
  readonly relistEveryMs?: number;
  readonly leaseTtlSeconds?: number;
  readonly clock?: Clock;
  /** 0 to below 1, for the jitter of pauses. */
  readonly random?: () => number;
  /** For logs. Must not throw. */
  readonly onEvent?: (event: RegistrarEvent) => void;
}

export interface CloseOptions {
  /** `keep`: records live until the lease expires or the next registrar takes it. `revoke`: they end now. */
  readonly end: 'keep' | 'revoke';
  /** With `keep`: how long deaths are still served, as a daemon that stops ends us and all others together. */
  readonly lingerMs: number;
}

export interface Registrar {
  start(): void;
  status(): RegistrarStatus;
  readiness(): Readiness;
  /** Whether it is ready, and has written (in a dry run: told) all that was to be written. */
  isSettled(): boolean;
  /** Describes all containers anew, if these are other zones than before. */
  setZones(zones: Zones): void;
  /** Never rejects. */
  close(options: CloseOptions): Promise<void>;
}

const DOCKER_GRACE_MS = 5 * 60_000;
const RELIST_EVERY_MS = 30_000;
const LEASE_TTL_SECONDS = 30;
const SETTLE_MS = 1_000;
const LOOK_EVERY_MS = 50;

/** Does nothing until `start`. */
export function createRegistrar(options: RegistrarOptions): Registrar {
  return new EngineRegistrar(options);
}

class EngineRegistrar implements Registrar {
  readonly #options: RegistrarOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #follower: EngineFollower;
  readonly #grace: Grace;
  readonly #lookout: Lookout;
  readonly #caretaker: Caretaker | undefined = undefined;
  readonly #toldRefusals = new ToldRefusals();
  #parts: RegistrarParts | undefined;
  #context: RegistrarContext;
  #isClosed = false;
  #closing: Promise<void> | undefined;

  constructor(options: RegistrarOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#context = { ...options.context, hostAddresses: {}, ownNetworks: [] };
    this.#grace = new Grace({
      clock: this.#clock,
      graceMs: options.dockerGraceMs ?? DOCKER_GRACE_MS,
      onOver: (afterMs) => this.#withdraw(afterMs),
    });
    this.#lookout = new Lookout({
      surroundings: options.surroundings,
      clock: this.#clock,
      onChange: (surroundings) => this.#onSurroundings(surroundings),
    });
    const { store, place, dryRun } = options;
    if (place !== undefined && dryRun !== true)
      this.#caretaker = new Caretaker({ store, place, clock: this.#clock, random: this.#random });
    this.#follower = new EngineFollower({
      engine: options.engine,
      clock: this.#clock,
      random: this.#random,
      relistEveryMs: options.relistEveryMs ?? RELIST_EVERY_MS,
      onInfo: (info) => this.#onInfo(info),
      onEvent: (event) => this.#parts?.containers.onEvent(event),
      onList: (list, about) => this.#parts?.containers.onList(list, about),
      onConnected: () => this.#onConnected(),
      onLost: (error, retryInMs) => this.#onLost(error, retryInMs),
    });
  }

  start(): void {
    this.#follower.start();
  }

  status(): RegistrarStatus {
    return statusOf(this.#view());
  }

  readiness(): Readiness {
    return readinessOf(this.#view());
  }

  isSettled(): boolean {
    return this.#parts?.converger.isDone === true && this.readiness().isReady;
  }

  setZones({ zones, defaultZone }: Zones): void {
    const before = this.#context;
    if (isDeepStrictEqual([before.zones, before.defaultZone], [zones, defaultZone])) return;
    this.#context = { ...before, zones, defaultZone };
    this.#parts?.containers.reevaluate();
  }

  close(options: CloseOptions): Promise<void> {
    this.#closing ??= this.#close(options);
    return this.#closing;
  }

  #view() {
    return {
      engine: { label: this.#options.engine.label, state: this.#follower.state() },
      reconnects: this.#follower.reconnects,
      store: this.#options.store.label,
      isDryRun: this.#options.dryRun === true,
      isWithdrawn: this.#grace.isOver,
      nowMs: this.#clock.monotonicMs(),
      parts: this.#parts,
    };
  }

  /** All that follows needs the engine's id, and no description is right before the host's address is known. */
  async #onInfo(info: EngineInfo): Promise<void> {
    const { registrator } = this.#options.context;
    if (registrator?.hostName === '') {
      this.#context = { ...this.#context, registrator: { ...registrator, hostName: info.name } };
    }
    await this.#lookout.look(info);
    if (this.#isClosed) return;
    this.#caretaker?.stop();
    // What an earlier run left is not to be withdrawn, now that a list is about to say what of it still runs.
    this.#grace.end();
    this.#parts = this.#createParts(info);
    this.#parts.mirror.start();
    this.#parts.tenure?.start();
    this.#parts.converger.start();
    this.#lookout.watch(info);
  }

  #createParts(info: EngineInfo): RegistrarParts {
    const { store, engine, probe } = this.#options;
    const [clock, random] = [this.#clock, this.#random];
    const kick = (): void => this.#parts?.converger.kick();
    const actual = new ActualRecords(info.id, kick);
    const mirror = createMirror({
      store,
      prefix: this.#context.prefix,
      replica: actual,
      onEvent: (event) => this.#onMirror(event, actual),
      clock,
      random,
    });
    const containers = new Containers({
      engine,
      engineId: info.id,
      describe: (inspection, parent) => this.#describe(inspection, parent),
      clock,
      onChange: kick,
      onFailure: (containerId, error) => this.#emit({ kind: 'inspectFailed', containerId, error }),
    });
    const checks = new Checks({ probe, clock, onChange: kick });
    const tenure = this.#options.dryRun === true ? undefined : this.#createTenure(info.id, kick);
    const converger = new Converger({
      store,
      actual,
      permission: () => permissionOf(mirror, tenure),
      wishes: () => checks.passing(this.#wishes(containers), (wish) => actual.has(wish)),
      isKnown: (id) => this.#grace.isOver || containers.isKnown(id),
      mirroredRevision: () => revisionOf(mirror),
      onLeaseDoubt: () => tenure?.verify(),
      onEvent: (event) => this.#emit(event),
      clock,
      random,
    });
    return { info, containers, actual, mirror, tenure, checks, converger };
  }

  #createTenure(engineId: string, onChange: () => void): Tenure {
    const { store, instance, host, place, leaseTtlSeconds = LEASE_TTL_SECONDS } = this.#options;
    return new Tenure({
      store,
      engineId,
      instance,
      host,
      place,
      ttlSeconds: leaseTtlSeconds,
      clock: this.#clock,
      random: this.#random,
      onChange,
      onEvent: (event) => this.#emit(event),
    });
  }

  #wishes(containers: Containers): Wish[] {
    return this.#grace.isOver ? [] : [...containers.all()].flatMap(({ wishes }) => wishes);
  }

  #describe(inspection: Inspection, parent: Inspection | undefined): Description {
    const description = describe(inspection, this.#context, parent);
    if (description.kind !== 'described') return description;
    const containerId = shortId(inspection.Id);
    for (const refusal of this.#toldRefusals.news(containerId, description.refusals))
      this.#emit({ kind: 'refused', containerId, refusal });
    return description;
  }

  #onMirror(event: MirrorEvent, actual: ActualRecords): void {
    if (event.kind === 'relisted') actual.forgetAhead();
    this.#emit({ kind: 'store', event });
    this.#parts?.converger.kick();
  }

  #onConnected(): void {
    this.#grace.end();
    this.#emit({ kind: 'engineConnected', label: this.#options.engine.label });
    this.#parts?.converger.kick();
  }

  #onLost(error: EngineError, retryInMs: number): void {
    this.#emit({ kind: 'engineLost', error, retryInMs });
    if (this.#isClosed) return;
    const isFirst = this.#grace.begin();
    if (isFirst && this.#parts === undefined) this.#caretaker?.start();
  }

  #withdraw(afterMs: number): void {
    this.#caretaker?.stop();
    this.#emit({ kind: 'withdrawn', afterMs });
    this.#parts?.containers.distrust();
    this.#parts?.converger.kick();
  }

  #onSurroundings(surroundings: Surroundings): void {
    this.#context = { ...this.#context, ...surroundings };
    this.#emit({ kind: 'surroundings', surroundings });
    this.#parts?.containers.reevaluate();
  }

  async #close({ end, lingerMs }: CloseOptions): Promise<void> {
    if (end === 'keep') await this.#linger(lingerMs);
    this.#isClosed = true;
    this.#follower.close();
    this.#grace.end();
    this.#lookout.close();
    this.#caretaker?.stop();
    if (this.#parts === undefined) return;
    const { containers, checks, converger, mirror, tenure } = this.#parts;
    containers.close();
    checks.close();
    await converger.close();
    mirror.close();
    try {
      await tenure?.close(end);
    } catch (error) {
      this.#emit({ kind: 'closeFailed', error: storeFailure(error) });
    }
  }

  /** What has happened is still written, and for a while what happens. */
  async #linger(lingerMs: number): Promise<void> {
    const startMs = this.#clock.monotonicMs();
    for (;;) {
      const passedMs = this.#clock.monotonicMs() - startMs;
      const isConnected = this.#follower.state().kind === 'connected';
      const isSettled = this.#parts?.converger.isDone !== false || passedMs >= SETTLE_MS;
      if (isSettled && (passedMs >= lingerMs || !isConnected)) return;
      await new Promise<void>((resolve) => this.#clock.startTimer(LOOK_EVERY_MS, resolve));
    }
  }

  #emit(event: RegistrarEvent): void {
    this.#options.onEvent?.(event);
  }
}

function revisionOf(mirror: Mirror): number {
  const state = mirror.state();
  return state.kind === 'loading' ? 0 : state.revision;
}
