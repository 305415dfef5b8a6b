/**
 * app/: The running program: assembly, life cycle, live configuration, metrics.
 * Imports: every folder.
 * Used by: cli/commands, cli/host, cli/linking.
 *
 * The composition root: `assemble` (serverParts.ts) makes the parts of a server, and `startServer` starts them in the
 * order of their dependencies; `close` stops them in reverse. Listening does not wait for the store: until the store is
 * read, the server answers SERVFAIL. A server that takes over reads the store first, for 60 s at most, and then shares
 * its predecessor's addresses.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Config, ConfigResult } from '../config/config.ts';
import type { AmbassadorSettings } from '../config/options/ambassadorOptions.ts';
import type { SocketAddress } from '../dns/address.ts';
import type { Name } from '../dns/name.ts';
import type { Log } from '../observability/log.ts';
import type { EngineEndpoint } from '../registrar/engine/endpoint.ts';
import type { Exchange } from '../server/http/exchange/exchange.ts';
import type { ServerStats } from '../server/http/health.ts';
import {
  adoptAll,
  describeListenFailure,
  type InheritedSocket,
  type ListenFailure,
  listenAll,
} from '../server/listening/listen.ts';
import { cacheSourceOf } from './answering/outsideCache.ts';
import type { SecureEndpoints } from './answering/secureListeners.ts';
import { type HttpOutcome, prepareHttp, type StartRefusal } from './httpServer.ts';
import { metricsOf, metricsPage } from './metricsPage.ts';
import { storeReasons } from './process/mirrorReports.ts';
import { openStore } from './process/openStore.ts';
import { readServerPair, readUpstreamCa } from './process/pemFiles.ts';
import type { ServerRegistrar } from './registrar/serverRegistrar.ts';
import {
  assemble,
  type CreateAmbassador,
  closeParts,
  type ServerParts,
  startMirrors,
  statsOf,
} from './serverParts.ts';
import { divertToSuccessor, httpLater, prepareTakeover, warmUp } from './takeover.ts';

export interface Server {
  /** The addresses that answer DNS, with the actual ports. */
  readonly endpoints: readonly SocketAddress[];
  /** The addresses of DNS over TLS and over HTTPS; undefined without them. */
  readonly secure: SecureEndpoints | undefined;
  readonly http: SocketAddress | undefined;
  /** The store's label, without credentials. */
  readonly store: string;
  /** Resolves once the store has been read completely. */
  readonly loaded: Promise<Loaded>;
  /** Why the server is not ready; empty if it is. */
  readiness(): readonly string[];
  stats(): ServerStats;
  /** The configuration in force. */
  config(): Config;
  /** Applies a configuration that was read again, or logs why not. */
  reload(read: ConfigResult<Config>): void;
  /** Makes the server unready, stops accepting queries, answers those received, and frees everything. */
  close(waits?: Partial<Waits>): Promise<void>;
}

/** How long `close` waits before it stops; the waits run in parallel. */
export interface Waits {
  /** Queries are still answered, so that a load balancer can notice `/readyz` and choose another server. */
  readonly lameDuckMs: number;
  /** The registrar still removes the records of containers that stop. */
  readonly lingerMs: number;
}

export interface Loaded {
  readonly services: number;
  /** Includes the domains of the configuration in the store. */
  readonly domains: readonly Name[];
}

export type StartOutcome =
  | { readonly kind: 'started'; readonly server: Server }
  /** `stop` was aborted before the takeover. Everything is freed. */
  | { readonly kind: 'stopped' }
  /** An address could not be used. Everything is freed. */
  | StartRefusal;

export interface StartOptions {
  /** The engine whose containers are registered. */
  readonly docker?: EngineEndpoint | undefined;
  /** Sockets to serve instead of `config.addr`; empty: serve `config.addr`. */
  readonly inherited?: readonly InheritedSocket[];
  /** The folder for the token file if the store has none; without it the server keeps no token. */
  readonly stateDirectory?: string;
  /** Ends the wait before a takeover; `close` stops a server that has started. */
  readonly stop?: AbortSignal;
  /** Docker has replaced its socket, and only a restart of this container reaches the new one. */
  readonly onSocketReplaced?: () => void;
}

