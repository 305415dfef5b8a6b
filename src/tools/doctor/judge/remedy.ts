/**
 * The commands that start the server and configure its clients. All are made from one `DesiredServer`, so that all
 * fixes of an examination name the same addresses, domains and store. Pure.
 */
import {
  DNS_PORT,
  printSocketAddress,
  reachableAddress,
  type SocketAddress,
} from '../../../dns/address.ts';
import type { Name } from '../../../dns/name.ts';
import { isLoopback } from '../../../forward/addresses.ts';
import { isReachedAt, plainName } from './finding.ts';

/** The server once every problem is fixed. */
export interface DesiredServer {
  /** Its addresses now, or free ones. Never empty. */
  readonly endpoints: readonly SocketAddress[];
  readonly domains: readonly Name[];
  /** The domains are the default ones, so a command need not name them. */
  readonly hasDefaultDomains: boolean;
  /** Options of `serve` for the store and the HTTP listener that are not defaults. */
  readonly options: readonly string[];
  /** Options of its ambassador; empty without one. */
  readonly ambassador: readonly string[];
  /** Options with the files of its certificate or password for the store. */
  readonly credentials: readonly string[];
  /** This host has containers, so `up` should run. */
  readonly hasDocker: boolean;
  readonly bridgeAddress: string | undefined;
  /** A server runs already and must be stopped first. */
  readonly isRunning: boolean;
}

/** The command that starts the server. */
export function startLine(desired: DesiredServer, credentials = desired.credentials): string {
  const { endpoints, domains, hasDefaultDomains, hasDocker, isRunning } = desired;
  const namesDomains = isRunning || !hasDefaultDomains;
  const needsRoot = hasDocker || endpoints.some(({ port }) => port < 1024);
  const words = [
    ...(needsRoot ? ['sudo'] : []),
    `soradns ${hasDocker ? 'up' : 'serve'}`,
    ...(isAsUpChooses(desired) ? [] : endpoints.map((at) => `--addr ${printSocketAddress(at)}`)),
    ...(namesDomains ? domainWords(domains) : []),
    ...desired.options,
    ...desired.ambassador,
    ...credentials,
    ...(isRunning ? ['  # instead of the running server'] : []),
  ];
  return words.join(' ');
}

function isAsUpChooses({ endpoints, hasDocker, bridgeAddress }: DesiredServer): boolean {
  const [only, ...more] = endpoints;
  if (!hasDocker || more.length > 0) return false;
  return only?.port === DNS_PORT && only.address === bridgeAddress;
}

/**
 * The command that makes a resolver of this host query the server, with all domains because it writes the whole file.
 */
export function integrateLine(
  target: 'systemd-resolved' | 'dnsmasq',
  { endpoints, domains }: Pick<DesiredServer, 'endpoints' | 'domains'>,
): string {
  const [first] = endpoints as readonly [SocketAddress, ...SocketAddress[]];
  const words = [`--addr ${printSocketAddress(reachableAddress(first))}`, ...domainWords(domains)];
  return `sudo soradns integrate ${[target, ...words].join(' ')}`;
}

/** The command that makes containers query the server by default. */
export function integrateDockerLine({ endpoints, bridgeAddress }: DesiredServer): string {
  const usable = endpoints.find(({ address, port }) => port === DNS_PORT && !isLoopback(address));
  const address = bridgeAddress ?? usable?.address;
  const where = address && printSocketAddress({ address, port: DNS_PORT });
  return ['sudo soradns integrate docker', ...(where ? [`--addr ${where}`] : [])].join(' ');
}

/** Whether containers on the default bridge reach the server at the bridge's address. */
export function reachesBridge(
  { endpoints }: Pick<DesiredServer, 'endpoints'>,
  bridge: string,
): boolean {
  return endpoints.some((at) => at.port === DNS_PORT && isReachedAt(at, bridge));
}

function domainWords(domains: readonly Name[]): readonly string[] {
  return domains.map((domain) => `--domain ${plainName(domain)}`);
}
