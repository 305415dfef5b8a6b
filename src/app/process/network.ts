/** This host on its network, as far as Linux tells: its addresses, Docker's bridge, who takes DNS. Never rejects. */
import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import type { Config } from '../../config/config.ts';
import { addressFamily, DNS_PORT, ipv4Bits, type SocketAddress } from '../../dns/address.ts';
import { type EngineEndpoint, resolveEndpoint } from '../../registrar/engine/endpoint.ts';
import type { DefaultBridge, Engine } from '../../registrar/engine/engine.ts';
import { readSockets } from '../../server/socketTable.ts';
import { Failure } from './failure.ts';
import type { Io } from './process.ts';

export interface HostNetwork {
  /** This host's IP addresses, also those of interfaces without carrier. */
  addresses(): Promise<ReadonlySet<string>>;
  /** This host's IPv4 address on Docker's default bridge; undefined where there is no sign of one. */
  bridgeAddress(): Promise<string | undefined>;
  /** Where somebody listens on UDP port 53, wildcard addresses as they are. */
  dnsListeners(): Promise<readonly SocketAddress[]>;
}

/** This host's own, with the engine that the server would talk to. */
export function networkOf(config: Config, io: Io): HostNetwork {
  let bridge: Promise<string | undefined> | undefined;
  return {
    async addresses() {
      const shown = Object.values(networkInterfaces()).flatMap((found = []) => found);
      return new Set([
        ...shown.map(({ address }) => address),
        ...(await readOwnAddresses(readIfThere)),
      ]);
    },
    bridgeAddress() {
      bridge ??= askBridgeAddress(engineOf(config, io));
      return bridge;
    },
    async dnsListeners() {
      const held = (await readSockets('udp')).filter(({ port }) => port === DNS_PORT);
      const addresses = new Set(held.map(({ address }) => address));
      return [...addresses].map((address) => ({ address, port: DNS_PORT }));
    },
  };
}

/** Settings that cannot work are `register`'s to complain of. */
function engineOf({ registrar }: Config, io: Io): EngineEndpoint | undefined {
  try {
    return engineEndpoint(registrar?.settings.dockerHost, '--register-docker-host', io);
  } catch {
    return undefined;
  }
}

async function askBridgeAddress(endpoint: EngineEndpoint | undefined): Promise<string | undefined> {
  const { connectEngine } = await import('../../registrar/engine/dockerode.ts');
  const engine = endpoint && connectEngine(endpoint);
  try {
    return (await knownBridgeAddress(engine, readIfThere))?.address;
  } finally {
    engine?.close();
  }
}

/** A file's text; undefined where there is none. */
export function readIfThere(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined);
}

/** The engine that an option (by its name on the command line) or else the environment names; throws a `Failure`. */
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
  const place = setting === '--docker-host' ? option : setting;
  throw new Failure('usage', `${place}: ${reason.replaceAll('--docker-host', option)}`);
}

/**
 * Where this host is for the containers on Docker's default bridge, and so the address to give to `docker run --dns`:
 * the gateway that the engine tells, else this host's own address in the bridge's subnet, else Docker's default. The
 * kernel's routes are read, as Node does not show an interface without carrier, which is what a bridge without
 * containers is. Never fails: the engine may come up after us.
 */

export interface BridgeAddress {
  /** IPv4. */
  readonly address: string;
  /** How it was found, for people: `the gateway of Docker's network "bridge"`. */
  readonly origin: string;
}

const DEFAULT_DEVICE = 'docker0';
const DEFAULT_GATEWAY = '172.17.0.1';

/** Gives the text of a file below /proc, `undefined` where there is none. */
export type ReadProc = (path: string) => Promise<string | undefined>;

/** The address to take, whatever is known. */
export async function findBridgeAddress(
  engine: Pick<Engine, 'defaultBridge'>,
  readProc: ReadProc,
): Promise<BridgeAddress> {
  const known = await knownBridgeAddress(engine, readProc);
  if (known !== undefined) return known;
  const origin = `Docker's default: neither the engine nor an interface ${DEFAULT_DEVICE} tells`;
  return { address: DEFAULT_GATEWAY, origin };
}

/** The same, undefined where there is no sign of Docker; without an engine only the kernel is asked. */
export async function knownBridgeAddress(
  engine: Pick<Engine, 'defaultBridge'> | undefined,
  readProc: ReadProc,
): Promise<BridgeAddress | undefined> {
  const bridge = engine && (await defaultBridge(engine));
  if (bridge?.gateway !== undefined) {
    return { address: bridge.gateway, origin: 'the gateway of Docker\'s network "bridge"' };
  }
  const device = bridge?.device ?? DEFAULT_DEVICE;
  const routes = parseRoutes((await readProc('/proc/net/route')) ?? '');
  const own = await readOwnAddresses(readProc);
  const subnets = routes.filter((route) => route.device === device);
  const address = own.find((one) => subnets.some((subnet) => isInSubnet(one, subnet)));
  return address === undefined
    ? undefined
    : { address, origin: `this host's address on ${device}` };
}

/** The IPv4 addresses of this host, also of interfaces without carrier. */
export async function readOwnAddresses(readProc: ReadProc): Promise<readonly string[]> {
  return parseOwnAddresses((await readProc('/proc/net/fib_trie')) ?? '');
}

function defaultBridge(engine: Pick<Engine, 'defaultBridge'>): Promise<DefaultBridge | undefined> {
  return engine.defaultBridge().catch(() => undefined);
}

interface DirectRoute {
  readonly device: string;
  /** Of 32 bits, the first octet on top. */
  readonly subnet: number;
  readonly mask: number;
}

/** The networks of `/proc/net/route` that are reached without a gateway: device, subnet, gateway, flags, ..., mask. */
export function parseRoutes(text: string): readonly DirectRoute[] {
  return text.split('\n').flatMap((line) => {
    const [device = '', subnet = '', gateway, , , , , mask = ''] = line.trim().split(/\s+/);
    const isDirect = gateway === '00000000' && mask !== gateway;
    return isDirect ? [{ device, subnet: bitsOf(subnet), mask: bitsOf(mask) }] : [];
  });
}

/** A number in the machine's byte order; Node's Linux machines are little-endian. */
function bitsOf(hex: string): number {
  const octets = /^[0-9A-F]{8}$/.test(hex) ? Buffer.from(hex, 'hex').reverse() : Buffer.alloc(4);
  return octets.readInt32BE();
}

/** The IPv4 addresses of this host in `/proc/net/fib_trie`: an address, then its kind on the next line. */
export function parseOwnAddresses(text: string): readonly string[] {
  const found = text.matchAll(/\|-- ([0-9.]+)\n\s+\/32 host LOCAL$/gm);
  return [...new Set([...found].map(([, address]) => address as string))].filter(
    (address) => addressFamily(address) === 4,
  );
}

function isInSubnet(address: string, { subnet, mask }: DirectRoute): boolean {
  return (ipv4Bits(address) & mask) === (subnet & mask);
}
