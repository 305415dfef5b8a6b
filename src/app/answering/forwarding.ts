/**
 * How the server forwards questions, as derived from a configuration, the store's stub zones and the hosts files. It
 * keeps from the previous one what has not changed: forwarders with their caches and what they know about upstreams.
 */
import { whyForbidden } from '../../ambassador/proxy/addressPolicy.ts';
import type { Config } from '../../config/config.ts';
import { isSameValue } from '../../config/options/valueForms.ts';
import type { SocketAddress } from '../../dns/address.ts';
import { equalNames, type Name, printName } from '../../dns/name.ts';
import {
  type Delegations,
  DomainForwarder,
  type ForwardedDomain,
  type ForwardingPlan,
} from '../../forward/domains/domainForwarder.ts';
import type { HostsTable } from '../../forward/domains/hostsTable.ts';
import { ServerSets, type SetOptions } from '../../forward/domains/serverSets.ts';
import type { ForwarderOptions } from '../../forward/forwarderOptions.ts';
import { type Interfaces, withoutOwnAddresses } from '../../forward/upstream.ts';
import { hostInterfaces } from '../../kernel/interfaces.ts';
import type { Log } from '../../observability/log.ts';
import { ForwardedNames, type ZoneCut } from '../../zone/tree/forwardedNames.ts';
import type { StubZone } from '../../zone/tree/stubZones.ts';
import { cutsInForce } from '../../zone/zoneCuts.ts';
import { upstreamsOf } from '../process/network.ts';
import { readUpstreamCa } from '../process/pemFiles.ts';

export type SharedByForwarders = Required<
  Pick<ForwarderOptions, 'counters' | 'stored' | 'tlsEvents'>
> &
  Pick<ForwarderOptions, 'observer'> &
  Pick<Delegations, 'serversOf'>;

export interface StoredDomains {
  readonly stubZones: readonly StubZone[];
  /** All names with NS records. */
  readonly cuts: readonly ZoneCut[];
}

/** What forwarding depends on. */
export interface ForwardingBasis {
  readonly config: Config;
  /** What the store says about the servers of domains. */
  readonly stored: StoredDomains;
  readonly hosts: HostsTable;
  /** Of our zones; folded. */
  readonly apexes: readonly Name[];
  /** See `upstreamCaOf`. */
  readonly upstreamCaPem: string | undefined;
}

export interface Forwarding {
  readonly names: ForwardedNames;
  readonly sets: ServerSets;
  /** Undefined: nothing is forwarded. */
  readonly forwarder: DomainForwarder | undefined;
  readonly plan: ForwardingPlan;
  /** Of `sets`. */
  readonly options: Omit<SetOptions, keyof SharedByForwarders>;
  /** Of the configuration. */
  readonly forward: Config['forward'];
  /** The names of options and stub zones in `plan`. */
  readonly domains: readonly Name[];
  readonly apexes: readonly Name[];
}

export function forwardingOf(
  { config, stored, hosts, apexes, upstreamCaPem }: ForwardingBasis,
  before: Forwarding | undefined,
  shared: SharedByForwarders,
  log: Log,
): Forwarding {
  const options = setOptionsOf(config, upstreamCaPem);
  // The system is asked once, not for each of a thousand domains.
  const interfaces = hostInterfaces();
  const rules = rulesOf(config, stored.stubZones, apexes, interfaces);
  const general = generalOf(config, interfaces);
  const domains = rules.map(({ name }) => name);
  const cuts = cutsInForce(stored.cuts, apexes, domains);
  const delegated = cuts.map((cut) => plannedCut(cut, config));
  const plan = { general, domains: [...rules, ...delegated], hosts };
  const names = namesOf(domains, apexes, cuts, before);
  warnOfOwn(config, apexes, before, log);
  const isSameOptions = before !== undefined && isSameValue(before.options, options);
  const made = { names, domains, apexes, forward: config.forward };
  if (isSameOptions && isSamePlan(before.plan, plan)) return { ...before, ...made };
  const sets = isSameOptions ? before.sets : new ServerSets({ ...options, ...shared });
  if (general === undefined && (before === undefined || before.plan.general !== undefined))
    warnOfMissing(config, apexes, log);
  const isDelegating = config.recursion && cuts.length > 0;
  const isIdle = general === undefined && rules.length === 0 && !isDelegating && hosts.size === 0;
  const usable: Delegations['usable'] = (upstreams) =>
    withoutOwnAddresses(
      // A record in the store or an answer of another server must not lead questions to this host's own services.
      upstreams.filter(({ address }) => whyForbidden(address) === undefined),
      ownAddressesOf(config),
      interfaces,
    );
  const delegations = { serversOf: shared.serversOf, usable };
  const forwarder = isIdle
    ? undefined
    : new DomainForwarder(plan, sets, shared.counters, delegations);
  return { ...made, sets, forwarder, plan, options };
}

function namesOf(
  domains: readonly Name[],
  apexes: readonly Name[],
  cuts: readonly ZoneCut[],
  before: Forwarding | undefined,
): ForwardedNames {
  const isSame =
    before !== undefined &&
    isSameValue(before.domains, domains) &&
    isSameValue(before.names.cuts, cuts) &&
    isSameValue(before.apexes, apexes);
  return isSame ? before.names : new ForwardedNames(domains, apexes, cuts);
}

