/**
 * registrar/: The registrar: keeps the records in the store equal to what an engine's containers ask for.
 * Imports: config, registrar/describe, registrar/engine, registrar/leadership, registrar/observe,
 *   registrar/reconcile, registrar/registrator, service, store, timing.
 * Used by: app, app/registrar, cli, cli/commands.
 *
 * The registrar: keeps the store true to what an engine runs. Follows the engine and works in a session for the one that
 * it finds; when another one is in its place, in another session. It never gives up: whatever is gone is tried again
 * until it is back.
 */
import { isDeepStrictEqual } from 'node:util';
import type { RegistrarSettings } from '../config/registrarSettings.ts';
import { asStoreError, type LeaseStore } from '../store/store.ts';
import { type Clock, systemClock } from '../timing/clock.ts';
import type { ConfiguredContext, HostFacts, RegistrarContext } from './describe/context.ts';
import type { Description } from './describe/description.ts';
import type { Zones } from './describe/names.ts';
import { describeContainer } from './describeContainer.ts';
import { asContainerId, shortIdOf } from './engine/containerId.ts';
import { type Engine, EngineError, type EngineInfo, type Inspection } from './engine/engine.ts';
import type { ReplacedSocket } from './engine/replacedSocket.ts';
import { type RegistrarEvent, ReportedRefusals } from './events.ts';
import type { RegistrarFinding } from './finding.ts';
import { GracePeriod } from './gracePeriod.ts';
import { ownerId } from './leadership/identity.ts';
import { OrphanLeases } from './leadership/orphanLease.ts';
import type { Probe } from './observe/checks.ts';
import { EngineFollower } from './observe/follow.ts';
import { HostWatcher } from './observe/hostFacts.ts';
import { type RegistrarRun, selfOf } from './observe/self.ts';
import { Namespace } from './reconcile/namespace.ts';
import { EngineSession, type SessionCounters } from './session.ts';
import { type Readiness, type RegistrarStatus, readinessOf, statusOf } from './status.ts';

/**
 * Option values that the registrar uses itself. `dockerGraceSeconds` counts from the start where the engine was never
 * reached; without it records stay as long as the registrar runs, because containers usually outlive their engine.
 */
type RunSettings = Pick<
  RegistrarSettings,
  'dryRun' | 'dockerGraceSeconds' | 'reconcileSeconds' | 'leaseTtlSeconds'
>;

export interface RegistrarOptions extends RegistrarRun, Partial<RunSettings> {
  readonly engine: Engine;
  /** Not closed by the registrar. */
  readonly store: LeaseStore;
  /** An empty `registrator.hostName` stands for the engine's name. */
  readonly context: ConfiguredContext;
  /** Asked at the start, and again and again; may reject with an `EngineError`. */
  readonly readHostFacts: (info: EngineInfo) => Promise<HostFacts>;
  readonly probe: Probe;
  /** The engine's socket, where a mount may hold on to it after it was replaced. */
  readonly socket?: Pick<ReplacedSocket, keyof ReplacedSocket> | undefined;
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
  /** What is wrong although it works; a part of the status. */
  findings(): readonly RegistrarFinding[];
  /** Whether it is ready, and has written (in a dry run: told) all that was to be written. */
  isUpToDate(): boolean;
  /** Describes all containers anew, if these are other zones than before. */
  setZones(zones: Zones): void;
  /** Never rejects. */
  close(options: CloseOptions): Promise<void>;
}

