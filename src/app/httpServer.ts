/** From the configuration to an HTTP listener that listens, or the reason why it does not. */
import type { Config } from '../config/config.ts';
import { printSocketAddress, type SocketAddress } from '../dns/address.ts';
import type { Log } from '../observability/log.ts';
import { LOCKS } from '../registrar/leadership/lock.ts';
import { type HttpLimits, limitsWithin } from '../server/http/admission.ts';
import { shareWatches } from '../server/http/api/sharedWatches.ts';
import type { Exchange, HttpReply } from '../server/http/exchange/exchange.ts';
import type { ServerStats } from '../server/http/health.ts';
import { HttpListener } from '../server/http/listener.ts';
import { configKey, keyPrefix } from '../service/key.ts';
import type { LeaseStore } from '../store/store.ts';
import { openFilesLimit } from './process/process.ts';
import { writersOf } from './process/writerToken.ts';
import { version } from './processStats.ts';

/** Why a server cannot be: one line, and one of what to do if that one does not say it. */
export interface StartRefusal {
  readonly kind: 'refused';
  readonly code: 'unreachable' | 'not_permitted';
  readonly reason: string;
  readonly hint?: string;
}

export type HttpOutcome =
  /** `endpoint` is undefined where none is wanted. */
  | {
      readonly kind: 'started';
      readonly endpoint: SocketAddress | undefined;
      close(): Promise<void>;
    }
  | StartRefusal;

export interface HttpSources {
  readonly store: LeaseStore;
  /** Where the token file is, if the store has no folder. */
  readonly stateDirectory: string | undefined;
  readonly readiness: () => readonly string[];
  readonly warnings: () => readonly string[];
  readonly stats: () => ServerStats;
  /** As the listener's. */
  readonly page: (exchange: Exchange) => HttpReply | undefined;
}

/** Never rejects. */
export async function startHttp(
  config: Config,
  sources: HttpSources,
  log: Log,
): Promise<HttpOutcome> {
  const { http } = config;
  if (http === undefined) return { kind: 'started', endpoint: undefined, close: async () => {} };
  const { stateDirectory, ...parts } = sources;
  const prefix = keyPrefix(config.pathPrefix);
  const isElsewhere = config.store.kind === 'etcd' || config.store.kind === 'http';
  const store = isElsewhere ? shareWatches(parts.store, [prefix, LOCKS]) : parts.store;
  const listener = new HttpListener({
    ...parts,
    store,
    ...(await writersOf(config, http, stateDirectory, log)),
    limits: httpLimits(log),
    configKey: configKey(prefix),
    version: version(),
    allowedHosts: config.httpHosts,
    onRequest: (line) => log.debug({ ...line }, 'http'),
    onError: (err, line) => log.error({ err, ...line }, 'a request failed'),
    onListenerError: (err) => log.warn({ err }, 'listener'),
  });
  try {
    const endpoint = await listener.listen(http.address, http.port);
    return { kind: 'started', endpoint, close: () => listener.close() };
  } catch (error) {
    return refusal(error, http);
  }
}

/** With fewer there are fewer connections at once than there would be else. */
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

function refusal(error: unknown, where: SocketAddress): HttpOutcome {
  const { code = 'failed' } = error as { code?: string };
  return {
    kind: 'refused',
    code: code === 'EACCES' ? 'not_permitted' : 'unreachable',
    reason: `--http: cannot listen on ${printSocketAddress(where)} (${code}); choose another address, or --http off`,
  };
}
