/** From the configuration to a listening HTTP server, or to the reason why it cannot listen. */
import { ServiceFollower } from '../ambassador/names/serviceFollower.ts';
import type { Config } from '../config/config.ts';
import { printSocketAddress, type SocketAddress } from '../dns/address.ts';
import type { Name } from '../dns/name.ts';
import type { FaultLog } from '../observability/faultLog.ts';
import type { Log } from '../observability/log.ts';
import { LOCKS } from '../registrar/leadership/lock.ts';
import type { ServiceSource } from '../server/http/api/serviceApi.ts';
import { SharedWatches } from '../server/http/api/sharedWatches.ts';
import type { CacheSource } from '../server/http/cacheApi.ts';
import type { Exchange, HttpReply } from '../server/http/exchange/exchange.ts';
import type { ServerStats } from '../server/http/health.ts';
import { type HttpLimits, limitsWithin } from '../server/http/limits.ts';
import { HttpListener, type HttpListenerOptions } from '../server/http/listener.ts';
import { findPortHolder, printProcess } from '../server/listening/portHolder.ts';
import { configKey, keyPrefix, NAME_TABLES, tablePrefix } from '../service/key.ts';
import type { Mirror } from '../store/mirror.ts';
import type { LeaseStore } from '../store/store.ts';
import { systemClock } from '../timing/clock.ts';
import type { Catalog } from '../zone/tree/catalog.ts';
import type { LiveConfig } from './answering/liveConfig.ts';
import type { NameTables } from './answering/nameTables.ts';
import { openFilesLimit } from './process/openFiles.ts';
import { version } from './process/process.ts';
import { writersOf } from './process/writerToken.ts';

/** Why a server cannot start: one line, and a second one with the fix if the first does not name it. */
export interface StartRefusal {
  readonly kind: 'refused';
  readonly code: 'unreachable' | 'not_permitted';
  readonly reason: string;
  readonly hint?: string;
}

export type HttpOutcome =
  /** `endpoint` is undefined for `--http off`. */
  | {
      readonly kind: 'started';
      readonly endpoint: SocketAddress | undefined;
      close(): Promise<void>;
    }
  | StartRefusal;

export interface HttpSources {
  readonly store: LeaseStore;
  /** The folder of the token file if the store has none. */
  readonly stateDirectory: string | undefined;
  readonly readiness: () => readonly string[];
  readonly warnings: () => readonly string[];
  readonly stats: () => ServerStats;
  readonly services: ServiceSource;
  readonly cache: CacheSource | undefined;
  readonly domains: () => readonly Name[];
  /** As in `HttpListenerOptions`. */
  readonly page: (exchange: Exchange) => HttpReply | undefined;
}

const OFF: HttpOutcome = { kind: 'started', endpoint: undefined, close: async () => {} };

/** Returns a function that starts to listen; call it again after a refusal. Neither rejects. */
export async function prepareHttp(
  config: Config,
  sources: HttpSources,
  log: Log,
): Promise<() => Promise<HttpOutcome>> {
  const { http } = config;
  if (http === undefined) return async () => OFF;
  const { stateDirectory, domains, ...parts } = sources;
  const prefix = keyPrefix(config.pathPrefix);
  const isRemote = config.store.kind === 'etcd' || config.store.kind === 'http';
  const roots = [prefix, LOCKS, ...NAME_TABLES.map((table) => tablePrefix(prefix, table))];
  const options = {
    ...parts,
    watches: isRemote ? new SharedWatches(parts.store, roots) : undefined,
    ...(await writersOf(config, http, stateDirectory, log)),
    limits: httpLimits(log),
    configKey: configKey(prefix),
    challenges: { prefix, domains },
    version: version(),
    allowedHosts: config.httpHosts,
    onRequest: (line) => log.debug({ ...line }, 'http'),
    onError: (err, line) => log.error({ err, ...line }, 'a request failed'),
    onListenerError: (err) => log.warn({ err }, 'the HTTP listener failed'),
  } satisfies HttpListenerOptions;
  return async () => {
    const listener = new HttpListener(options);
    try {
      const endpoint = await listener.listen(http.address, http.port);
      return { kind: 'started', endpoint, close: () => listener.close() };
    } catch (error) {
      // A server that takes over tries again until its predecessor frees the port.
      const problem = await listenProblem(error, http, !config.takeover);
      return { kind: 'refused', ...problem, hint: 'choose another address, or --http off' };
    }
  };
}

/** Follows the services of the server's zones for HTTP clients. */
export function serviceFollowerOf(
  {
    catalog,
    liveConfig,
    mirror,
    nameTables,
  }: {
    readonly catalog: Pick<Catalog, 'root'>;
    readonly liveConfig: Pick<LiveConfig, 'settings'>;
    readonly mirror: Pick<Mirror, 'state'>;
    readonly nameTables: Pick<NameTables, 'facts'>;
  },
  faults: FaultLog,
): ServiceFollower {
  return new ServiceFollower({
    zone: {
      root: catalog.root,
      facts: nameTables.facts,
      settings: () => liveConfig.settings,
      freshness: () => mirror.state().kind,
    },
    clock: systemClock,
    onError: (error) => faults.report(error, 'the state of a service could not be computed'),
  });
}

/** A lower limit reduces the number of simultaneous connections. */
const ENOUGH_FILES = 6144;

/** The HTTP listener's limits in this process. */
export function httpLimits(log: Log): Partial<HttpLimits> {
  const files = openFilesLimit();
  if (files === undefined) return {};
  const limits = limitsWithin(files);
  if (files < ENOUGH_FILES) {
    const { maxConnections } = limits;
    const fix = `ulimit -n ${ENOUGH_FILES}, or LimitNOFILE= in a unit`;
    log.warn(
      { files, maxConnections },
      `the open-file limit is low and reduces HTTP connections; raise it: ${fix}`,
    );
  }
  return limits;
}

/** Why the listener cannot listen. `namesHolder`: look for the process that uses the port, which reads all of /proc. */
export async function listenProblem(
  error: unknown,
  where: SocketAddress,
  namesHolder: boolean,
): Promise<Pick<StartRefusal, 'code' | 'reason'>> {
  const { code = 'failed' } = error as { code?: string };
  const holder =
    namesHolder && code === 'EADDRINUSE'
      ? await findPortHolder('tcp', where.address, where.port)
      : undefined;
  const cause = holder === undefined ? code : `in use by ${printProcess(holder)}`;
  return {
    code: code === 'EACCES' ? 'not_permitted' : 'unreachable',
    reason: `--http: cannot listen on ${printSocketAddress(where)} (${cause})`,
  };
}
