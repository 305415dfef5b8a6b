/** `soradns serve` as a process: log, start, say where, wait for a signal, stop. */
import type { Config, ConfigResult } from '../config/config.ts';
import { printSocketAddress } from '../dns/address.ts';
import { printName } from '../dns/name.ts';
import { type Log, openLog } from '../observability/log.ts';
import { printable } from '../observability/printable.ts';
import { type EngineEndpoint, endpointLabel } from '../registrar/engine/endpoint.ts';
import { EXIT_CODES, Failure } from './process/failure.ts';
import {
  exitOnFault,
  type Io,
  lameDuckMsAfter,
  lingerMsAfter,
  logLibraryOutput,
  untilAborted,
} from './process/process.ts';
import { inheritedSockets, superviseBy } from './process/systemd.ts';
import { type Server, startServer } from './server.ts';

export interface ServeOrders {
  readonly config: Config;
  /** The engine whose containers are registered, if any are. */
  readonly docker: EngineEndpoint | undefined;
  /** For the log: what was told and has no effect, or not the one that it seems to have. */
  readonly notes: readonly string[];
  /** For the log: what was decided for lack of being told. */
  readonly decisions: readonly string[];
  /** The configuration as its sources have it by then. */
  readonly readAgain: () => ConfigResult<Config>;
}

/** Serves until `io.stop`, which the caller has taken the signals for. Throws a `Failure` when it cannot begin. */
export async function serve(orders: ServeOrders, io: Io): Promise<number> {
  io.outliveReaders();
  const { logLevel } = orders.config;
  const log = await openLog({ level: logLevel, pretty: io.stdout.isTty });
  const endLibraryOutput = logLibraryOutput(log);
  exitOnFault(log);
  return serveWith(log, orders, io).finally(endLibraryOutput);
}

async function serveWith(log: Log, orders: ServeOrders, io: Io): Promise<number> {
  const { config, docker, notes, decisions, readAgain } = orders;
  for (const note of notes) log.warn({}, note);
  for (const decision of decisions) log.info({}, decision);
  const replaced = new AbortController();
  const server = await started(orders, io, log, () => replaced.abort());
  if (server === undefined) return ended(io, log);
  const supervisor = superviseBy(
    io.env,
    () => statusOf(server),
    (text) => log.warn({}, text),
  );
  supervisor?.ready();
  io.onReload(() => {
    supervisor?.reloading();
    server.reload(readAgain());
    supervisor?.ready();
  });
  announce(server, config, docker, log);
  void hintWhenEmpty(server, config, io);
  // Without a new mount nothing is registered any more, and the names that there are stay for the lease.
  await untilAborted(AbortSignal.any([io.stop, replaced.signal]));
  log.info({ signal: io.stop.reason }, 'stopping');
  supervisor?.stopping();
  await server.close({
    lameDuckMs: lameDuckMsAfter(io.stop.reason, server.config().lameDuckSeconds),
    // What a memory store holds is gone anyway.
    lingerMs: config.store.kind === 'memory' ? 0 : lingerMsAfter(io.stop.reason),
  });
  supervisor?.close();
  const { queries, replies, shed, sendErrors } = server.stats().udp;
  log.info({ udp: { queries, replies, shed, sendErrors } }, 'stopped');
  log.close();
  return replaced.signal.aborted ? EXIT_CODES.socket_replaced : 0;
}

/** Undefined where it was told to stop first. */
async function started(
  { config, docker }: ServeOrders,
  io: Io,
  log: Log,
  onSocketReplaced: () => void,
): Promise<Server | undefined> {
  const inherited = await inheritedSockets(config.systemd, io.env);
  const { stop, stateDirectory } = io;
  const options = { docker, inherited, stop, stateDirectory, onSocketReplaced };
  const outcome = await startServer(config, log, options);
  switch (outcome.kind) {
    case 'started':
      return outcome.server;
    case 'stopped':
      return undefined;
    case 'refused':
      log.close();
      throw new Failure(outcome.code, outcome.reason, outcome.hint);
  }
}

function ended(io: Io, log: Log): number {
  log.info({ signal: io.stop.reason }, 'stopped before anything was served');
  log.close();
  return 0;
}

/** One line, for a service manager. */
function statusOf(server: Server): string {
  const [reason] = server.readiness();
  if (reason !== undefined) return printable(`not ready: ${reason}`);
  return `serving ${server.endpoints.map(printSocketAddress).join(', ')} from ${server.store}`;
}

function announce(
  server: Server,
  config: Config,
  docker: EngineEndpoint | undefined,
  log: Log,
): void {
  log.info(
    {
      dns: server.endpoints.map(printSocketAddress),
      http: server.http && printSocketAddress(server.http),
      domains: config.domains.map(printName),
      store: server.store,
      docker: docker && endpointLabel(docker),
    },
    'serving',
  );
}

/** On a store without a single service, and a terminal: what a newcomer can try. Logs are for machines. */
async function hintWhenEmpty(server: Server, config: Config, io: Io): Promise<void> {
  if (!io.stderr.isTty) return;
  const [dns] = server.endpoints;
  // Where the token is needed the line would not work as it stands, and the token is not for showing.
  if (dns === undefined || server.http === undefined || config.httpWriters === 'token') return;
  const { services, domains } = await server.loaded;
  const [apex] = domains;
  if (services > 0 || apex === undefined || io.stop.aborted) return;
  const name = printName(['1', 'rails', 'production', 'east', ...apex]).slice(0, -1);
  const key = name.split('.').reverse().join('/');
  const lines = [
    `curl -XPUT http://${printSocketAddress(server.http)}/v2/keys/${config.pathPrefix}/${key} \\`,
    `     -d value='{"host":"service1.example.com","port":8080}'`,
    ...(config.registrar ? [`docker run -e DNS_NAME=${name} -p 8080:8080 IMAGE`] : []),
    `dig @${dns.address} -p ${dns.port} SRV ${name}`,
  ].map((line) => `  ${line}\n`);
  io.stderr.write(`\nNo services yet. Try, in another terminal:\n\n${lines.join('')}\n`);
}
