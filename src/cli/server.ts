/**
 * The composition root: from a configuration to a running server. Everything else takes its parts as arguments; here
 * they are made, tied together, started in the order in which they need each other, and stopped in the reverse one.
 */
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import type { Config } from '../config.ts';
import { withStoreConfig } from '../config.ts';
import { createUdpListener } from '../dataplane/portable.ts';
import { printName } from '../dns/name.ts';
import { printSocketAddress, type SocketAddress } from '../dns/socketAddress.ts';
import { createForwarder } from '../forward/forward.ts';
import type { Forwarder } from '../forward/forwarder.ts';
import { recursionRule } from '../forward/recursion.ts';
import { parseResolvConf } from '../forward/resolvconf.ts';
import { withoutOwnAddresses } from '../forward/upstream.ts';
import type { Log } from '../log.ts';
import { createQueryLog } from '../queryLog.ts';
import { createHttpListener } from '../server/http/listener.ts';
import { describeListenFailure, listenAll } from '../server/listen.ts';
import { createResponder } from '../server/responder.ts';
import { createTcpListener } from '../server/tcp.ts';
import { keyPrefix } from '../service/key.ts';
import { createMirror, type Mirror, type MirrorEvent } from '../store/mirror.ts';
import type { LeaseStore, Store } from '../store/store.ts';
import { Catalog } from '../zone/catalog.ts';
import type { ZoneSettings } from '../zone/view.ts';
import { compactHeap } from './compactHeap.ts';
import { version } from './packageVersion.ts';
import { openStore } from './storeAccess.ts';

export interface Server {
  /** Where DNS is answered, with the ports that were really got. */
  readonly endpoints: readonly SocketAddress[];
  readonly http: SocketAddress | undefined;
  /** The store's label, without credentials. */
  readonly store: string;
  /** Resolves once the store was read to its end, with the number of services. */
  readonly loaded: Promise<number>;
  /** Why the server is not ready; empty when it is. */
  readiness(): readonly string[];
  /** Stops taking questions, answers those that are there, and frees everything. */
  close(): Promise<void>;
}

export type StartOutcome =
  | { readonly kind: 'started'; readonly server: Server }
  /** An address could not be had; one line that says which and why. */
  | {
      readonly kind: 'refused';
      readonly code: 'unreachable' | 'not_permitted';
      readonly reason: string;
    };

const monotonicMs = (): number => performance.now();

/** Rejects with a `StoreError` when an embedded store cannot be opened. */
export async function startServer(given: Config, log: Log): Promise<StartOutcome> {
  const store = await openStore(given.store);
  const config = await overlaid(given, store, log);
  const catalog = new Catalog({
    prefix: keyPrefix(config.pathPrefix),
    onInvalid: (key, reason) => log.warn({ key, reason }, 'value skipped'),
  });
  const mirror = createMirror({
    store,
    prefix: keyPrefix(config.pathPrefix),
    replica: catalog,
    onEvent: (event) => {
      logMirror(event, log);
      if (isBigLoad(event)) compactHeap();
    },
  });
  const forwarder = forwarderOf(config, log);
  const queryLog = createQueryLog(log.info, config.logQueriesPerSecond, monotonicMs);
  const settings = zoneSettings(config);
  const respond = createResponder({
    root: catalog.root,
    settings: () => settings,
    freshness: () => mirror.state().kind,
    forwarder: () => forwarder,
    mayRecurse: recursionRule(config.recursionAllow),
    monotonicMs,
    unixSeconds: () => Math.floor(Date.now() / 1000),
    random: Math.random,
    onAnswered: ({ client, query, response, durationMs }) =>
      queryLog.record(client, query.question, response.rcode, durationMs),
    onError: (err) => log.error({ err }, 'a query failed'),
  });
  const onError = (err: Error): void => log.warn({ err }, 'listener');
  const udp = createUdpListener({ respond, onError });
  const tcp = createTcpListener({ respond, onError });
  const closeAll = async (): Promise<void> => {
    await Promise.all([tcp.close(), udp.close()]);
    queryLog.close();
    await mirror.close();
    await forwarder?.close();
    await store.close();
  };

  const listening = await listenAll(config.addr, { udp, tcp });
  if (listening.kind !== 'listening') {
    await closeAll();
    const code = listening.kind === 'forbidden' ? 'not_permitted' : 'unreachable';
    return { kind: 'refused', code, reason: describeListenFailure(listening) };
  }
  let stopping = false;
  const readiness = (): readonly string[] => [
    ...(stopping ? ['server: stopping'] : []),
    ...storeReasons(mirror, store),
  ];
  const http = await startHttp(config, store, readiness, log);
  if (http.kind === 'refused') {
    await closeAll();
    return http;
  }
  const loaded = mirror.waitFor(0).then(() => catalog.size);
  mirror.start();
  const server: Server = {
    endpoints: listening.endpoints,
    http: http.endpoint,
    store: store.label,
    loaded,
    readiness,
    async close() {
      stopping = true;
      await http.close();
      await closeAll();
    },
  };
  return { kind: 'started', server };
}

