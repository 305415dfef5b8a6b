/**
 * app/: The running program: assembly, life cycle, live configuration, metrics.
 * Imports: every folder.
 * Used by: cli/commands.
 *
 * The composition root: from a configuration to a running server. Everything else takes its parts as arguments; they are
 * made by `serverParts`, and here started in the order in which they need each other, and stopped in the reverse one.
 * Nothing waits for the store: the listeners are there at once, and answer for themselves until it was read. But a
 * server that takes over waits until it has read the store, 60 s at most, before it shares another's addresses.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Config, ConfigResult } from '../config/config.ts';
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
} from '../server/listen.ts';
import { type HttpOutcome, type StartRefusal, startHttp } from './httpServer.ts';
import { metricsOf, metricsPage } from './metricsPage.ts';
import { openStore } from './process/storeAccess.ts';
import { ServerRegistrar } from './registrar/serverRegistrar.ts';
import { assemble, closeParts, type ServerParts, statsOf, storeReasons } from './serverParts.ts';
import { giveWay, httpLater, prepareTakeover, warmUp } from './takeover.ts';

export interface Server {
  /** Where DNS is answered, with the ports that were really got. */
  readonly endpoints: readonly SocketAddress[];
  readonly http: SocketAddress | undefined;
  /** The store's label, without credentials. */
  readonly store: string;
  /** Resolves once the store was read to its end. */
  readonly loaded: Promise<Loaded>;
  /** Why the server is not ready; empty when it is. */
  readiness(): readonly string[];
  stats(): ServerStats;
  /** The configuration in force. */
  config(): Config;
  /** Puts the configuration that was read again in force, or says why not. */
  reload(read: ConfigResult<Config>): void;
  /** Is not ready from here on. Stops taking questions, answers those that are there, and frees everything. */
  close(waits?: Partial<Waits>): Promise<void>;
}

/** What comes before the end, side by side. */
export interface Waits {
  /** Questions are answered for so long yet, so that whoever looks at the readiness can go elsewhere. */
  readonly lameDuckMs: number;
  /** The registrar serves deaths for so long. */
  readonly lingerMs: number;
}

export interface Loaded {
  readonly services: number;
  /** Those of the store's configuration, where it counts. */
  readonly domains: readonly Name[];
}

export type StartOutcome =
  | { readonly kind: 'started'; readonly server: Server }
  /** It was told to stop while it waited for its turn to take over. All is freed. */
  | { readonly kind: 'stopped' }
  /** An address could not be had. */
  | StartRefusal;

export interface StartOptions {
  /** The engine to register from, if any. */
  readonly docker?: EngineEndpoint | undefined;
  /** Served instead of `config.addr`, if there are any. */
  readonly inherited?: readonly InheritedSocket[];
  /** For what a server keeps besides its store; without one it keeps nothing. */
  readonly stateDirectory?: string;
  /** Ends the waiting of one that is to take over; `close` ends a server that has started. */
  readonly stop?: AbortSignal;
  /** The engine has a new socket that only a new start of this process leads to. */
  readonly onSocketReplaced?: () => void;
}

/** Rejects with a `StoreError` when an embedded store cannot be opened. */
export async function startServer(
  config: Config,
  log: Log,
  options: StartOptions = {},
): Promise<StartOutcome> {
  const { docker, stateDirectory, onSocketReplaced = () => {} } = options;
  const onWarning = (line: string) => log.warn({}, line);
  const parts = assemble(
    config,
    await openStore(config.store, { stateDirectory, repair: config.storeRepair, onWarning }),
    log,
  );
  const whenLoaded = loaded(parts);
  const taken = await takeAddresses(config, parts, whenLoaded, options);
  if (taken.kind !== 'taken') return taken;
  const registrar =
    docker && new ServerRegistrar(config, docker, parts.store, log, onSocketReplaced);
  const running = { config, log, parts, registrar, endpoints: taken.endpoints, stateDirectory };
  const standing = { stopping: false };
  const readiness = readinessOf(running, standing);
  const http = await startPages(running, readiness);
  if (http.kind === 'refused') {
    await closeParts(parts);
    return http;
  }
  if (!config.takeover) parts.mirror.start();
  // By then they may be others than those that were loaded.
  void whenLoaded.then(() => registrar?.start(parts.liveConfig.config.domains));
  parts.liveConfig.onChanged(() => registrar?.setDomains(parts.liveConfig.config.domains));
  const server: Server = {
    endpoints: running.endpoints,
    http: http.endpoint,
    store: parts.store.label,
    loaded: whenLoaded,
    readiness,
    stats: () => statsOf(parts),
    config: () => parts.liveConfig.config,
    reload: (read) => parts.liveConfig.reload(read),
    async close({ lameDuckMs = 0, lingerMs = 0 } = {}) {
      standing.stopping = true;
      const settleMs = await giveWay(running.endpoints, [parts.udp, parts.tcp], log);
      await Promise.all([pause(Math.max(lameDuckMs, settleMs)), registrar?.close(lingerMs)]);
      await http.close();
      await closeParts(parts);
    },
  };
  return { kind: 'started', server };
}

/** What the rest of the start works with. */
interface Starting {
  readonly config: Config;
  readonly log: Log;
  readonly parts: ServerParts;
  readonly registrar: ServerRegistrar | undefined;
  readonly endpoints: readonly SocketAddress[];
  readonly stateDirectory: string | undefined;
}

type Listening =
  | { readonly kind: 'taken'; readonly endpoints: readonly SocketAddress[] }
  | Exclude<StartOutcome, { kind: 'started' }>;

/** Listens, in the place of a predecessor only when all is ready. Where it does not, everything is freed. */
async function takeAddresses(
  config: Config,
  parts: ServerParts,
  whenLoaded: Promise<Loaded>,
  { inherited = [], stop }: StartOptions,
): Promise<Listening> {
  if (config.takeover) {
    parts.mirror.start();
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
  if (listening.kind === 'listening') return { kind: 'taken', endpoints: listening.endpoints };
  await closeParts(parts);
  return refusal(listening);
}

function readinessOf(
  { parts, registrar }: Starting,
  standing: { readonly stopping: boolean },
): () => readonly string[] {
  return () => [
    ...(standing.stopping ? ['server: stopping'] : []),
    ...storeReasons(parts.mirror.state(), parts.store),
    ...(registrar?.readiness() ?? []),
  ];
}

function startPages(
  { config, log, parts, registrar, stateDirectory }: Starting,
  readiness: () => readonly string[],
): Promise<HttpOutcome> {
  const page = (exchange: Exchange) =>
    registrar?.page(exchange) ?? metricsPage(exchange, () => metricsOf(parts, registrar));
  const stats = () => statsOf(parts);
  const warnings = () => registrar?.warnings() ?? [];
  const sources = { store: parts.store, stateDirectory, readiness, warnings, stats, page };
  const start = () => startHttp(config, sources, log);
  return config.takeover ? httpLater(start, log) : start();
}

async function loaded({ mirror, catalog, liveConfig }: ServerParts): Promise<Loaded> {
  await mirror.waitFor(0);
  return { services: catalog.size, domains: liveConfig.config.domains };
}

/** For an address that the host has, but not the container that looks for it. */
const FOREIGN_HINT = "in a container give it the host's network (--network host), or choose --addr";

function refusal(failure: ListenFailure): StartRefusal {
  return {
    kind: 'refused',
    code: failure.kind === 'forbidden' ? 'not_permitted' : 'unreachable',
    reason: describeListenFailure(failure),
    ...(failure.kind === 'foreign' ? { hint: FOREIGN_HINT } : {}),
  };
}
