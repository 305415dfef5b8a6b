/**
 * This host's network, as far as Linux shows it: addresses, Docker's bridge, DNS listeners, and the engine's address.
 */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Config } from '../../config/config.ts';
import { isSameValue } from '../../config/options/valueForms.ts';
import {
  addressOctets,
  type CanonicalAddress,
  canonicalAddress,
  DNS_PORT,
  isLinkLocal,
  isLoopbackAddress,
  type SocketAddress,
} from '../../dns/address.ts';
import { type Cidr, parseCidr, rememberedSet } from '../../forward/addresses.ts';
import { parseResolvConf, type Upstream } from '../../forward/upstream.ts';
import { interfaceAddresses } from '../../kernel/interfaces.ts';
import { type KnownNetworks, readKnownNetworks } from '../../kernel/knownNetworks.ts';
import { type EngineEndpoint, resolveEndpoint } from '../../registrar/engine/endpoint.ts';
import type { Engine, EngineInfo } from '../../registrar/engine/engine.ts';
import { readSockets } from '../../server/listening/socketTable.ts';
import type { NearSettings } from '../../zone/tree/view.ts';
import { knownBridgeAddress, readOwnAddresses } from './bridgeAddress.ts';
import { Failure } from './failure.ts';
import type { Io } from './process.ts';

/** Never rejects. */
export interface HostNetwork {
  /** This host's IP addresses, including those of interfaces without carrier. */
  addresses(): Promise<ReadonlySet<string>>;
  /** This host's IPv4 address on Docker's default bridge; undefined without any sign of one. */
  bridgeAddress(): Promise<string | undefined>;
  /** The addresses with a listener on UDP port 53; wildcard addresses are kept. */
  dnsListeners(): Promise<readonly SocketAddress[]>;
  /** The networks that this host is in or has routes to. */
  networks(): Promise<KnownNetworks>;
  /** What the engine tells about itself; undefined if it does not answer. */
  engineInfo(): Promise<EngineInfo | undefined>;
  /** The path of the engine's socket; undefined for an engine that is reached otherwise. */
  readonly engineSocket: string | undefined;
}

/** This host's network, with the engine that the server would use. */
export function networkOf(config: Pick<Config, 'registrar'>, io: Io): HostNetwork {
  const endpoint = engineOf(config, io);
  let bridge: Promise<string | undefined> | undefined;
  return {
    async addresses() {
      return new Set([
        ...interfaceAddresses().map(({ address }) => address),
        ...(await readOwnAddresses(readIfThere)),
      ]);
    },
    bridgeAddress() {
      bridge ??= withEngine(endpoint, findOwnBridgeAddress);
      return bridge;
    },
    async dnsListeners() {
      const held = (await readSockets('udp')).filter(({ port }) => port === DNS_PORT);
      const addresses = new Set(held.map(({ address }) => address));
      return [...addresses].map((address) => ({ address, port: DNS_PORT }));
    },
    networks: () => readKnownNetworks(),
    engineInfo: () => withEngine(endpoint, async (engine) => engine?.info().catch(() => undefined)),
    engineSocket: endpoint?.kind === 'unix' ? endpoint.path : undefined,
  };
}

/** Undefined for unusable settings: `register` reports those. */
function engineOf({ registrar }: Pick<Config, 'registrar'>, io: Io): EngineEndpoint | undefined {
  try {
    return engineEndpoint(registrar?.settings.dockerHost, '--register-docker-host', io);
  } catch {
    return undefined;
  }
}

async function withEngine<T>(
  endpoint: EngineEndpoint | undefined,
  use: (engine: Engine | undefined) => Promise<T>,
): Promise<T> {
  const { connectEngine } = await import('../../registrar/engine/dockerode.ts');
  const engine = endpoint && connectEngine(endpoint);
  try {
    return await use(engine);
  } finally {
    engine?.close();
  }
}

async function findOwnBridgeAddress(engine: Engine | undefined): Promise<string | undefined> {
  return (await knownBridgeAddress(engine, readIfThere))?.address;
}

/** A file's text; undefined if it cannot be read. */
export function readIfThere(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined);
}

/**
 * The engine that the option, or else the environment, names. `option` is its name for messages. Throws a `Failure`.
 */
export function engineEndpoint(
  dockerHost: string | undefined,
  option: string,
  { env, readFile }: Pick<Io, 'env' | 'readFile'>,
): EngineEndpoint {
  const resolved = resolveEndpoint(dockerHost, env, (path) => {
    const content = readFile(path);
    return 'text' in content ? content.text : undefined;
  });
  if (resolved.kind === 'endpoint') return resolved.endpoint;
  const { setting, reason } = resolved.mistake;
  const setBy = setting === '--docker-host' ? option : setting;
  throw new Failure('usage', `${setBy}: ${reason.replaceAll('--docker-host', option)}`);
}

/** The upstreams that `--nameservers` names, or else those of this host's resolv.conf, if it has one. */
export function upstreamsOf(nameservers: 'resolv.conf' | readonly Upstream[]): readonly Upstream[] {
  if (nameservers !== 'resolv.conf') return nameservers;
  try {
    return parseResolvConf(readFileSync('/etc/resolv.conf', 'utf8'));
  } catch {
    return [];
  }
}

/**
 * The addresses under which secondaries and their clients know this server: it is the only name server of a zone without
 * services at `ns.dns`, since secondaries refuse a zone that has none. Empty while no option asks for secondaries. Loopback
 * addresses count only if there are no others.
 */
export function nameServerAddresses({
  addr,
  transferAllow,
  notify,
}: Config): readonly CanonicalAddress[] {
  if (transferAllow.length === 0 && notify.length === 0) return [];
  const listening = addr.flatMap(({ address }) =>
    isWildcardAddress(address) ? hostAddresses() : [address],
  );
  const known = [...new Set(listening)].flatMap((text) => canonicalAddress(text) ?? []);
  const reachable = known.filter(({ address }) => !isLoopbackAddress(address));
  return reachable.length > 0 ? reachable : known;
}

function isWildcardAddress(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}

/** Without those that only mean something on their link. */
function hostAddresses(): readonly string[] {
  return interfaceAddresses()
    .map(({ address }) => address)
    .filter((address) => !isLinkLocal(addressOctets(address)));
}

/** What counts as near, and the ranges of addresses that `isHere` stands for. */
export interface NearPart {
  readonly ranges: readonly Cidr[];
  readonly settings: NearSettings;
}

/** Equal ranges keep their function, by which equal settings are recognized. */
export function nearOf(
  { near, nearNetworks, region, registrar }: Config,
  hostRanges: readonly Cidr[],
  before: NearPart | undefined,
): NearPart {
  const { ip, region: registerRegion } = registrar?.settings ?? {};
  const registered = ip === undefined ? undefined : parseCidr(ip);
  const ranges = nearNetworks ?? [...(registered === undefined ? [] : [registered]), ...hostRanges];
  const isSame = before !== undefined && isSameValue(before.ranges, ranges);
  const isHere = isSame ? before.settings.isHere : rememberedSet(ranges);
  const labels = (region ?? registerRegion)?.toLowerCase().split('.');
  const settings = { how: near, isHere, region: labels };
  return isSame && isSameValue(before.settings, settings) ? before : { ranges, settings };
}
