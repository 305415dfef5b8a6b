/** From the configuration to an HTTP listener that listens, or the reason why it does not. */
import type { Config } from '../config.ts';
import { printSocketAddress, type SocketAddress } from '../dns/socketAddress.ts';
import type { Log } from '../log.ts';
import type { Exchange, Reply } from '../server/http/exchange.ts';
import type { Figures } from '../server/http/health.ts';
import { createHttpListener } from '../server/http/listener.ts';
import type { LeaseStore } from '../store/store.ts';
import { version } from './packageVersion.ts';

/** Why a server cannot be: one line, and one of what to do if that one does not say it. */
export interface Refused {
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
  | Refused;

export interface HttpSources {
  readonly store: LeaseStore;
  readonly readiness: () => readonly string[];
  readonly warnings: () => readonly string[];
  readonly figures: () => Figures;
  /** As the listener's. */
  readonly page: (exchange: Exchange) => Reply | undefined;
}

/** Never rejects. */
export async function startHttp(
  config: Config,
  sources: HttpSources,
  log: Log,
): Promise<HttpOutcome> {
  const { http } = config;
  if (http === undefined) return { kind: 'started', endpoint: undefined, close: async () => {} };
  const listener = createHttpListener({
    ...sources,
    version: version(),
    token: config.httpToken?.reveal(),
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

function refusal(error: unknown, where: SocketAddress): HttpOutcome {
  const { code = 'failed' } = error as { code?: string };
  return {
    kind: 'refused',
    code: code === 'EACCES' ? 'not_permitted' : 'unreachable',
    reason: `--http: cannot listen on ${printSocketAddress(where)} (${code}); choose another address, or --http off`,
  };
}