/**
 * Throws a `Failure` if an embedded store cannot be opened, if this host cannot have an ambassador of these settings,
 * or if a file of certificates cannot be read.
 */
export async function startServer(
  config: Config,
  log: Log,
  options: StartOptions = {},
): Promise<StartOutcome> {
  const { docker, stateDirectory, onSocketReplaced = () => {} } = options;
  if (config.ambassador !== undefined) {
    const { refuseRangeClash } = await import('./ambassador/serverAmbassador.ts');
    await refuseRangeClash(config.ambassador);
  }
  if (config.upstreamCaFile !== undefined) readUpstreamCa(config.upstreamCaFile);
  readServerPair(config);
  const onWarning = (line: string) => log.warn({}, line);
  const parts = assemble(
    config,
    await openStore(config.store, { stateDirectory, repair: config.storeRepair, onWarning }),
    log,
    config.ambassador && (await ambassadorMaker(config.ambassador, config, log)),
  );
  const whenLoaded = loaded(parts);
  const listening = await listen(config, parts, whenLoaded, options);
  if (listening.kind !== 'listening') return listening;
  const registrar = docker && (await createRegistrar(config, docker, parts, log, onSocketReplaced));
  const starting = {
    config,
    log,
    parts,
    registrar,
    endpoints: listening.endpoints,
    stateDirectory,
  };
  const closing = { hasBegun: false };
  const readiness = readinessOf(starting, closing);
  const http = await startPages(starting, readiness);
  if (http.kind === 'refused') {
    await closeParts(parts);
    return http;
  }
  if (!config.takeover) startMirrors(parts);
  // The domains may change between loading and this moment, so they are read here.
  void whenLoaded.then(() => startHostParts(starting));
  parts.liveConfig.onChanged(() => registrar?.setDomains(parts.liveConfig.config.domains));
  const server: Server = {
    endpoints: starting.endpoints,
    secure: parts.secure?.endpoints,
    http: http.endpoint,
    store: parts.store.label,
    loaded: whenLoaded,
    readiness,
    stats: () => statsOf(parts),
    config: () => parts.liveConfig.config,
    reload(read) {
      parts.liveConfig.reload(read);
      parts.secure?.certificate?.look();
    },
    async close({ lameDuckMs = 0, lingerMs = 0 } = {}) {
      closing.hasBegun = true;
      const { udp, tcp, secure } = parts;
      const listeners = [udp, tcp, ...(secure === undefined ? [] : [secure])];
      const divertedMs = await divertToSuccessor(starting.endpoints, listeners, log);
      await Promise.all([pause(Math.max(lameDuckMs, divertedMs)), registrar?.close(lingerMs)]);
      await http.close();
      await closeParts(parts);
    },
  };
  return { kind: 'started', server };
}

/**
 * Opens the ambassador's plane, and loads its module, which other servers do not need. Throws a `Failure` if the plane of
 * `--plane` cannot be opened.
 */
async function ambassadorMaker(
  settings: AmbassadorSettings,
  { addr }: Config,
  log: Log,
): Promise<CreateAmbassador> {
  const [{ ServerAmbassador }, { openHostPlane }] = await Promise.all([
    import('./ambassador/serverAmbassador.ts'),
    import('./ambassador/kernelHostPlane.ts'),
  ]);
  const dnsAddresses = addr.map(({ address }) => address);
  const plane = await openHostPlane(settings, dnsAddresses, log);
  return (options) => new ServerAmbassador({ ...options, plane });
}

/** Loads the registrar's module, which other servers do not need. */
async function createRegistrar(
  ...parts: ConstructorParameters<typeof ServerRegistrar>
): Promise<ServerRegistrar> {
  return new (await import('./registrar/serverRegistrar.ts')).ServerRegistrar(...parts);
}

