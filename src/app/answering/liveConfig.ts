/**
 * The configuration in force: the server's own options and, once the store has been read, SkyDNS's key
 * `/<prefix>/config` in place of defaults. Both may change at runtime. Everything derived from them changes in one
 * assignment between two queries. A configuration with mistakes changes nothing.
 */
import { type Config, type ConfigResult, withLiveOptions } from '../../config/config.ts';
import { isSameValue } from '../../config/options/valueForms.ts';
import { withStoreConfig } from '../../config/storeConfig.ts';
import { equalNames, isSubdomainOf, type Name, printName } from '../../dns/name.ts';
import { type Cidr, recursionRule } from '../../forward/addresses.ts';
import type { DelegatedServer } from '../../forward/domains/delegatedForwarder.ts';
import type { DomainForwarder } from '../../forward/domains/domainForwarder.ts';
import type { ServerSets } from '../../forward/domains/serverSets.ts';
import type { ForwarderOptions } from '../../forward/forwarderOptions.ts';
import { newForwardCounters } from '../../forward/outcome.ts';
import { mayRebind } from '../../forward/privateNames.ts';
import { printUpstream } from '../../forward/upstream.ts';
import type { Log } from '../../observability/log.ts';
import type { Change } from '../../service/change.ts';
import type { ZoneCut } from '../../zone/tree/forwardedNames.ts';
import type { StubZone } from '../../zone/tree/stubZones.ts';
import type { ConsulSettings, ZoneSettings } from '../../zone/tree/view.ts';
import type { AmbassadorForce } from '../ambassador/serverAmbassador.ts';
import { type NearPart, nameServerAddresses, nearOf } from '../process/network.ts';
import { FollowedHosts } from './followedHosts.ts';
import {
  type Forwarding,
  forwardingOf,
  type SharedByForwarders,
  type StoredDomains,
  upstreamCaOf,
} from './forwarding.ts';

/** A configuration and what is derived from it. Replaced as a whole. */
interface ActiveConfig {
  readonly config: Config;
  readonly near: NearPart;
  readonly settings: ZoneSettings;
  readonly forwarding: Forwarding;
  readonly mayRecurse: (address: string) => boolean;
}

/**
 * A replaced forwarder is closed after this time. By then it has no open query, since it gives up on a query after 4 s.
 */
const RETIREMENT_MS = 5_000;