/**
 * Warns of options that forward one of our zones, unless both are as before. A zone may come from the
 * store's configuration, after the options.
 */
function warnOfOwn(
  { forward }: Config,
  apexes: readonly Name[],
  before: Forwarding | undefined,
  log: Log,
): void {
  if (
    isSameValue({ forward, apexes }, before && { forward: before.forward, apexes: before.apexes })
  )
    return;
  for (const { name } of forward)
    if (name.length > 0 && apexes.some((apex) => equalNames(apex, name)))
      log.warn({}, `--forward ${printName(name)} has no effect: the names in it are answered here`);
}

/** Warns if the server has no upstream for names outside all domains, and no option asked for that. */
function warnOfMissing(config: Config, apexes: readonly Name[], log: Log): void {
  if (!config.recursion || config.forward.some(isRoot)) return;
  const served = apexes.map(printName).join(' ');
  log.warn({}, `no upstream nameservers: answering only names in ${served}`);
}

function isRoot({ name }: ForwardedDomain): boolean {
  return name.length === 0;
}

/** Without recursion the names in it get referrals, and no other server gets questions about them. */
function plannedCut({ name }: ZoneCut, { recursion }: Config): ForwardingPlan['domains'][number] {
  const servers = recursion ? 'delegated' : 'local';
  return { name, isStubZone: false, servers };
}

function ownAddressesOf({ addr, dot }: Config): readonly SocketAddress[] {
  return [...addr, ...dot];
}

function isSamePlan(a: ForwardingPlan, b: ForwardingPlan): boolean {
  const { hosts, ...plain } = a;
  const { hosts: otherHosts, ...otherPlain } = b;
  return hosts === otherHosts && isSameValue(plain, otherPlain);
}

/** Undefined: names in no domain are not forwarded. */
function generalOf(config: Config, interfaces: Interfaces): ForwardingPlan['general'] {
  const root = config.forward.find(isRoot)?.servers;
  if (!config.recursion || root === 'local') return undefined;
  const all = root ?? upstreamsOf(config.nameservers);
  const servers = withoutOwnAddresses(all, ownAddressesOf(config), interfaces);
  return servers.length === 0 ? undefined : { servers, ndots: config.ndots };
}

/**
 * The domains with servers of their own, without our zones. A stub zone precedes an option about the same domain, so
 * that one change of the store reaches all servers. A stub zone without a server does not precede it. A domain without a
 * server, or whose only server is this one, stays: its names must not go to the general upstreams.
 */
function rulesOf(
  config: Config,
  stubZones: readonly StubZone[],
  apexes: readonly Name[],
  interfaces: Interfaces,
): readonly ForwardedDomain[] {
  const own = ownAddressesOf(config);
  const configured = new Set(config.forward.map(({ name }) => printName(name)));
  const stubs = stubZones
    .filter(({ name, servers }) => servers.length > 0 || !configured.has(printName(name)))
    .map(({ name, servers }) => ({ name, servers, isStubZone: true }));
  const known = new Set(stubs.map(({ name }) => printName(name)));
  const rules = config.forward.filter(({ name }) => name.length > 0 && !known.has(printName(name)));
  return [...stubs, ...rules]
    .filter(({ name }) => !apexes.some((apex) => equalNames(apex, name)))
    .map(({ servers, ...rest }) => ({
      ...rest,
      servers: servers === 'local' ? servers : withoutOwnAddresses(servers, own, interfaces),
    }));
}

function setOptionsOf(config: Config, upstreamCaPem: string | undefined): Forwarding['options'] {
  return {
    upstreamCaPem,
    policy: config.forwardPolicy,
    ttlLimits: {
      maxSeconds: config.cacheMaxTtl,
      minSeconds: config.cacheMinTtl,
      maxNegativeSeconds: config.cacheMaxNegative,
    },
    staleSeconds: config.serveStale,
    cacheOctets: forwarderCacheOctets(config.cacheMib),
  };
}

/**
 * The CAs of the upstreams in PEM; undefined: the system's. The file is read when the options are, because OpenSSL takes
 * milliseconds to try it. One that cannot be read is a `Failure` at the start; later `before` stays.
 */
export function upstreamCaOf(
  { upstreamCaFile }: Pick<Config, 'upstreamCaFile'>,
  before: { readonly pem: string | undefined } | undefined,
  log: Log,
): string | undefined {
  if (upstreamCaFile === undefined) return undefined;
  try {
    return readUpstreamCa(upstreamCaFile);
  } catch (error) {
    if (before === undefined) throw error;
    log.error({}, `${(error as Error).message}; keeping the previous CAs`);
    return before.pem;
  }
}

/** The part of `--cache-memory` that the reply cache gets: a quarter. The answer cache gets the rest. */
const FORWARDER_PART = 4;

function forwarderCacheOctets(cacheMib: number): number {
  return (cacheMib * 2 ** 20) / FORWARDER_PART;
}

/** Octets of the answer cache. */
export function answerCacheOctets(cacheMib: number): number {
  return cacheMib * 2 ** 20 - forwarderCacheOctets(cacheMib);
}
