/** Refuses a request for its Host, Origin or missing write permission, or passes it to its handler. */
import type { IncomingHttpHeaders } from 'node:http';
import type { LeaseStore, StoreErrorCode } from '../../store/store.ts';
import { trustedUsers } from '../listening/peerOwner.ts';
import {
  checkWriter,
  configCause,
  isAllowedHost,
  isForeignOrigin,
  type WritePermission,
  type WriterRules,
} from './access.ts';
import { withoutConfig } from './api/guardedStore.ts';
import { clusterId, type SharedResources, serveKeys } from './api/keys.ts';
import { type ServiceSource, serveServices } from './api/serviceApi.ts';
import type { SharedWatches } from './api/sharedWatches.ts';
import { STORE_API_PREFIX, serveStoreApi } from './api/storeApi.ts';
import { failure, failureReply } from './api/v2Responses.ts';
import { type CacheSource, cacheReply } from './cacheApi.ts';
import { type ChallengeSource, serveChallenges } from './challengeApi.ts';
import type { ConnectedClient } from './exchange/client.ts';
import { type Exchange, type HttpReply, textReply } from './exchange/exchange.ts';
import { yieldingStore } from './exchange/yieldLoop.ts';
import { type Health, healthReply, isHealthPath } from './health.ts';

export interface RoutesOptions extends Omit<Health, 'clusterId'> {
  /** Undefined: the listener serves pages only. */
  readonly store?: LeaseStore | undefined;
  /** The clients' watches of the store; undefined: each client's watch is one of the store. */
  readonly watches?: SharedWatches | undefined;
  /** Undefined: the listener serves no state of services. */
  readonly services?: ServiceSource | undefined;
  /** Undefined: the listener has no path for the cache. */
  readonly cache?: CacheSource | undefined;
  /** Undefined: the listener takes no challenges. */
  readonly challenges?: ChallengeSource | undefined;
  /** Pages besides the health pages: returns the reply to a GET or HEAD, or undefined for another path. */
  readonly page?: ((exchange: Exchange) => HttpReply | undefined) | undefined;
  /** A client with this token may write every key. */
  readonly token?: string | undefined;
  /** Where this host's users find the token; part of the message to a refused client. */
  readonly tokenLocation?: string | undefined;
  /** Users whose local processes may write without the token; default: root and this process's user. */
  readonly trustedUsers?: ReadonlySet<number> | undefined;
  /** The key of the configuration, which clients may write only with the token. Undefined: no key is protected. */
  readonly configKey?: string | undefined;
  /** Host names that clients may use for this server, besides `localhost` and every IP address. */
  readonly allowedHosts?: readonly string[] | undefined;
}

/** One request whose headers have arrived. */
export interface RoutedRequest {
  isTrusted(): Promise<boolean>;
  /** Answers the request. `admit` is set for a surplus connection; it admits the connection if there is room. */
  serve(exchange: Exchange, admit: (() => boolean) | undefined): Promise<void>;
}

export class Routes {
  readonly #options: RoutesOptions;
  readonly #shared: SharedResources;
  readonly #heartbeatMs: number;
  readonly #health: Health;
  readonly #rules: WriterRules;
  /** `whole` is for clients that may write every key, `guarded` for clients that may not write the configuration. */
  readonly #stores: { readonly whole: LeaseStore; readonly guarded: LeaseStore } | undefined;

  constructor(options: RoutesOptions, shared: SharedResources, heartbeatMs: number) {
    const { token, tokenLocation, store, configKey } = options;
    this.#options = options;
    this.#shared = shared;
    this.#heartbeatMs = heartbeatMs;
    this.#health = { ...options, clusterId: store && clusterId(store) };
    this.#rules = { token, tokenLocation, trusted: options.trustedUsers ?? trustedUsers() };
    const whole = store && shared.treeDeletions.recordedIn(yieldingStore(store, shared.yieldLoop));
    const guarded =
      whole && configKey !== undefined
        ? withoutConfig(whole, configKey, configCause(this.#rules))
        : whole;
    this.#stores = whole && guarded && { whole, guarded };
  }

  begin(client: ConnectedClient, headers: IncomingHttpHeaders): RoutedRequest {
    let checked: Promise<WritePermission> | undefined;
    const permission = () => {
      checked ??= checkWriter(this.#rules, headers, client);
      return checked;
    };
    return {
      isTrusted: async () => (await permission()).kind !== 'refused',
      serve: async (exchange, admit) => {
        const refusal =
          refuse(exchange, this.#options.allowedHosts ?? []) ??
          (await refuseSurplus(exchange, admit));
        if (refusal !== undefined) return exchange.send(refusal);
        await this.#route(exchange, permission);
      },
    };
  }

  async #route(exchange: Exchange, permissionOf: () => Promise<WritePermission>): Promise<void> {
    const writes = isWrite(exchange);
    const permission = writes ? await permissionOf() : undefined;
    if (permission?.kind === 'refused') {
      return exchange.send(deniedReply(exchange, permission.cause));
    }
    const page =
      healthReply(this.#health, exchange) ?? (writes ? undefined : this.#options.page?.(exchange));
    if (page !== undefined) return exchange.send(page);
    const { services, cache, challenges, watches } = this.#options;
    const ofCache = cache && cacheReply(cache, exchange);
    if (ofCache !== undefined) return exchange.send(ofCache);
    if (
      services !== undefined &&
      (await serveServices(services, exchange, this.#shared, this.#heartbeatMs))
    )
      return;
    if (this.#stores !== undefined) {
      const { whole, guarded } = this.#stores;
      const permitted = permission?.kind === 'localUser' ? guarded : whole;
      const store = watches?.storeFor(permitted, exchange.caller) ?? permitted;
      if (challenges !== undefined && (await serveChallenges(store, challenges, exchange))) return;
      if (await serveKeys(store, exchange, this.#shared)) return;
      if (await serveStoreApi(store, exchange, this.#shared, this.#heartbeatMs)) return;
    }
    exchange.send(textReply(404, '404 page not found'));
  }
}

function refuse(exchange: Exchange, allowedHosts: readonly string[]): HttpReply | undefined {
  const { headers } = exchange;
  if (!isAllowedHost(headers.host, allowedHosts)) {
    return textReply(
      403,
      'This Host is not served: use an IP address, localhost, or a configured name',
    );
  }
  if (!isWrite(exchange) || !isForeignOrigin(headers)) return undefined;
  return textReply(403, 'Writing from a page of another origin is refused');
}

async function refuseSurplus(
  exchange: Exchange,
  admit: (() => boolean) | undefined,
): Promise<HttpReply | undefined> {
  if (admit === undefined || isHealthPath(exchange.path)) return undefined;
  if ((await exchange.caller.isTrusted()) && admit()) return undefined;
  const message = 'too many open connections in total, or from this address';
  return failureReply(failure(300, message, 0, 503), storeError(exchange, 'unavailable', message));
}

function deniedReply(exchange: Exchange, cause: string): HttpReply {
  return failureReply(failure(110, cause), storeError(exchange, 'denied', cause));
}

/** The error for a soradns server that uses this one as its store. */
function storeError(exchange: Exchange, code: StoreErrorCode, message: string): object {
  return exchange.path.startsWith(STORE_API_PREFIX) ? { error: { code, message } } : {};
}

function isWrite({ method }: Exchange): boolean {
  return !['GET', 'HEAD', 'OPTIONS'].includes(method);
}