/** Starts what reads and serves this host's containers, once the store has been read. */
async function startHostParts({ parts, registrar }: Starting): Promise<void> {
  const { ambassador, liveConfig } = parts;
  await registrar?.start(liveConfig.config.domains);
  const host = registrar?.host();
  if (host !== undefined) ambassador?.follow(host);
  registrar?.explainVirtualAddresses((name, vip) => ambassador?.virtualStateOf(name, vip));
  await ambassador?.open();
}

/** What the later steps of the start need. */
interface Starting {
  readonly config: Config;
  readonly log: Log;
  readonly parts: ServerParts;
  readonly registrar: ServerRegistrar | undefined;
  readonly endpoints: readonly SocketAddress[];
  readonly stateDirectory: string | undefined;
}

type Listening =
  | { readonly kind: 'listening'; readonly endpoints: readonly SocketAddress[] }
  | Exclude<StartOutcome, { kind: 'started' }>;

/** Listens on the addresses; in a takeover, only once the answers are ready. Frees everything if that fails. */
async function listen(
  config: Config,
  parts: ServerParts,
  whenLoaded: Promise<Loaded>,
  { inherited = [], stop }: StartOptions,
): Promise<Listening> {
  if (config.takeover) {
    startMirrors(parts);
    const { catalog, slowPath, udp } = parts;
    const warm = () => warmUp(catalog.root, slowPath.respondQuietly);
    const prepared = await prepareTakeover({ loaded: whenLoaded, warmUp: warm, udp }, stop);
    if (prepared.kind !== 'ready') {
      await closeParts(parts);
      return prepared;
    }
  }
  const listening = await (inherited.length > 0
    ? adoptAll(inherited, parts)
    : listenAll(config.addr, parts));
  const { secure } = parts;
  const failure = listening.kind === 'listening' ? await secure?.listen() : listening;
  if (listening.kind === 'listening' && failure === undefined) return listening;
  await closeParts(parts);
  return refusalOf(failure as ListenFailure);
}

function readinessOf(
  { parts, registrar }: Starting,
  closing: { readonly hasBegun: boolean },
): () => readonly string[] {
  return () => [
    ...(closing.hasBegun ? ['server: stopping'] : []),
    ...storeReasons(parts.mirror.state(), parts.store),
    ...(registrar?.readiness() ?? []),
    ...(parts.ambassador?.readiness() ?? []),
    ...parts.dnssec.readiness(),
  ];
}

async function startPages(
  { config, log, parts, registrar, stateDirectory }: Starting,
  readiness: () => readonly string[],
): Promise<HttpOutcome> {
  const page = (exchange: Exchange) =>
    registrar?.page(exchange) ??
    parts.ambassador?.page(exchange) ??
    metricsPage(exchange, () => metricsOf(parts, registrar));
  const stats = () => statsOf(parts);
  const warnings = () => registrar?.warnings() ?? [];
  const { store, services } = parts;
  const cache = cacheSourceOf(parts);
  const domains = () => parts.liveConfig.config.domains;
  const sources = {
    ...{ store, services, cache, domains, stateDirectory },
    ...{ readiness, warnings, stats, page },
  };
  const start = await prepareHttp(config, sources, log);
  return config.takeover ? httpLater(start, log) : start();
}

async function loaded({ mirror, catalog, liveConfig }: ServerParts): Promise<Loaded> {
  await mirror.waitFor(0);
  return { services: catalog.size, domains: liveConfig.config.domains };
}

/** A container without the host's network does not have the host's addresses. */
function foreignHint({ option = '--addr' }: ListenFailure): string {
  return `in a container, share the host's network (--network host); otherwise choose another ${option}`;
}

function refusalOf(failure: ListenFailure): StartRefusal {
  return {
    kind: 'refused',
    code: failure.kind === 'forbidden' ? 'not_permitted' : 'unreachable',
    reason: describeListenFailure(failure),
    ...(failure.kind === 'foreign' ? { hint: foreignHint(failure) } : {}),
  };
}
