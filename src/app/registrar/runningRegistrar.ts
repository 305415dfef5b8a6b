/**
 * app/registrar/: Runs the registrar as a part of the program: its configuration, log and report.
 * Imports: app/process, config, dns, forward, kernel, observability, registrar, registrar/describe, registrar/engine,
 *   registrar/observe, registrar/registrator, server/http/exchange, service, store, timing.
 * Used by: app, cli/host, tools/doctor.
 *
 * `startRegistrar` connects a registrar to the engine, this host and the store, and serves its report.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname, release, uptime } from 'node:os';
import type { RegistrarSettings } from '../../config/registrarSettings.ts';
import { isLoopback } from '../../forward/addresses.ts';
import { hostInterfaces } from '../../kernel/interfaces.ts';
import type { ConfiguredContext } from '../../registrar/describe/context.ts';
import { connectEngine } from '../../registrar/engine/dockerode.ts';
import type { EngineEndpoint } from '../../registrar/engine/endpoint.ts';
import { ReplacedSocket } from '../../registrar/engine/replacedSocket.ts';
import { printFinding } from '../../registrar/finding.ts';
import { readHostFacts } from '../../registrar/observe/hostFacts.ts';
import { probe } from '../../registrar/observe/probe.ts';
import type { Machine, RegistrarRun } from '../../registrar/observe/self.ts';
import { Registrar, type RunSettings } from '../../registrar/registrar.ts';
import type { RegistrarEvent } from '../../registrar/registrarEvents.ts';
import { printReason, type UnreadyReason } from '../../registrar/status.ts';
import { type Exchange, type HttpReply, jsonReply } from '../../server/http/exchange/exchange.ts';
import type { Mirror } from '../../store/mirror.ts';
import type { LeaseStore } from '../../store/store.ts';
import { systemClock } from '../../timing/clock.ts';
import { readIfThere } from '../process/network.ts';
import { REPORT_PATH, type RegistrarReport } from './registrarReport.ts';

export interface RegistrarSetup {
  readonly endpoint: EngineEndpoint;
  readonly settings: RegistrarSettings;
  readonly context: ConfiguredContext;
  /** The registrar does not close the store. */
  readonly store: LeaseStore;
  /** See `RegistrarOptions.mirror`. */
  readonly mirror?: Pick<Mirror, 'beside'> | undefined;
  readonly onEvent: (event: RegistrarEvent) => void;
  /** Called when Docker created a new socket. Only a restart of this process, with a new mount, can reach it. */
  readonly onSocketReplaced?: (() => void) | undefined;
}

export interface RunningRegistrar
  extends Pick<Registrar, 'status' | 'isUpToDate' | 'setZones' | 'host'> {
  /** The engine's address, for logs. */
  readonly docker: string;
  /** Why the registrar is not ready; empty if it is. */
  readiness(): readonly UnreadyReason[];
  /** Problems that do not prevent readiness. */
  warnings(): readonly string[];
  report(): RegistrarReport;
  /** Serves the report at its path; `undefined` for any other path. */
  page(exchange: Exchange): HttpReply | undefined;
  /**
   * Continues to remove the records of dying containers for `lingerMs`, then ends the registrar according to `onExit`.
   * Never rejects.
   */
  close(lingerMs: number): Promise<void>;
}

/** Starts a registrar, which keeps running without an engine or a store. */
export function startRegistrar(setup: RegistrarSetup): RunningRegistrar {
  const { endpoint, settings, context, store, mirror } = setup;
  const { dryRun, dockerGraceSeconds, reconcileSeconds, leaseTtlSeconds } = settings;
  // The compiler reports a member of `RunSettings` that is missing here.
  const run: RunSettings = { dryRun, dockerGraceSeconds, reconcileSeconds, leaseTtlSeconds };
  const engine = connectEngine(endpoint);
  const isUnix = endpoint.kind === 'unix';
  let isSocketReplaced = false;
  const onEvent = (event: RegistrarEvent): void => {
    setup.onEvent(event);
    if (event.kind !== 'socketReplaced') return;
    isSocketReplaced = true;
    setup.onSocketReplaced?.();
  };
  const registrar = new Registrar({
    engine,
    store,
    mirror,
    context,
    readHostFacts: (info) => readHostFacts({ ...host, engine, isLocal: isUnix }, info),
    probe,
    socket: isUnix ? new ReplacedSocket(endpoint.path, systemClock) : undefined,
    ...thisRun(endpoint, engine.label),
    ...run,
    onEvent,
  });
  registrar.start();
  const report = (): RegistrarReport => reportOf(registrar, context.prefix);
  return {
    docker: engine.label,
    status: () => registrar.status(),
    isUpToDate: () => registrar.isUpToDate(),
    setZones: (zones) => registrar.setZones(zones),
    host: registrar.host,
    readiness: () => registrar.readiness().reasons,
    warnings: () => registrar.findings().map(printFinding),
    report,
    page: ({ path }) => (path === REPORT_PATH ? jsonReply(200, report()) : undefined),
    async close(lingerMs) {
      // With a replaced socket the containers still run, and the next start adopts their records.
      const onExit = isSocketReplaced ? 'keep' : settings.onExit;
      await registrar.close({ onExit, lingerMs });
      engine.close();
    },
  };
}

const host = { interfaces: hostInterfaces, readProc: readIfThere };

function reportOf(registrar: Registrar, prefix: string): RegistrarReport {
  const { isReady, reasons } = registrar.readiness();
  const readiness = { isReady, reasons: reasons.map(printReason) };
  return { ...registrar.status(), prefix, readiness };
}

function thisRun(endpoint: EngineEndpoint, label: string): RegistrarRun {
  const isHere = isOnThisMachine(endpoint);
  const bootId = readBootId();
  return {
    runId: randomUUID(),
    host: hostname(),
    bootKey: bootId && `${bootId} ${hostname()} ${label}`,
    machine: isHere ? machineOf(bootId) : undefined,
    endpoint: isHere ? undefined : label,
  };
}

const BOOT_ID = '/proc/sys/kernel/random/boot_id';

/** Changes at each boot; undefined except on Linux. */
function readBootId(): string | undefined {
  try {
    return readFileSync(BOOT_ID, 'utf8').trim();
  } catch {
    return undefined;
  }
}

function machineOf(bootId: string | undefined): Machine {
  return { bootId, kernel: release(), uptimeMs: () => uptime() * 1000 };
}

function isOnThisMachine(endpoint: EngineEndpoint): boolean {
  return endpoint.kind === 'unix' || endpoint.host === 'localhost' || isLoopback(endpoint.host);
}
