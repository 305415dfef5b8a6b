/**
 * The lines that start the server, and that send others to it. All are made from one `DesiredServer`, so that the fixes of an
 * examination agree: whichever is copied first, it names the same addresses, domains and store as the next. Pure.
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

/** The server as it is to be once everything is mended. */
export interface DesiredServer {
  /** Where it is, or can be without being in anybody's way. Never empty. */
  readonly endpoints: readonly SocketAddress[];
  readonly domains: readonly Name[];
  /** Those who start it need not say its domains. */
  readonly hasDefaultDomains: boolean;
  /** Options of `serve` for its store and its HTTP listener, where they are not as by default. */
  readonly options: readonly string[];
  /** What shows it to its store: certificate or password, by the names of files. */
  readonly credentials: readonly string[];
  /** This host has containers, so it should be `up`. */
  readonly hasDocker: boolean;
  readonly bridgeAddress: string | undefined;
  /** One is there already, which has to end first. */
  readonly isRunning: boolean;
}

/** The one line that starts it; `credentials` instead of its own. */
export function startLine(desired: DesiredServer, credentials = desired.credentials): string {
  const { endpoints, domains, hasDefaultDomains, options, hasDocker, isRunning } = desired;
  const saysDomains = isRunning || !hasDefaultDomains;
  const needsRoot = hasDocker || endpoints.some(({ port }) => port < 1024);
  const words = [
    ...(needsRoot ? ['sudo'] : []),
    `soradns ${hasDocker ? 'up' : 'serve'}`,
    ...(isAsUpChooses(desired) ? [] : endpoints.map((at) => `--addr ${printSocketAddress(at)}`)),
    ...(saysDomains ? domainWords(domains) : []),
    ...options,
    ...credentials,
    ...(isRunning ? ['  # in place of the one that runs'] : []),
  ];
  return words.join(' ');
}

function isAsUpChooses({ endpoints, hasDocker, bridgeAddress }: DesiredServer): boolean {
  const [only, ...more] = endpoints;
  if (!hasDocker || more.length > 0) return false;
  return only?.port === DNS_PORT && only.address === bridgeAddress;
}

/** The line that has a resolver of this host ask it, for all of its domains: a file of one's own is written whole. */
export function integrateLine(
  target: 'systemd-resolved' | 'dnsmasq',
  { endpoints, domains }: Pick<DesiredServer, 'endpoints' | 'domains'>,
): string {
  const [first] = endpoints as readonly [SocketAddress, ...SocketAddress[]];
  const words = [`--addr ${printSocketAddress(reachableAddress(first))}`, ...domainWords(domains)];
  return `sudo soradns integrate ${[target, ...words].join(' ')}`;
}

/** The line that has dockerd send containers to it. */
export function integrateDockerLine({ endpoints, bridgeAddress }: DesiredServer): string {
  const usable = endpoints.find(({ address, port }) => port === DNS_PORT && !isLoopback(address));
  const address = bridgeAddress ?? usable?.address;
  const where = address && printSocketAddress({ address, port: DNS_PORT });
  return ['sudo soradns integrate docker', ...(where ? [`--addr ${where}`] : [])].join(' ');
}

/** Whether containers on the default bridge will find it at the bridge's address. */
export function reachesBridge(
  { endpoints }: Pick<DesiredServer, 'endpoints'>,
  bridge: string,
): boolean {
  return endpoints.some((at) => at.port === DNS_PORT && isReachedAt(at, bridge));
}

function domainWords(domains: readonly Name[]): readonly string[] {
  return domains.map((domain) => `--domain ${plainName(domain)}`);
}