export class LiveConfig {
  /** Counted over all forwarders since the start. */
  readonly forwardCounters = newForwardCounters();
  /** What all forwarders have in common. */
  #shared: SharedByForwarders = {
    counters: this.forwardCounters,
    stored: (question) => this.#storedReplies?.(question),
    serversOf: (domain) => {
      const cut = this.settings.forwarded.cutAt(domain);
      return cut === undefined ? [] : this.#nameServers(cut);
    },
    tlsEvents: {
      onUnreachable: (upstream, reason) =>
        this.#log.warn(
          { upstream: printUpstream(upstream), reason },
          'no TLS connection to upstream',
        ),
    },
  };
  readonly #hosts: FollowedHosts;
  #storedReplies: ForwarderOptions['stored'];
  #stored: StoredDomains = { stubZones: [], cuts: [] };
  #nameServers: (cut: ZoneCut) => readonly DelegatedServer[] = () => [];
  /** See `hostRanges`; empty while nothing needs them. */
  #hostRanges: readonly Cidr[] = [];
  /** Counts the configurations that were read again: applied and rejected. */
  readonly reloads = { done: 0, failed: 0 };
  readonly #key: string;
  readonly #log: Log;
  readonly #listeners: (() => void)[] = [];
  readonly #retired = new Map<DomainForwarder | ServerSets, NodeJS.Timeout>();
  /** The configuration without the store's. */
  #ownConfig: Config;
  #upstreamCaPem: string | undefined;
  #active: ActiveConfig;
  #force: AmbassadorForce = { virtualAddresses: false, ambassador: false };
  /** The key's value, and its value when it was last applied. */
  #storeText: string | undefined;
  #appliedText: string | undefined;
  #isStoreTextNew = false;
  #isStoreLoaded = false;

  /** `key` holds the configuration in the store; `observer` sees what forwarders send and receive. */
  constructor(given: Config, key: string, log: Log, observer?: ForwarderOptions['observer']) {
    this.#key = key;
    this.#log = log;
    this.#shared = { ...this.#shared, observer };
    this.#ownConfig = given;
    this.#upstreamCaPem = upstreamCaOf(given, undefined, log);
    this.#hosts = new FollowedHosts(log, () => this.#activate(this.#active.config));
    this.#active = this.#activeConfigFrom(given);
  }

  get config(): Config {
    return this.#active.config;
  }

  get settings(): ZoneSettings {
    return this.#active.settings;
  }

  /** Undefined: nothing is forwarded. */
  get forwarder(): DomainForwarder | undefined {
    return this.#active.forwarding.forwarder;
  }

  /** Replaces the stub zones. */
  setStubZones(stubZones: readonly StubZone[]): void {
    this.#setStored({ ...this.#stored, stubZones });
  }

  /** Replaces the names with NS records in the store. */
  setCuts(cuts: readonly ZoneCut[]): void {
    this.#setStored({ ...this.#stored, cuts });
  }

  /** Sets where the addresses of the name servers of delegated names come from. */
  setNameServers(nameServers: (cut: ZoneCut) => readonly DelegatedServer[]): void {
    this.#nameServers = nameServers;
  }

  /** Replaces the ranges that are on this host, for a configuration that does not name them. */
  setHostRanges(ranges: readonly Cidr[]): void {
    if (isSameValue(ranges, this.#hostRanges)) return;
    this.#hostRanges = ranges;
    if (this.config.nearNetworks === undefined) this.#activate(this.#active.config);
  }

  /** Sets how forwarders read the answer cache. */
  setStoredReplies(stored: NonNullable<ForwarderOptions['stored']>): void {
    this.#storedReplies = stored;
  }

  mayRecurse(address: string): boolean {
    return this.#active.mayRecurse(address);
  }

  /** Calls `listener` after each change. It must not throw. */
  onChanged(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Remembers the key's value if the changes contain it. `applyNewStoreConfig` applies it. */
  readChanges(changes: readonly Change[]): void {
    for (const change of changes) {
      if ((change.kind === 'put' ? change.entry.key : change.key) !== this.#key) continue;
      const text =
        change.kind === 'put' ? Buffer.from(change.entry.value).toString('utf8') : undefined;
      this.#isStoreTextNew ||= text !== this.#storeText;
      this.#storeText = text;
    }
  }

  /** Call it when the store has been read completely, before the first answer from it. */
  applyStoreConfig(): void {
    this.#isStoreLoaded = true;
    this.#isStoreTextNew = false;
    const { config, isSound } = this.#withStoreConfig(this.#storeText);
    if (!isSound) {
      this.#reject();
      return;
    }
    this.#appliedText = this.#storeText;
    if (this.#storeText !== undefined) this.#activate(config);
  }

  /** Call it when answers reflect the changes given to `readChanges`. */
  applyNewStoreConfig(): void {
    if (!this.#isStoreLoaded || !this.#isStoreTextNew) return;
    this.#isStoreTextNew = false;
    const { config, isSound } = this.#withStoreConfig(this.#storeText);
    if (!isSound) {
      this.#reject();
      return;
    }
    this.#appliedText = this.#storeText;
    this.#activateReloaded(config);
  }

  /** Applies the options of this process that were read again. */
  reload(read: ConfigResult<Config>): void {
    if (read.kind === 'mistakes') {
      for (const mistake of read.mistakes) this.#log.error({}, mistake);
      this.#reject();
      return;
    }
    for (const note of read.notes) this.#log.warn({}, note);
    const { config, waiting } = withLiveOptions(this.#ownConfig, read.config);
    if (waiting.length > 0)
      this.#log.warn({ options: waiting }, 'changed options take effect after a restart');
    this.#ownConfig = config;
    this.#upstreamCaPem = upstreamCaOf(config, { pem: this.#upstreamCaPem }, this.#log);
    this.#activateReloaded(this.#withStoreConfig(this.#appliedText).config);
  }

  /** Call this when the ambassador comes into force, and when it ceases to be. */
  setAmbassador(force: AmbassadorForce): void {
    if (isSameValue(force, this.#force)) return;
    this.#force = force;
    this.#activate(this.#active.config);
  }

  async close(): Promise<void> {
    this.#hosts.close();
    for (const timer of this.#retired.values()) clearTimeout(timer);
    const { sets, forwarder } = this.#active.forwarding;
    await Promise.all([...this.#retired.keys(), sets, forwarder].map((each) => each?.close()));
  }

  /** This process's configuration with the store's. */
  #withStoreConfig(text: string | undefined): {
    readonly config: Config;
    readonly isSound: boolean;
  } {
    if (text === undefined) return { config: this.#ownConfig, isSound: true };
    const { config, warnings, isSound } = withStoreConfig(this.#ownConfig, text);
    for (const warning of warnings) this.#log.warn({ key: this.#key }, warning);
    if (isSound) this.#log.info({ key: this.#key }, 'applied the configuration from the store');
    return { config, isSound };
  }

  #activateReloaded(config: Config): void {
    this.#activate(config);
    this.reloads.done++;
    const domains = config.domains.map(printName);
    this.#log.info({ domains }, 'applied the configuration that was read again');
  }

  #reject(): void {
    this.reloads.failed++;
    this.#log.error({}, 'the configuration has mistakes; keeping the previous one');
  }

  #setStored(stored: StoredDomains): void {
    if (isSameValue(stored, this.#stored)) return;
    this.#stored = stored;
    this.#activate(this.#active.config);
  }

  #activate(config: Config): void {
    const before = this.#active;
    this.#active = this.#activeConfigFrom(config, before);
    if (before.config.logLevel !== config.logLevel) this.#log.setLevel(config.logLevel);
    const { forwarder: old, sets } = before.forwarding;
    if (old !== undefined && old !== this.forwarder) this.#retire(old);
    if (sets !== this.#active.forwarding.sets) this.#retire(sets);
    for (const listener of this.#listeners) listener();
  }

  #activeConfigFrom(config: Config, before?: ActiveConfig): ActiveConfig {
    const { forwarded: _, near: __, ...plain } = before?.settings ?? NO_PARTS;
    const found = zoneSettings(config, this.#force);
    const settings = isSameValue(plain, found) ? (plain as typeof found) : found;
    const { apexes } = settings;
    const basis = {
      ...{ config, apexes, stored: this.#stored, upstreamCaPem: this.#upstreamCaPem },
      hosts: this.#hosts.table(config.hosts, apexes),
    };
    const forwarding = forwardingOf(basis, before?.forwarding, this.#shared, this.#log);
    const near = nearOf(config, this.#hostRanges, before?.near);
    const isSame = settings === plain && before?.near === near;
    const isSameNames = before?.forwarding.names === forwarding.names;
    return {
      config,
      near,
      // New settings invalidate every answer, so equal settings keep their identity, and equal parts of others too.
      settings:
        isSame && isSameNames
          ? before.settings
          : { ...settings, near: near.settings, forwarded: forwarding.names },
      forwarding,
      mayRecurse: recursionRule(config.recursionAllow),
    };
  }

  #retire(part: DomainForwarder | ServerSets): void {
    const timer = setTimeout(() => {
      this.#retired.delete(part);
      void part.close();
    }, RETIREMENT_MS);
    timer.unref();
    this.#retired.set(part, timer);
  }
}

const NO_PARTS = { forwarded: undefined, near: undefined };

/** Undefined without Consul's names, and if the store has made their domain one of ours. */
function consulSettings({
  domains,
  consulDomain,
  consulBase,
  consulDatacenters,
}: Config): ConsulSettings | undefined {
  if (consulDomain === undefined) return undefined;
  if (domains.some((domain) => equalNames(domain, consulDomain))) return undefined;
  const zoneOf = (base: Name): Name => {
    const zones = domains.filter((domain) => isSubdomainOf(base, domain));
    return zones.sort((a, b) => b.length - a.length)[0] ?? base;
  };
  const own = consulBase ?? domains[0] ?? [];
  return {
    domain: consulDomain,
    own: { base: own, zone: zoneOf(own) },
    datacenters: consulDatacenters.map((each) => ({ ...each, zone: zoneOf(each.base) })),
  };
}

function zoneSettings(
  config: Config,
  force: AmbassadorForce,
): Omit<ZoneSettings, 'forwarded' | 'near'> {
  const consul = consulSettings(config);
  return {
    ...force,
    apexes: consul === undefined ? config.domains : [...config.domains, consul.domain],
    ttlSeconds: config.ttlSeconds,
    minTtlSeconds: config.minTtlSeconds,
    minLeaseTtlSeconds: config.minLeaseTtlSeconds,
    leaderTtlSeconds: config.leaderTtlSeconds,
    priority: config.priority,
    hostmaster: config.hostmaster,
    local: config.local,
    roundRobin: config.roundRobin,
    any: config.any,
    parentValue: config.parentValue,
    storedWildcards: config.storedWildcards,
    aggregateDepth: config.aggregateDepth ?? Number.POSITIVE_INFINITY,
    questionWildcards: config.questionWildcards,
    ownAddresses: nameServerAddresses(config),
    consul,
  };
}

/** Whether a name outside our zones may lead to private addresses and into our zones. */
export function rebindRule(liveConfig: LiveConfig): (qname: Name) => boolean {
  return (qname) => {
    const { rebindProtection, rebindAllow } = liveConfig.config;
    if (!rebindProtection || mayRebind(qname, rebindAllow)) return true;
    return liveConfig.forwarder?.isInternal(qname) === true;
  };
}
