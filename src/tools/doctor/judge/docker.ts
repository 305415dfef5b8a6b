/** Docker: whether its containers can reach the server, and whether they are sent to it. Pure. */
import { DNS_PORT, printSocketAddress, type SocketAddress } from '../../../dns/address.ts';
import { isLoopback } from '../../../forward/addresses.ts';
import { type Finding, findings } from './finding.ts';
import { type DesiredServer, integrateDockerLine, reachesBridge, startLine } from './remedy.ts';
import { ndotsOf } from './resolvConf.ts';

export interface DockerFacts {
  /** This host has an engine: its socket, its bridge or its configuration is there. */
  readonly isThere: boolean;
  /** The engine's program, where one is installed. */
  readonly program: string | undefined;
  /** Of the default bridge on this host; absent while it is not up. */
  readonly bridgeAddress: string | undefined;
  /** The text of daemon.json. */
  readonly daemonJson: string | undefined;
  /** Whether a server of our domain answers on port 53 of an address; asked for the bridge's and daemon.json's own. */
  readonly answersAt: ReadonlyMap<string, boolean>;
}

interface DaemonSettings {
  readonly dns: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
}

/** What daemon.json says of DNS; undefined when it is no JSON object. */
export function readDaemonJson(text: string | undefined): DaemonSettings | undefined {
  let value: unknown = {};
  try {
    // An empty file is as none to dockerd.
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
  if (!facts.isThere) return [judgeAbsence(facts.program)];
  const settings = readDaemonJson(facts.daemonJson);
  if (settings === undefined) {
    const fix = 'python3 -m json.tool /etc/docker/daemon.json   # shows where';
    return [problem('/etc/docker/daemon.json is not JSON, so dockerd does not start', fix)];
  }
  return [
    ...judgeReach(facts, endpoints, desired),
    ...judgeServers(facts, settings, integrateDockerLine(desired)),
    ...judgeSearch(settings),
  ];
}

function judgeAbsence(program: string | undefined): Finding {
  if (program === undefined) return ok('there is no Docker on this host');
  const message = `no engine answers at /var/run/docker.sock, though ${program} is installed`;
  return warning(message, 'sudo systemctl start docker');
}

/** Whether containers reach the server at the bridge's address; `endpoints` are where it was meant to be. */
function judgeReach(
  { bridgeAddress, answersAt }: DockerFacts,
  endpoints: readonly SocketAddress[],
  desired: DesiredServer,
): readonly Finding[] {
  if (bridgeAddress === undefined) {
    const fix = 'ip -4 -br address show docker0   # or give --addr an address of this host';
    return [warning("Docker's default bridge has no address here, so none was tried", fix)];
  }
  const where = printSocketAddress({ address: bridgeAddress, port: DNS_PORT });
  if (answersAt.get(bridgeAddress) === true) {
    return [ok(`containers on the default bridge reach the server at ${where}`)];
  }
  const isMeant = reachesBridge({ endpoints }, bridgeAddress);
  const message = `no server of our domain answers at ${where}, where containers reach this host`;
  const fix = reachesBridge(desired, bridgeAddress)
    ? startLine(desired)
    : `sudo ss -lnptu 'sport = :${DNS_PORT}'   # who has ${where}, and keeps the server from it`;
  return [isMeant ? problem(message, fix) : warning(message, fix)];
}

/** Whom dockerd sends containers to that have no --dns of their own. */
function judgeServers(
  { answersAt }: DockerFacts,
  { dns }: DaemonSettings,
  fix: string,
): readonly Finding[] {
  const ours = dns.filter((at) => !isLoopback(at) && answersAt.get(at) === true);
  const [own] = dns.filter(isLoopback);
  // Behind the server it is asked only when that does not answer; `fix` puts the server in front.
  if (own !== undefined && !ours.includes(dns[0] ?? '')) {
    const message = `daemon.json sends containers to ${own}, which is each container itself`;
    return [problem(message, fix)];
  }
  if (ours.length > 0)
    return [ok(`daemon.json sends containers to the server at ${ours.join(', ')}`)];
  if (dns.length === 0) {
    const message = 'containers ask the server only with docker run --dns: daemon.json names none';
    return [warning(message, fix)];
  }
  return [
    warning(
      `daemon.json sends containers to ${dns.join(', ')}, where our domain is not served`,
      fix,
    ),
  ];
}

/** Docker sets ndots:0 on networks of one's own, with which musl never uses the search list. */
function judgeSearch({ search, options }: DaemonSettings): readonly Finding[] {
  if (search.length === 0 || (ndotsOf(options) ?? 0) > 0) return [];
  const message = `dns-search is not used by Alpine's musl on networks of one's own, where Docker sets ndots:0`;
  return [
    warning(message, 'docker run --dns-opt ndots:1   # or "dns-opts": ["ndots:1"] in daemon.json'),
  ];
}
