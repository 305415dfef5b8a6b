/**
 * This host's address for the containers on Docker's default bridge, and so the address for `docker run --dns`: the
 * gateway that the engine reports, else this host's own address in the bridge's subnet, else Docker's default. Node
 * hides an interface without carrier, such as a bridge without containers, so the kernel's routes are read. Never
 * fails: the engine may start later than this process.
 */
import { addressFamily } from '../../dns/address.ts';
import { addressSet } from '../../forward/addresses.ts';
import { type HostRoute, parseMainRoutes } from '../../kernel/routeTables.ts';
import type { DefaultBridge, Engine } from '../../registrar/engine/engine.ts';

export interface BridgeAddress {
  /** IPv4. */
  readonly address: string;
  /** Where it was found, for the operator: `the gateway of Docker's network "bridge"`. */
  readonly origin: string;
}

const DEFAULT_DEVICE = 'docker0';
const DEFAULT_GATEWAY = '172.17.0.1';

/** Reads a file below /proc as text; undefined if it does not exist. */
export type ReadProc = (path: string) => Promise<string | undefined>;

/** The best address; Docker's default without any sign of Docker. */
export async function findBridgeAddress(
  engine: Pick<Engine, 'defaultBridge'>,
  readProc: ReadProc,
): Promise<BridgeAddress> {
  const known = await knownBridgeAddress(engine, readProc);
  if (known !== undefined) return known;
  const origin = `Docker's default: the engine does not answer and this host has no interface ${DEFAULT_DEVICE}`;
  return { address: DEFAULT_GATEWAY, origin };
}

/** Undefined without any sign of Docker. Without an engine, only the kernel's tables are read. */
export async function knownBridgeAddress(
  engine: Pick<Engine, 'defaultBridge'> | undefined,
  readProc: ReadProc,
): Promise<BridgeAddress | undefined> {
  const bridge = engine && (await defaultBridge(engine));
  if (bridge?.gateway !== undefined) {
    return { address: bridge.gateway, origin: 'the gateway of Docker\'s network "bridge"' };
  }
  const device = bridge?.device ?? DEFAULT_DEVICE;
  const routes = parseMainRoutes((await readProc('/proc/net/route')) ?? '');
  const own = await readOwnAddresses(readProc);
  const isIn = addressSet(routes.filter((route) => route.device === device && isDirect(route)));
  const address = own.find(isIn);
  return address === undefined
    ? undefined
    : { address, origin: `this host's address on ${device}` };
}

function defaultBridge(engine: Pick<Engine, 'defaultBridge'>): Promise<DefaultBridge | undefined> {
  return engine.defaultBridge().catch(() => undefined);
}

/** This host's IPv4 addresses, including those of interfaces without carrier. */
export async function readOwnAddresses(readProc: ReadProc): Promise<readonly string[]> {
  return parseOwnAddresses((await readProc('/proc/net/fib_trie')) ?? '');
}

/** The IPv4 addresses of this host in `/proc/net/fib_trie`: an address, then its kind on the next line. */
function parseOwnAddresses(text: string): readonly string[] {
  const found = text.matchAll(/\|-- ([0-9.]+)\n\s+\/32 host LOCAL$/gm);
  return [...new Set([...found].map(([, address]) => address as string))].filter(
    (address) => addressFamily(address) === 4,
  );
}

function isDirect({ hasGateway, prefixLength }: HostRoute): boolean {
  return !hasGateway && prefixLength > 0;
}
