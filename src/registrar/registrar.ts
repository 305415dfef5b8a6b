/**
 * registrar/: The registrar: keeps the records in the store equal to what an engine's containers ask for.
 * Imports: config, dns, registrar/describe, registrar/engine, registrar/leadership, registrar/links, registrar/observe,
 *   registrar/reconcile, registrar/registrator, service, store, timing.
 * Used by: app, app/ambassador, app/registrar, cli/host.
 *
 * `EngineFollower` (observe/follow.ts) connects to the engine, watches its events, lists its containers, and retries.
 * For each engine that answers, the registrar opens a session (session.ts), which does everything that needs the
 * engine's id. The follower passes events and lists to the session's `Containers`. When another engine answers, the
 * registrar ends the former session and opens another. Neither a lost engine nor a lost store ends the registrar.
 */
import type { RegistrarSettings } from '../config/registrarSettings.ts';
import type { Mirror } from '../store/mirror.ts';
import { asStoreError, type LeaseStore } from '../store/store.ts';
import { type Clock, systemClock } from '../timing/clock.ts';
import { CurrentContext } from './currentContext.ts';
import type { ConfiguredContext, HostFacts } from './describe/context.ts';
import type { Zones } from './describe/names.ts';
import { type Engine, EngineError, type EngineInfo } from './engine/engine.ts';
import type { ReplacedSocket } from './engine/replacedSocket.ts';
import type { RegistrarFinding } from './finding.ts';
import { GracePeriod } from './gracePeriod.ts';
import { ownerId } from './leadership/identity.ts';
import { OrphanLeases } from './leadership/orphanLease.ts';
import type { Probe } from './observe/checks.ts';
import type { Containers } from './observe/containers.ts';
import { EngineFollower } from './observe/follow.ts';
import { HostWatcher } from './observe/hostFacts.ts';
import type { RegistrarRun } from './observe/self.ts';
import { type RegistrarEvent, ReportedRefusals } from './registrarEvents.ts';
import { RegistrarHost } from './registrarHost.ts';
import { EngineSession, type RegistrarHistory } from './session.ts';
import { type Readiness, type RegistrarStatus, readinessOf, statusOf } from './status.ts';

/**
 * Option values that the registrar uses itself. `dockerGraceSeconds` counts from the start if the engine was
 * never reached. Without it, records stay as long as the registrar runs, because containers usually outlive their
 * engine.
 */
export type RunSettings = Pick<
  RegistrarSettings,
  'dryRun' | 'dockerGraceSeconds' | 'reconcileSeconds' | 'leaseTtlSeconds'
>;

export interface RegistrarOptions extends RegistrarRun, Partial<RunSettings> {
  readonly engine: Engine;
  /** Not closed by the registrar. */
  readonly store: LeaseStore;
  /**
   * A mirror of that store below the context's prefix, whose watch the registrar shares. Without it the registrar has a
   * watch of its own.
   */
  readonly mirror?: Pick<Mirror, 'beside'> | undefined;
  /** An empty `registrator.hostName` stands for the engine's name. */
  readonly context: ConfiguredContext;
  /** Called at each connection and periodically; may reject with an `EngineError`. */
  readonly readHostFacts: (info: EngineInfo) => Promise<HostFacts>;
  readonly probe: Probe;
  /** The engine's socket, if it is a file: a mount may still hold it after Docker recreated it. */
  readonly socket?: Pick<ReplacedSocket, keyof ReplacedSocket> | undefined;
  readonly clock?: Clock;
  /** Returns at least 0 and less than 1, for the jitter of backoffs. */
  readonly random?: () => number;
  /** For logs. Must not throw. */
  readonly onEvent?: (event: RegistrarEvent) => void;
}

export interface CloseOptions {
  /** `keep`: records live until their lease expires or the next registrar takes it over. `revoke`: they end at once. */
  readonly onExit: 'keep' | 'revoke';
  /**
   * With `keep`: how long deaths of containers still remove records. A daemon that stops ends its containers and this
   * process together.
   */
  readonly lingerMs: number;
}

const RECONCILE_SECONDS = 30;
const LEASE_TTL_SECONDS = 30;
const MAX_FORMER_OWNERS = 100;
/** How long `close` waits for writes that are still due. */
const MAX_WRITE_WAIT_MS = 1_000;
const LINGER_POLL_MS = 50;

