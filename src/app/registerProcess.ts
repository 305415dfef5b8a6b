/** `soradns register` as a process: opens the log and the store, starts the registrar, waits for a signal, stops. */
import { printSocketAddress } from '../dns/address.ts';
import { printName } from '../dns/name.ts';
import { type Log, openLog } from '../observability/log.ts';
import type { RegistrarEvent } from '../registrar/registrarEvents.ts';
import { printReason, type RegistrarStatus } from '../registrar/status.ts';
import { HttpListener } from '../server/http/listener.ts';
import type { LeaseStore } from '../store/store.ts';
import { httpLimits, listenProblem } from './httpServer.ts';
import { metricsPage } from './metricsPage.ts';
import { EXIT_CODES, Failure, failureOf } from './process/failure.ts';
import { releaseIdleMemory } from './process/memory.ts';
import { openStore } from './process/openStore.ts';
import {
  exitOnFault,
  type Io,
  lingerMsAfter,
  logLibraryOutput,
  untilAborted,
  version,
} from './process/process.ts';
import { createProcessProbe } from './process/processStats.ts';
import type { RegisterConfig } from './registrar/registrarConfig.ts';
import { registrarLog } from './registrar/registrarLog.ts';
import { type RunningRegistrar, startRegistrar } from './registrar/runningRegistrar.ts';

/** Registers until SIGINT or SIGTERM. Throws a `Failure` if it cannot start. */
export async function register(config: RegisterConfig, io: Io): Promise<number> {
  io.outliveReaders();
  const log = await openLog({ level: config.logLevel, pretty: io.stdout.isTty });
  const endLibraryOutput = logLibraryOutput(log);
  exitOnFault(log);
  for (const note of config.notes) log.warn({}, note);
  const store = await openStore(config.store, io);
  const replaced = new AbortController();
  const registrar = startRegistrar({
    ...config,
    store,
    onEvent: registrarLog(log, () => performance.now()),
    onSocketReplaced: () => replaced.abort(),
  });
  const stopReleasing = releaseIdleMemory();
  try {
    const http = await startPages(config, registrar, log);
    announce(config, { registrar, store, http: http?.where }, log);
    await untilAborted(AbortSignal.any([io.stop, replaced.signal]));
    log.info({ signal: io.stop.reason, onExit: config.settings.onExit }, 'stopping');
    await registrar.close(lingerMsAfter(io.stop.reason));
    await http?.close();
    log.info({}, 'stopped');
  } finally {
    stopReleasing();
    await registrar.close(0);
    await store.close();
    endLibraryOutput();
    log.close();
  }
  return replaced.signal.aborted ? EXIT_CODES.socket_replaced : 0;
}

interface Pages {
  readonly where: string;
  close(): Promise<void>;
}

/**
 * The listener for status and health. A default address that cannot be used does not keep the registrar from starting.
 */
async function startPages(
  { http, httpHosts, mustHaveHttp }: RegisterConfig,
  registrar: RunningRegistrar,
  log: Log,
): Promise<Pages | undefined> {
  if (http === undefined) return undefined;
  const probe = createProcessProbe();
  const metrics = () => ({
    process: probe.stats({ done: 0, failed: 0 }),
    registrar: registrar.status(),
  });
  const listener = new HttpListener({
    readiness: () => registrar.readiness().map(printReason),
    warnings: () => registrar.warnings(),
    page: (exchange) => registrar.page(exchange) ?? metricsPage(exchange, metrics),
    limits: httpLimits(log),
    version: version(),
    allowedHosts: httpHosts,
    onRequest: (line) => log.debug({ ...line }, 'http'),
    onError: (err, line) => log.error({ err, ...line }, 'a request failed'),
    onListenerError: (err) => log.warn({ err }, 'the HTTP listener failed'),
  });
  try {
    const where = printSocketAddress(await listener.listen(http.address, http.port));
    return { where, close: () => listener.close() };
  } catch (error) {
    const { reason } = await listenProblem(error, http, true);
    if (mustHaveHttp)
      throw new Failure(failureOf(error).code, reason, 'choose another address, or --http off');
    log.warn({}, `${reason}; continuing without a status page`);
    return undefined;
  }
}

interface Started {
  readonly registrar: RunningRegistrar;
  readonly store: LeaseStore;
  readonly http: string | undefined;
}

function announce(
  { context, settings }: RegisterConfig,
  { registrar, store, http }: Started,
  log: Log,
): void {
  log.info(
    {
      docker: registrar.docker,
      store: store.label,
      zones: context.zones.map(printName),
      mode: settings.mode,
      http,
    },
    'registering',
  );
}

const POLL_MS = 20;

export interface DryRun {
  readonly status: RegistrarStatus;
  readonly events: readonly RegistrarEvent[];
}

/** Finds out once what the registrar would write. Throws a `Failure` if the engine or the store is unreachable. */
export async function dryRun(config: RegisterConfig, { stop }: Pick<Io, 'stop'>): Promise<DryRun> {
  const store = await openStore(config.store);
  const events: RegistrarEvent[] = [];
  const registrar = startRegistrar({ ...config, store, onEvent: (event) => events.push(event) });
  try {
    while (!registrar.isUpToDate() && !stop.aborted) {
      throwIfLost(events, config.store.kind);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return { status: registrar.status(), events };
  } finally {
    await registrar.close(0);
    await store.close();
  }
}

function throwIfLost(
  events: readonly RegistrarEvent[],
  store: RegisterConfig['store']['kind'],
): void {
  for (const event of events) {
    if (event.kind === 'engineLost') {
      const hint = 'is Docker running? --docker-host chooses another engine';
      throw new Failure('unreachable', event.error.message, hint);
    }
    if (event.kind === 'store' && event.event.kind === 'lost') {
      throw failureOf(event.event.error, store);
    }
    if (event.kind === 'writeFailed' || event.kind === 'leaseFailed') {
      throw failureOf(event.error, store);
    }
  }
}