/** The configuration with `/<prefix>/config` of the store laid over its defaults, as SkyDNS has it. */
async function overlaid(config: Config, store: Store, log: Log): Promise<Config> {
  const key = `${keyPrefix(config.pathPrefix)}config`;
  try {
    const { entry } = await store.get(key);
    if (entry === undefined) return config;
    const { config: effective, warnings } = withStoreConfig(
      config,
      Buffer.from(entry.value).toString('utf8'),
    );
    for (const warning of warnings) log.warn({ key }, warning);
    return effective;
  } catch (err) {
    log.warn({ err, key }, 'the configuration in the store could not be read; defaults apply');
    return config;
  }
}

function zoneSettings(config: Config): ZoneSettings {
  return {
    apexes: config.domains,
    ttlSeconds: config.ttlSeconds,
    minTtlSeconds: config.minTtlSeconds,
    minLeaseTtlSeconds: config.minLeaseTtlSeconds,
    priority: config.priority,
    hostmaster: config.hostmaster,
    local: config.local,
    roundRobin: config.roundRobin,
    any: config.any,
    parentValue: config.parentValue,
  };
}

function forwarderOf(config: Config, log: Log): Forwarder | undefined {
  if (!config.recursion) return undefined;
  const named = config.nameservers === 'resolv.conf' ? hostUpstreams() : config.nameservers;
  const upstreams = withoutOwnAddresses(named, config.addr, networkInterfaces());
  if (upstreams.length === 0) {
    const apexes = config.domains.map(printName).join(' ');
    log.warn({}, `no nameservers to ask: only names in ${apexes} are answered`);
    return undefined;
  }
  return createForwarder({ upstreams, ndots: config.ndots });
}

/** A host without a resolv.conf has nobody to ask, which is no mistake. */
function hostUpstreams(): ReturnType<typeof parseResolvConf> {
  try {
    return parseResolvConf(readFileSync('/etc/resolv.conf', 'utf8'));
  } catch {
    return [];
  }
}

type HttpOutcome =
  | {
      readonly kind: 'started';
      readonly endpoint: SocketAddress | undefined;
      close(): Promise<void>;
    }
  | Extract<StartOutcome, { kind: 'refused' }>;

async function startHttp(
  config: Config,
  store: LeaseStore,
  readiness: () => readonly string[],
  log: Log,
): Promise<HttpOutcome> {
  if (config.http === undefined) {
    return { kind: 'started', endpoint: undefined, close: async () => {} };
  }
  const { address, port } = config.http;
  const listener = createHttpListener({
    store,
    readiness,
    version: version(),
    token: config.httpToken?.reveal(),
    allowedHosts: config.httpHosts,
    onRequest: (line) => log.debug({ ...line }, 'http'),
    onError: (err, line) => log.error({ err, ...line }, 'a request failed'),
  });
  try {
    const endpoint = await listener.listen(address, port);
    return { kind: 'started', endpoint, close: () => listener.close() };
  } catch (error) {
    return httpFailure(error, address, port);
  }
}

function httpFailure(
  error: unknown,
  address: string,
  port: number,
): Extract<StartOutcome, { kind: 'refused' }> {
  const { code = 'failed' } = error as { code?: string };
  const where = printSocketAddress({ address, port });
  return {
    kind: 'refused',
    code: code === 'EACCES' ? 'not_permitted' : 'unreachable',
    reason: `--http: cannot listen on ${where} (${code}); choose another address, or --http off`,
  };
}

function logMirror(event: MirrorEvent, log: Log): void {
  if (event.kind === 'lost') {
    log.warn({ err: event.error, retryInMs: event.retryInMs }, 'the store is out of reach');
    return;
  }
  const { kind, ...fields } = event;
  log.info(fields, MIRROR_MESSAGES[kind]);
}

/** Below this the garbage of a load is not worth a pause. */
const BIG_LOAD_KEYS = 20_000;

function isBigLoad(event: MirrorEvent): boolean {
  return event.kind === 'loaded' && event.keys >= BIG_LOAD_KEYS;
}

const MIRROR_MESSAGES = {
  loaded: 'the store is loaded',
  resumed: 'the store is back',
  relisted: 'the store was read anew',
};

function storeReasons(mirror: Mirror, store: Store): string[] {
  const state = mirror.state();
  switch (state.kind) {
    case 'loading':
      return [`store: ${store.label} was not read yet`];
    case 'synced':
      return [];
    case 'stale':
      return [
        `store: ${store.label} is out of reach (${state.reason}); answers are the last known`,
      ];
  }
}
