/** Docker: whether containers can reach the server, and whether they query it by default. Pure. */
import { DNS_PORT, printSocketAddress, type SocketAddress } from '../../../dns/address.ts';
import { isLoopback } from '../../../forward/addresses.ts';
import { type Finding, findings } from './finding.ts';
import { type DesiredServer, integrateDockerLine, reachesBridge, startLine } from './remedy.ts';
import { ndotsOf } from './resolvConf.ts';

export interface DockerFacts {
  /** This host has an engine: its socket, bridge or configuration exists. */
  readonly hasEngine: boolean;
  /** The path of dockerd, if it is installed. */
  readonly program: string | undefined;
  /** This host's address on the default bridge; undefined while the bridge is down. */
  readonly bridgeAddress: string | undefined;
  /** The text of daemon.json. */
  readonly daemonJson: string | undefined;
  /** Whether a server of the domains answers on port 53 of the bridge's address and of each in daemon.json. */
  readonly answersAt: ReadonlyMap<string, boolean>;
}

interface DaemonSettings {
  readonly dns: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
}

/** The DNS settings of daemon.json; undefined if it is not a JSON object. */
export function readDaemonJson(text: string | undefined): DaemonSettings | undefined {
  let value: unknown = {};
  try {
    // dockerd treats an empty file like a missing one.
    if (text !== undefined && text.trim() !== '') value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const json = value as Record<string, unknown>;
  return {
    dns: textsOf(json.dns),
    search: textsOf(json['dns-search']),
    options: textsOf(json['dns-opts']),
  };
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

const { ok, problem, warning } = findings('docker');

export function judgeDocker(
  facts: DockerFacts,
  endpoints: readonly SocketAddress[],
  desired: DesiredServer,
): readonly Finding[] {
  if (!facts.hasEngine) return [judgeAbsence(facts.program)];
  const settings = readDaemonJson(facts.daemonJson);
  if (settings === undefined) {
    const fix = 'python3 -m json.tool /etc/docker/daemon.json   # shows where';
    return [problem('/etc/docker/daemon.json is not JSON, so dockerd cannot start', fix)];
  }
  return [
    ...judgeReach(facts, endpoints, desired),
    ...judgeServers(facts, settings, integrateDockerLine(desired)),
    ...judgeSearch(settings),
  ];
}

function judgeAbsence(program: string | undefined): Finding {
  if (program === undefined) return ok('this host has no Docker');
  const message = `${program} is installed, but /var/run/docker.sock does not exist`;
  return warning(message, 'sudo systemctl start docker');
}

/** Whether containers reach the server at the bridge's address; `endpoints` are its configured addresses. */
function judgeReach(
  { bridgeAddress, answersAt }: DockerFacts,
  endpoints: readonly SocketAddress[],
  desired: DesiredServer,
): readonly Finding[] {
  if (bridgeAddress === undefined) {
    const fix = 'ip -4 -br address show docker0   # or give --addr an address of this host';
    return [
      warning(
        "this host has no address on Docker's default bridge, so reaching it was not tested",
        fix,
      ),
    ];
  }
  const where = printSocketAddress({ address: bridgeAddress, port: DNS_PORT });
  if (answersAt.get(bridgeAddress) === true) {
    return [ok(`containers on the default bridge reach the server at ${where}`)];
  }
  const isMeant = reachesBridge({ endpoints }, bridgeAddress);
  const message = `no server of the domain answers at ${where}, this host's address for containers`;
  const fix = reachesBridge(desired, bridgeAddress)
    ? startLine(desired)
    : `sudo ss -lnptu 'sport = :${DNS_PORT}'   # shows which program uses ${where}`;
  return [isMeant ? problem(message, fix) : warning(message, fix)];
}

/** The DNS servers of containers without --dns. */
function judgeServers(
  { answersAt }: DockerFacts,
  { dns }: DaemonSettings,
  fix: string,
): readonly Finding[] {
  const ours = dns.filter((at) => !isLoopback(at) && answersAt.get(at) === true);
  const [own] = dns.filter(isLoopback);
  // A loopback address after the server in the list is queried only if the server does not answer; `fix` puts the
  // server first.
  if (own !== undefined && !ours.includes(dns[0] ?? '')) {
    const message = `daemon.json makes containers query ${own}, which is the container itself`;
    return [problem(message, fix)];
  }
  if (ours.length > 0)
    return [ok(`daemon.json makes containers query the server at ${ours.join(', ')}`)];
  if (dns.length === 0) {
    const message =
      'daemon.json sets no DNS server, so containers query the server only with docker run --dns';
    return [warning(message, fix)];
  }
  return [
    warning(
      `daemon.json makes containers query ${dns.join(', ')}, which does not serve the domain`,
      fix,
    ),
  ];
}

/** Docker sets ndots:0 on user-defined networks; with it musl ignores the search list. */
function judgeSearch({ search, options }: DaemonSettings): readonly Finding[] {
  if (search.length === 0 || (ndotsOf(options) ?? 0) > 0) return [];
  const message = `Alpine's musl ignores dns-search on user-defined networks, where Docker sets ndots:0`;
  return [
    warning(message, 'docker run --dns-opt ndots:1   # or "dns-opts": ["ndots:1"] in daemon.json'),
  ];
}
