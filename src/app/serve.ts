/** `soradns serve` as a process: opens the log, starts the server, waits for a signal, stops. */
import type { Config, ConfigResult } from '../config/config.ts';
import { printSocketAddress } from '../dns/address.ts';
import { printName } from '../dns/name.ts';
import { type Log, openLog } from '../observability/log.ts';
import { printable } from '../observability/printable.ts';
import { type EngineEndpoint, endpointLabel } from '../registrar/engine/endpoint.ts';
import { EXIT_CODES, Failure } from './process/failure.ts';
import { inheritedSockets } from './process/inheritedSockets.ts';
import { limitNewSpace, releaseIdleMemory } from './process/memory.ts';
import {
  exitOnFault,
  type Io,
  lameDuckMsAfter,
  lingerMsAfter,
  logLibraryOutput,
  untilAborted,
} from './process/process.ts';
import { superviseBy } from './process/supervisor.ts';
import type { Server } from './server.ts';

export interface ServeOptions {
  readonly config: Config;
  /** The engine whose containers are registered, if any. */
  readonly docker: EngineEndpoint | undefined;
  /** Warnings for the log about options without the expected effect. */
  readonly notes: readonly string[];
  /** Lines for the log about values that `up` has chosen. */
  readonly decisions: readonly string[];
  /** Reads the configuration from its sources again. */
  readonly readAgain: () => ConfigResult<Config>;
}

/** Serves until `io.stop` is aborted. Throws a `Failure` if the server cannot start. */
export async function serve(options: ServeOptions, io: Io): Promise<number> {
  const endLimit = limitNewSpace();
  io.outliveReaders();
  const log = await openLog({ level: options.config.logLevel, pretty: io.stdout.isTty });
  const endLibraryOutput = logLibraryOutput(log);
  exitOnFault(log);
  try {
    return await serveUntilStopped(options, io, log, endLimit);
  } finally {
    log.close();
    endLibraryOutput();
  }
}

async function serveUntilStopped(
  options: ServeOptions,
  io: Io,
  log: Log,
  onStarted: () => void,
): Promise<number> {
  const { config, docker, notes, decisions, readAgain } = options;
  for (const note of notes) log.warn({}, note);
  for (const decision of decisions) log.info({}, decision);
  const replaced = new AbortController();
  const reloads = new Reloads(io);
  const server = await start(options, io, log, () => replaced.abort());
  onStarted();
  if (server === undefined) {
    log.info({ signal: io.stop.reason }, 'stopped before serving');
    return 0;
  }
  const supervisor = superviseBy(
    io.env,
    () => statusOf(server),
    (text) => log.warn({}, text),
  );
  supervisor?.ready();
  reloads.begin(() => {
    supervisor?.reloading();
    server.reload(readAgain());
    supervisor?.ready();
  });
  announce(server, config, docker, log);
  void hintWhenEmpty(server, config, io);
  const stopReleasing = releaseIdleMemory();
  // A replaced Docker socket ends registering, so the process exits for a restart; the lease keeps the names meanwhile.
  await untilAborted(AbortSignal.any([io.stop, replaced.signal]));
  log.info({ signal: io.stop.reason }, 'stopping');
  supervisor?.stopping();
  stopReleasing();
  await server.close({
    lameDuckMs: lameDuckMsAfter(io.stop.reason, server.config().lameDuckSeconds),
    // A memory store ends with this process, so its records need no removal.
    lingerMs: config.store.kind === 'memory' ? 0 : lingerMsAfter(io.stop.reason),
  });
  supervisor?.close();
  const { queries, replies, shed, sendErrors } = server.stats().udp;
  log.info({ udp: { queries, replies, shed, sendErrors } }, 'stopped');
  return replaced.signal.aborted ? EXIT_CODES.socket_replaced : 0;
}

/** A reload that is asked for during the start happens after it. */
class Reloads {
  #reload: (() => void) | undefined;
  #isDue = false;

  constructor(io: Pick<Io, 'onReload'>) {
    io.onReload(() => {
      if (this.#reload === undefined) this.#isDue = true;
      else this.#reload();
    });
  }

  begin(reload: () => void): void {
    this.#reload = reload;
    if (this.#isDue) reload();
  }
}

/** Undefined if `io.stop` was aborted first. */
async function start(
  { config, docker }: ServeOptions,
  io: Io,
  log: Log,
  onSocketReplaced: () => void,
): Promise<Server | undefined> {
  const inherited = await inheritedSockets(config.systemd, io.env);
  const { stop, stateDirectory } = io;
  const startOptions = { docker, inherited, stop, stateDirectory, onSocketReplaced };
  const { startServer } = await import('./server.ts');
  const outcome = await startServer(config, log, startOptions);
  switch (outcome.kind) {
    case 'started':
      return outcome.server;
    case 'stopped':
      return undefined;
    case 'refused':
      throw new Failure(outcome.code, outcome.reason, outcome.hint);
  }
}

/** One line for the service manager. */
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
      ...(server.secure && {
        dot: server.secure.dot.map(printSocketAddress),
        doh: server.secure.doh.map(printSocketAddress),
        dohPlain: server.secure.dohPlain.map(printSocketAddress),
      }),
      http: server.http && printSocketAddress(server.http),
      domains: config.domains.map(printName),
      store: server.store,
      docker: docker && endpointLabel(docker),
    },
    'serving',
  );
}

/**
 * Shows a newcomer what to try, on a terminal and with an empty store. The log is for machines, so this is not in it.
 */
async function hintWhenEmpty(server: Server, config: Config, io: Io): Promise<void> {
  if (!io.stderr.isTty) return;
  const [dns] = server.endpoints;
  // With --http-writers token the line would need the token, which must not be shown.
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
