/** `soradns ambassador` as a process: opens its sockets, follows the backends, waits for a signal, drains, stops. */
import { printSocketAddress } from '../dns/address.ts';
import { type Log, openLog } from '../observability/log.ts';
import { HttpListener } from '../server/http/listener.ts';
import type { AmbassadorConfig } from './ambassador/ambassadorConfig.ts';
import { ProxyAmbassador } from './ambassador/proxyAmbassador.ts';
import { httpLimits, listenProblem } from './httpServer.ts';
import { metricsPage } from './metricsPage.ts';
import { Failure, failureOf } from './process/failure.ts';
import { releaseIdleMemory } from './process/memory.ts';
import { createMirrorLog } from './process/mirrorReports.ts';
import {
  exitOnFault,
  type Io,
  logLibraryOutput,
  untilAborted,
  version,
} from './process/process.ts';
import { createProcessProbe } from './process/processStats.ts';

/** How long connections may continue after SIGTERM: docker kills a container after 10 s. */
const CLOSE_DRAIN_MS = 8_000;

/** Carries connections until SIGINT or SIGTERM. Throws a `Failure` if it cannot start. */
export async function ambassador(config: AmbassadorConfig, io: Io): Promise<number> {
  io.outliveReaders();
  const log = await openLog({ level: config.settings.logLevel, pretty: io.stdout.isTty });
  const endLibraryOutput = logLibraryOutput(log);
  exitOnFault(log);
  for (const note of config.notes) log.warn({}, note);
  const logEvent = createMirrorLog(log);
  const running = await ProxyAmbassador.start(config, log, (event) => logEvent(event, {}));
  const stopReleasing = releaseIdleMemory();
  try {
    const http = await startPages(config, running, log);
    log.info({ routes: running.routeTexts(), http: http?.where }, 'carrying connections');
    await untilAborted(io.stop);
    log.info({ signal: io.stop.reason }, 'stopping');
    await running.drain(io.stop.reason === 'SIGTERM' ? CLOSE_DRAIN_MS : 0);
    await http?.close();
    log.info({}, 'stopped');
  } finally {
    stopReleasing();
    await running.close();
    endLibraryOutput();
    log.close();
  }
  return 0;
}

async function startPages({ settings }: AmbassadorConfig, running: ProxyAmbassador, log: Log) {
  const { http, httpHosts } = settings;
  if (http === undefined) return undefined;
  const probe = createProcessProbe();
  const metrics = () => ({
    process: probe.stats({ done: 0, failed: 0 }),
    ambassador: running.metrics(),
  });
  const listener = new HttpListener({
    readiness: () => running.readiness(),
    warnings: () => [],
    page: (exchange) => running.page(exchange) ?? metricsPage(exchange, metrics),
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
    throw new Failure(failureOf(error).code, reason, 'choose another address, or --http off');
  }
}
