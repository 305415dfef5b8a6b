/** Dispatches a request after checking Host, Origin and write permission. */
import type { IncomingHttpHeaders } from 'node:http';
import type { LeaseStore, StoreErrorCode } from '../../store/store.ts';
import { trustedUsers } from '../peerOwner.ts';
import {
  checkWriter,
  configCause,
  isAllowedHost,
  isForeignOrigin,
  type WritePermission,
  type WriterRules,
} from './access.ts';
import { withoutConfig } from './api/keyPath.ts';
import { clusterId, type SharedResources, serveKeys } from './api/keys.ts';
import { STORE_API_PREFIX, serveStoreApi } from './api/storeApi.ts';
import { failure, failureReply } from './api/v2Responses.ts';
import type { ConnectedClient } from './exchange/client.ts';
import { type Exchange, type HttpReply, textReply } from './exchange/exchange.ts';
import { yieldingStore } from './exchange/yieldLoop.ts';
import { type Health, healthReply, isHealthPath } from './health.ts';

export interface RoutesOptions extends Omit<Health, 'clusterId'> {
  readonly store?: LeaseStore | undefined;
  readonly page?: ((exchange: Exchange) => HttpReply | undefined) | undefined;
  readonly token?: string | undefined;
  readonly tokenLocation?: string | undefined;
  readonly trustedUsers?: ReadonlySet<number> | undefined;
  readonly configKey?: string | undefined;
  readonly allowedHosts?: readonly string[] | undefined;
}

export interface Routes {
  visit(client: ConnectedClient, headers: IncomingHttpHeaders): Visit;
}

/** One request. */
export interface Visit {
  isTrusted(): Promise<boolean>;
  /** Answers it. A connection beyond its places is a guest, which becomes a member by `promote` if there is room. */
  serve(exchange: Exchange, promote: (() => boolean) | undefined): Promise<void>;
}

/** What routes are made of. */
interface Parts {
  readonly options: RoutesOptions;
  readonly shared: SharedResources;
  readonly heartbeatMs: number;
  readonly health: Health;
  /** For whom may write everything, and for whom may not write the configuration. */
  readonly stores: { readonly whole: LeaseStore; readonly guarded: LeaseStore } | undefined;
}

export function createRoutes(
  options: RoutesOptions,
  shared: SharedResources,
  heartbeatMs: number,
): Routes {
  const { token, tokenLocation, store, configKey } = options;
  const trusted = options.trustedUsers ?? trustedUsers();
  const rules: WriterRules = { token, tokenLocation, trusted };
  const whole = store && yieldingStore(store, shared.yieldLoop);
  const guarded =
    whole && configKey !== undefined ? withoutConfig(whole, configKey, configCause(rules)) : whole;
  const parts: Parts = {
    options,
    shared,
    heartbeatMs,
    health: { ...options, clusterId: store && clusterId(store) },
    stores: whole && guarded && { whole, guarded },
  };
  return {
    visit(client, headers) {
      let permission: Promise<WritePermission> | undefined;
      const judge = () => {
        permission ??= checkWriter(rules, headers, client);
        return permission;
      };
      const isTrusted = async () => (await judge()).kind !== 'refused';
      return {
        isTrusted,
        async serve(exchange, promote) {
          const refusal = refuse(parts, exchange) ?? (await refuseGuest(exchange, promote));
          if (refusal !== undefined) return exchange.send(refusal);
          await route(parts, exchange, judge);
        },
      };
    },
  };
}

async function route(
  { options, shared, heartbeatMs, health, stores }: Parts,
  exchange: Exchange,
  judge: () => Promise<WritePermission>,
): Promise<void> {
  const writes = isWrite(exchange);
  const permission = writes ? await judge() : undefined;
  if (permission?.kind === 'refused') return exchange.send(deniedReply(exchange, permission.cause));
  const page = healthReply(health, exchange) ?? (writes ? undefined : options.page?.(exchange));
  if (page !== undefined) return exchange.send(page);
  if (stores !== undefined) {
    const store = permission?.kind === 'owner' ? stores.guarded : stores.whole;
    if (await serveKeys(store, exchange, shared)) return;
    if (await serveStoreApi(store, exchange, shared, heartbeatMs)) return;
  }
  exchange.send(textReply(404, '404 page not found'));
}

function refuse({ options }: Parts, exchange: Exchange): HttpReply | undefined {
  const { headers } = exchange;
  if (!isAllowedHost(headers.host, options.allowedHosts ?? [])) {
    return textReply(
      403,
      'This Host is not served: use an IP address, localhost, or a configured name',
    );
  }
  if (!isWrite(exchange) || !isForeignOrigin(headers)) return undefined;
  return textReply(403, 'Writing from a page of another origin is refused');
}

async function refuseGuest(
  exchange: Exchange,
  promote: (() => boolean) | undefined,
): Promise<HttpReply | undefined> {
  if (promote === undefined || isHealthPath(exchange.path)) return undefined;
  if ((await exchange.caller.isTrusted()) && promote()) return undefined;
  const message = 'too many open connections in total, or from this address';
  return failureReply(failure(300, message, 0, 503), storeError(exchange, 'unavailable', message));
}

function deniedReply(exchange: Exchange, cause: string): HttpReply {
  return failureReply(failure(110, cause), storeError(exchange, 'denied', cause));
}

/** What a soradns that has this one as its store reads of a refusal. */
function storeError(exchange: Exchange, code: StoreErrorCode, message: string): object {
  return exchange.path.startsWith(STORE_API_PREFIX) ? { error: { code, message } } : {};
}

function isWrite({ method }: Exchange): boolean {
  return !['GET', 'HEAD', 'OPTIONS'].includes(method);
}
