/** Where the backends of an ambassador's routes come from: the store of the services, etcds with keys, and DNS. */
import { resolveBackends } from '../../ambassador/backends.ts';
import { KeyEndpoints } from '../../ambassador/follow/keyEndpoints.ts';
import { OutsideAnswers } from '../../ambassador/follow/outsideAnswers.ts';
import type { FollowKey } from '../../ambassador/follow/routeTable.ts';
import { StoreZone } from '../../ambassador/follow/storeZone.ts';
import { type FollowedZone, ZoneFollower } from '../../ambassador/follow/zoneFollower.ts';
import { isSameBackendSet } from '../../ambassador/route.ts';
import { SERVE_OPTIONS } from '../../config/options/serveOptions.ts';
import type { Name } from '../../dns/name.ts';
import type { Forwarder } from '../../forward/forwarder.ts';
import type { Log } from '../../observability/log.ts';
import type { MirrorEvent } from '../../store/mirror.ts';
import type { Store } from '../../store/store.ts';
import { systemClock } from '../../timing/clock.ts';
import { NO_FORWARDED_NAMES } from '../../zone/tree/forwardedNames.ts';
import { Node } from '../../zone/tree/tree.ts';
import { NO_FACTS, type ZoneSettings } from '../../zone/tree/view.ts';
import { readIfThere } from '../process/network.ts';
import type { AmbassadorConfig } from './ambassadorConfig.ts';
import { askForwarder, askHosts } from './outsideResolver.ts';

export interface BackendSourcesOptions {
  readonly config: AmbassadorConfig;
  /** Undefined: DNS is asked for the services too. */
  readonly store: Store | undefined;
  /** By the text in the targets. */
  readonly keyStores: ReadonlyMap<string, Store>;
  readonly forwarder: Forwarder | undefined;
  readonly log: Log;
  /** Receives the events of each store. */
  readonly onMirrorEvent: (event: MirrorEvent) => void;
}

const HOSTS_FILE = '/etc/hosts';

export class BackendSources {
  readonly follower: ZoneFollower;
  readonly #options: BackendSourcesOptions;
  readonly #outside: OutsideAnswers;
  readonly #storeZone: StoreZone | undefined;
  readonly #keys = new Set<KeyEndpoints>();

  constructor(options: BackendSourcesOptions) {
    const { forwarder, log } = options;
    this.#options = options;
    this.#storeZone = this.#createStoreZone();
    this.#outside = new OutsideAnswers({
      ask: async (question) =>
        askHosts((await readIfThere(HOSTS_FILE)) ?? '', question) ??
        (await askForwarder(forwarder, question)),
      clock: systemClock,
      isUsed: (name) => this.follower.isFollowed(name),
      onChange: (name) => this.follower.onOutsideAnswer(name),
    });
    this.follower = new ZoneFollower({
      zone: this.#storeZone ?? EMPTY_ZONE,
      outside: this.#outside,
      clock: systemClock,
      onError: (err) => log.error({ err }, 'the backends of a route could not be found'),
    });
  }

  start(): void {
    this.#storeZone?.start();
  }

  readonly followKey: FollowKey = (target, protocol, onChange) => {
    const { keyStores, onMirrorEvent } = this.#options;
    const store = keyStores.get(target.store);
    if (store === undefined) throw new TypeError(`${target.store} is not open`);
    let following: { close(): void } | undefined;
    const keyed = new KeyEndpoints({
      store,
      key: target.key,
      clock: systemClock,
      onEvent: onMirrorEvent,
      onChange: () => {
        const endpoints = keyed.endpoints();
        if (endpoints === undefined) return;
        following?.close();
        if (endpoints.length === 0) {
          onChange({
            kind: 'known',
            backends: [],
            reason: 'no value of the key names an endpoint',
          });
          return;
        }
        const wanted = {
          target: { kind: 'endpoints', endpoints },
          protocol,
          port: undefined,
        } as const;
        following = this.follower.follow({
          compute: (view) => resolveBackends(view, wanted, '/'),
          isSame: isSameBackendSet,
          onChange,
        });
      },
    });
    this.#keys.add(keyed);
    keyed.start();
    return {
      close: () => {
        this.#keys.delete(keyed);
        keyed.close();
        following?.close();
      },
    };
  };

  /** Why the backends may be out of date; empty if they are current. */
  troubles(): readonly string[] {
    const trouble = this.#storeZone?.trouble();
    return trouble === undefined ? [] : [`store: ${trouble}`];
  }

  close(): void {
    this.#storeZone?.close();
    this.#outside.close();
    for (const keyed of this.#keys) keyed.close();
  }

  #createStoreZone(): StoreZone | undefined {
    const { config, store, log, onMirrorEvent } = this.#options;
    const services = servicesOf(config);
    if (store === undefined || services.length === 0) return undefined;
    return new StoreZone({
      store,
      pathPrefix: config.pathPrefix,
      services,
      settings: DEFAULT_SETTINGS,
      clock: systemClock,
      onApplied: (nodes) => this.follower.onApplied(nodes),
      onLoaded: () => this.follower.refresh(),
      onEvent: onMirrorEvent,
      onInvalid: (key, reason) => log.warn({ key, reason }, 'value skipped'),
    });
  }
}

/** The services that the store has. */
function servicesOf({ routes }: AmbassadorConfig): readonly Name[] {
  return routes.flatMap(({ target }) => (target.kind === 'service' ? [target.name] : []));
}

const { ttlSeconds, minTtlSeconds, minLeaseTtlSeconds, leaderTtlSeconds, priority, parentValue } =
  SERVE_OPTIONS;
const { storedWildcards, questionWildcards } = SERVE_OPTIONS;

/** The server's defaults: its live options are not known here. */
const DEFAULT_SETTINGS: Omit<ZoneSettings, 'apexes'> = {
  ttlSeconds: ttlSeconds.fallback,
  minTtlSeconds: minTtlSeconds.fallback,
  minLeaseTtlSeconds: minLeaseTtlSeconds.fallback,
  priority: priority.fallback,
  hostmaster: undefined,
  local: undefined,
  roundRobin: false,
  near: undefined,
  any: 'refuse',
  parentValue: parentValue.fallback,
  storedWildcards: storedWildcards.fallback,
  aggregateDepth: Number.POSITIVE_INFINITY,
  questionWildcards: questionWildcards.fallback,
  leaderTtlSeconds: leaderTtlSeconds.fallback,
  virtualAddresses: false,
  ambassador: false,
  ownAddresses: [],
  consul: undefined,
  forwarded: NO_FORWARDED_NAMES,
};

/** Without a store every name is outside, and DNS is asked for it. */
const EMPTY_ZONE: FollowedZone = {
  root: new Node('', undefined),
  facts: NO_FACTS,
  settings: () => ({ ...DEFAULT_SETTINGS, apexes: [] }),
  isLoaded: () => true,
};