const RECONCILE_SECONDS = 30;
const LEASE_TTL_SECONDS = 30;
const MAX_FORMER_OWNERS = 100;
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
  readonly #gracePeriod: GracePeriod;
  readonly #hostWatcher: HostWatcher;
  readonly #orphanLeases: OrphanLeases | undefined = undefined;
  readonly #reportedRefusals = new ReportedRefusals();
  readonly #counters: SessionCounters = { puts: 0, deletes: 0, failures: 0, storeFailures: 0 };
  readonly #formerOwners = new Set<string>();
  #session: EngineSession | undefined;
  /** Sessions of other engines that may still be writing. */
  #ending: Promise<unknown> = Promise.resolve();
  #bridgeId: string | undefined;
  #context: RegistrarContext;
  #namespace: Namespace;
  #isSocketReplaced = false;
  #isClosed = false;
  #closing: Promise<void> | undefined;

  constructor(options: RegistrarOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#context = { ...options.context, hostAddresses: {}, ownNetworks: [] };
    this.#namespace = new Namespace(this.#context.prefix, this.#context.zones);
    this.#gracePeriod = new GracePeriod({
      clock: this.#clock,
      graceMs: options.dockerGraceSeconds && options.dockerGraceSeconds * 1000,
      isOurFault: () => options.socket?.isUnlinked() === true,
      onExpired: (afterMs) => this.#withdraw(afterMs),
    });
    this.#hostWatcher = new HostWatcher({
      readHostFacts: options.readHostFacts,
      clock: this.#clock,
      onChange: (hostFacts) => this.#onHostFacts(hostFacts),
    });
    const { store, bootKey: place, dryRun } = options;
    if (place !== undefined && dryRun !== true)
      this.#orphanLeases = new OrphanLeases({
        store,
        bootKey: place,
        clock: this.#clock,
        random: this.#random,
      });
    this.#follower = new EngineFollower({
      engine: options.engine,
      clock: this.#clock,
      random: this.#random,
      relistEveryMs: (options.reconcileSeconds ?? RECONCILE_SECONDS) * 1000,
      onInfo: (info) => this.#onInfo(info),
      onEvent: (event) => this.#session?.containers.onEvent(event),
      onSignal: (signal) => this.#session?.containers.onSignal(signal),
      onList: (list, about) => this.#session?.containers.onList(list, about),
      onConnected: () => this.#onConnected(),
      onLost: (error, retryInMs) => this.#onLost(error, retryInMs),
    });
  }

  start(): void {
    const { engine, socket } = this.#options;
    if (socket?.isMounted() === true) this.#emit({ kind: 'socketMounted', label: engine.label });
    this.#follower.start();
  }

  status(): RegistrarStatus {
    return statusOf(this.#view());
  }

  readiness(): Readiness {
    return readinessOf(this.#view());
  }

  findings(): readonly RegistrarFinding[] {
    return this.#session?.findings() ?? [];
  }

  isUpToDate(): boolean {
    return this.#session?.reconciler.isUpToDate === true && this.readiness().isReady;
  }

  setZones({ zones, defaultZone }: Zones): void {
    const before = this.#context;
    if (isDeepStrictEqual([before.zones, before.defaultZone], [zones, defaultZone])) return;
    this.#context = { ...before, zones, defaultZone };
    this.#namespace = new Namespace(before.prefix, zones);
    this.#session?.containers.reevaluate();
    this.#session?.refresh();
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
      isWithdrawn: this.#gracePeriod.isExpired,
      nowMs: this.#clock.monotonicMs(),
      counters: this.#counters,
      session: this.#session,
    };
  }

  /** All that follows needs the engine's id, and no description is right before the host's address is known. */
  async #onInfo(info: EngineInfo): Promise<void> {
    const [bridgeId] = await Promise.all([this.#readBridgeId(), this.#hostWatcher.read(info)]);
    if (this.#isClosed) return;
    const session = this.#session;
    const isSameRun = bridgeId !== undefined && bridgeId === this.#bridgeId;
    this.#bridgeId = bridgeId;
    this.#hostWatcher.watch(info);
    if (session !== undefined && isSameEngine(session.info, info, isSameRun)) {
      session.refresh(info);
      return;
    }
    this.#orphanLeases?.stop();
    // What an earlier run left is not to be withdrawn, now that a list is about to say what of it still runs.
    this.#gracePeriod.end();
    if (session !== undefined) this.#leave(session, info);
    const { registrator } = this.#options.context;
    if (registrator?.hostName === '')
      this.#context = { ...this.#context, registrator: { ...registrator, hostName: info.name } };
    this.#session = this.#createSession(info);
    this.#session.start();
  }

  async #readBridgeId(): Promise<string | undefined> {
    try {
      return (await this.#options.engine.defaultBridge())?.id;
    } catch (error) {
      // A proxy may refuse it, and no more than a proof is missing then.
      if (error instanceof EngineError) return undefined;
      throw error;
    }
  }

  /** Another engine is in the place of the session's. Its records go with their lease, unless it is the same after all. */
  #leave(session: EngineSession, to: EngineInfo): void {
    this.#emit({ kind: 'engineChanged', from: session.info, to });
    this.#formerOwners.add(ownerId(session.identity));
    const [eldest] = this.#formerOwners;
    if (this.#formerOwners.size > MAX_FORMER_OWNERS && eldest !== undefined)
      this.#formerOwners.delete(eldest);
    this.#ending = Promise.all([this.#ending, this.#end(session, 'keep')]);
  }

  #createSession(info: EngineInfo): EngineSession {
    const { store, engine, probe, dryRun, leaseTtlSeconds = LEASE_TTL_SECONDS } = this.#options;
    return new EngineSession({
      ...{ info, engine, store, probe, leaseTtlSeconds },
      prefix: this.#context.prefix,
      namespace: () => this.#namespace,
      describe: (inspection, parent) => this.#describe(inspection, parent),
      self: (known) => selfOf(this.#options, known, this.#bridgeId, this.#context),
      isDryRun: dryRun === true,
      isWithdrawn: () => this.#gracePeriod.isExpired,
      formerOwners: this.#formerOwners,
      counters: this.#counters,
      clock: this.#clock,
      random: this.#random,
      onEvent: (event) => this.#emit(event),
    });
  }

  #describe(inspection: Inspection, parent: Inspection | undefined): Description {
    const description = describeContainer(inspection, this.#context, parent);
    if (description.kind !== 'described') return description;
    const shortId = shortIdOf(asContainerId(inspection.Id));
    for (const refusal of this.#reportedRefusals.addNew(shortId, description.refusals))
      this.#emit({ kind: 'refused', shortId, refusal });
    return description;
  }

  #onConnected(): void {
    this.#gracePeriod.end();
    this.#options.socket?.noteReached();
    this.#emit({ kind: 'engineConnected', label: this.#options.engine.label });
    this.#session?.wake();
  }

  #onLost(error: EngineError, retryInMs: number): void {
    this.#emit({ kind: 'engineLost', error, retryInMs });
    if (this.#isClosed) return;
    const isFirst = this.#gracePeriod.begin();
    if (isFirst && this.#session === undefined) this.#orphanLeases?.start();
    if (this.#isSocketReplaced || this.#options.socket?.isReplaced() !== true) return;
    this.#isSocketReplaced = true;
    this.#emit({ kind: 'socketReplaced', label: this.#options.engine.label });
  }

  #withdraw(afterMs: number): void {
    this.#orphanLeases?.stop();
    this.#emit({ kind: 'withdrawn', afterMs });
    this.#session?.containers.invalidateAll();
    this.#session?.wake();
  }

  #onHostFacts(hostFacts: HostFacts): void {
    this.#context = { ...this.#context, ...hostFacts };
    this.#emit({ kind: 'hostFacts', hostFacts });
    this.#session?.containers.reevaluate();
    this.#session?.refresh();
  }

  async #close({ end, lingerMs }: CloseOptions): Promise<void> {
    if (end === 'keep') await this.#linger(lingerMs);
    this.#isClosed = true;
    this.#follower.close();
    this.#gracePeriod.end();
    this.#hostWatcher.close();
    this.#orphanLeases?.stop();
    if (this.#session !== undefined) await this.#end(this.#session, end);
    await this.#ending;
  }

  async #end(session: EngineSession, end: 'keep' | 'revoke'): Promise<void> {
    try {
      await session.close(end);
    } catch (error) {
      this.#emit({ kind: 'closeFailed', error: asStoreError(error) });
    }
  }

  /** What has happened is still written, and for a while what happens. */
  async #linger(lingerMs: number): Promise<void> {
    const startMs = this.#clock.monotonicMs();
    for (;;) {
      const passedMs = this.#clock.monotonicMs() - startMs;
      const isConnected = this.#follower.state().kind === 'connected';
      const isSettled = this.#session?.reconciler.isUpToDate !== false || passedMs >= SETTLE_MS;
      if (isSettled && (passedMs >= lingerMs || !isConnected)) return;
      await new Promise<void>((resolve) => this.#clock.startTimer(LOOK_EVERY_MS, resolve));
    }
  }

  #emit(event: RegistrarEvent): void {
    this.#options.onEvent?.(event);
  }
}

/**
 * `isSameRun`: dockerd has not been started in between, so that a host that was only renamed is known. Otherwise that is
 * another engine: what its containers had is handed over to them all the same.
 */
function isSameEngine(a: EngineInfo, b: EngineInfo, isSameRun: boolean): boolean {
  return a.id === b.id && a.rootDir === b.rootDir && (a.name === b.name || isSameRun);
}