export class Registrar {
  /** For an ambassador on the engine's host. */
  readonly host = new RegistrarHost();
  readonly #options: RegistrarOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #context: CurrentContext;
  readonly #follower: EngineFollower;
  readonly #gracePeriod: GracePeriod;
  readonly #hostWatcher: HostWatcher;
  /** `undefined` in a dry run, and where the machine's boot id is unknown. */
  readonly #orphanLeases: OrphanLeases | undefined;
  readonly #history: RegistrarHistory = {
    counters: { puts: 0, deletes: 0, failures: 0, storeFailures: 0 },
    formerOwners: new Set(),
    reportedRefusals: new ReportedRefusals(),
  };
  /** `undefined` until the engine has answered with its id. */
  #session: EngineSession | undefined;
  /** Pending while sessions of former engines may still write. */
  #ending: Promise<unknown> = Promise.resolve();
  #isSocketReplaced = false;
  #isClosed = false;
  #closing: Promise<void> | undefined;

  /** Does nothing until `start`. */
  constructor(options: RegistrarOptions) {
    const { engine, store, bootKey, dryRun, socket } = options;
    const { dockerGraceSeconds, reconcileSeconds = RECONCILE_SECONDS } = options;
    this.#options = options;
    const clock = options.clock ?? systemClock;
    const random = options.random ?? Math.random;
    this.#clock = clock;
    this.#random = random;
    this.#context = new CurrentContext(options, options.context);
    this.#gracePeriod = new GracePeriod({
      clock,
      graceMs: dockerGraceSeconds && dockerGraceSeconds * 1000,
      socket,
      onExpired: (afterMs) => this.#onGraceExpired(afterMs),
    });
    this.#hostWatcher = new HostWatcher({
      readHostFacts: options.readHostFacts,
      clock,
      onChange: (hostFacts) => this.#onHostFacts(hostFacts),
    });
    this.#orphanLeases =
      bootKey === undefined || dryRun === true
        ? undefined
        : new OrphanLeases({ store, bootKey, clock, random });
    this.#follower = new EngineFollower({
      engine,
      clock,
      random,
      relistEveryMs: reconcileSeconds * 1000,
      openReceiver: (info) => this.#openSession(info),
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

  /** Faults that do not keep it from working; the status contains them too. */
  findings(): readonly RegistrarFinding[] {
    return this.#session?.findings() ?? [];
  }

  /** Whether it is ready and has written every missing record (in a dry run: reported every write). */
  isUpToDate(): boolean {
    return this.#session?.reconciler.isUpToDate === true && this.readiness().isReady;
  }

  /** Describes all containers again if the zones differ from the former ones. */
  setZones(zones: Zones): void {
    if (this.#context.setZones(zones)) this.#session?.onContext();
  }

  /** Never rejects. */
  close(options: CloseOptions): Promise<void> {
    this.#closing ??= this.#close(options);
    return this.#closing;
  }

  #view() {
    return {
      engine: { label: this.#options.engine.label, state: this.#follower.state() },
      reconnects: this.#follower.reconnects,
      store: this.#options.store.label,
      dryRun: this.#options.dryRun === true,
      isGraceExpired: this.#gracePeriod.isExpired,
      nowMs: this.#clock.monotonicMs(),
      counters: this.#history.counters,
      session: this.#session,
    };
  }

  /**
   * Opens a session for the engine that answered, unless the present session is that engine's. Returns the session's
   * containers. Descriptions need the host's facts, so it reads those first.
   */
  async #openSession(info: EngineInfo): Promise<Containers | undefined> {
    const [bridgeId] = await Promise.all([this.#readBridgeId(), this.#hostWatcher.read(info)]);
    if (this.#isClosed) return undefined;
    const session = this.#session;
    const isSameBridge = this.#context.setBridgeId(bridgeId);
    this.#hostWatcher.watch(info);
    if (session !== undefined && isSameEngine(session.info, info, isSameBridge)) {
      session.refresh(info);
      return session.containers;
    }
    this.#orphanLeases?.stop();
    // Only the next list shows which containers of an earlier run still run. Until then that run's records stay.
    this.#gracePeriod.end();
    if (session !== undefined) this.#leave(session, info);
    this.#context.setEngineHostName(info.name);
    this.#session = this.#createSession(info);
    this.host.follow(this.#session.hostContainers);
    this.#session.start();
    return this.#session.containers;
  }

  async #readBridgeId(): Promise<string | undefined> {
    try {
      return (await this.#options.engine.defaultBridge())?.id;
    } catch (error) {
      // A proxy may refuse the call. The bridge is only one of several proofs.
      if (error instanceof EngineError) return undefined;
      throw error;
    }
  }

  /**
   * Ends the former engine's session. Its records expire with their lease, except those of containers that the next
   * session finds: they have an owner in `formerOwners`, so that session may take them over.
   */
  #leave(session: EngineSession, to: EngineInfo): void {
    const { formerOwners } = this.#history;
    this.#emit({ kind: 'engineChanged', from: session.info, to });
    formerOwners.add(ownerId(session.identity));
    const [oldest] = formerOwners;
    if (formerOwners.size > MAX_FORMER_OWNERS && oldest !== undefined) formerOwners.delete(oldest);
    this.#ending = Promise.all([this.#ending, this.#end(session, 'keep')]);
  }

  #createSession(info: EngineInfo): EngineSession {
    const {
      store,
      mirror,
      engine,
      probe,
      dryRun,
      leaseTtlSeconds = LEASE_TTL_SECONDS,
    } = this.#options;
    return new EngineSession({
      info,
      engine,
      store,
      mirror,
      probe,
      leaseTtlSeconds,
      context: this.#context,
      gracePeriod: this.#gracePeriod,
      history: this.#history,
      dryRun: dryRun === true,
      clock: this.#clock,
      random: this.#random,
      onEvent: (event) => this.#emit(event),
      onHostChange: () => this.host.noteChange(),
    });
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

  #onGraceExpired(afterMs: number): void {
    this.#orphanLeases?.stop();
    this.#emit({ kind: 'graceExpired', afterMs });
    this.#session?.containers.invalidateAll();
    this.#session?.wake();
  }

  #onHostFacts(hostFacts: HostFacts): void {
    this.#context.setHostFacts(hostFacts);
    this.#emit({ kind: 'hostFacts', hostFacts });
    this.#session?.onContext();
  }

  async #close({ onExit, lingerMs }: CloseOptions): Promise<void> {
    if (onExit === 'keep') await this.#linger(lingerMs);
    this.#isClosed = true;
    this.#follower.close();
    this.#gracePeriod.end();
    this.#hostWatcher.close();
    this.#orphanLeases?.stop();
    if (this.#session !== undefined) await this.#end(this.#session, onExit);
    await this.#ending;
  }

  async #end(session: EngineSession, onExit: 'keep' | 'revoke'): Promise<void> {
    try {
      await session.close(onExit);
    } catch (error) {
      this.#emit({ kind: 'closeFailed', error: asStoreError(error) });
    }
  }

  /** Waits until all changes are written; while connected, at least `lingerMs`, because more containers may die. */
  async #linger(lingerMs: number): Promise<void> {
    const startMs = this.#clock.monotonicMs();
    for (;;) {
      const passedMs = this.#clock.monotonicMs() - startMs;
      const isConnected = this.#follower.state().kind === 'connected';
      const mustWait = this.#session?.reconciler.isUpToDate === false;
      const hasWritten = !mustWait || passedMs >= MAX_WRITE_WAIT_MS;
      if (hasWritten && (passedMs >= lingerMs || !isConnected)) return;
      await new Promise<void>((resolve) => this.#clock.startTimer(LINGER_POLL_MS, resolve));
    }
  }

  #emit(event: RegistrarEvent): void {
    this.#options.onEvent?.(event);
  }
}

/**
 * `isSameBridge` proves that dockerd did not restart, so that another name means a renamed host. Without that proof
 * another name means another engine, whose containers still take over the names of the former one.
 */
function isSameEngine(a: EngineInfo, b: EngineInfo, isSameBridge: boolean): boolean {
  return a.id === b.id && a.rootDir === b.rootDir && (a.name === b.name || isSameBridge);
}
