/** Who holds the ports that the server is to have. Pure. */
import { DNS_PORT, printSocketAddress, type SocketAddress } from '../../../dns/address.ts';
import { type Finding, findings } from './finding.ts';
import { type DesiredServer, integrateLine, startLine } from './remedy.ts';

export interface PortFacts {
  readonly endpoint: SocketAddress;
  /** An interface of this host has the address, or it is a wildcard. */
  readonly isOurs: boolean;
  /** Absent: the port is free. */
  readonly udp: PortHolder | undefined;
  readonly tcp: PortHolder | undefined;
  /** A DNS server there answers with authority for one of our domains. */
  readonly answersForUs: boolean;
  /** It says that it is a soradns. */
  readonly isSoradns: boolean;
}

/** A port that some process has; which one, only as far as we may see it. */
export interface PortHolder {
  readonly holder: { readonly pid: number; readonly command: string } | undefined;
}

const { ok, problem } = findings('port');

const OTHER_PORT = 5300;

/** The kernel keeps 15 characters of a process's name. */
const RESOLVED = 'systemd-resolve';

/** Somebody is in the way there. */
function isBlocked({ udp, tcp, answersForUs, isSoradns }: PortFacts): boolean {
  return (udp ?? tcp) !== undefined && !answersForUs && !isSoradns;
}

/** Where the server can be instead of an endpoint; the endpoint itself if it can be there, undefined if nowhere near. */
export function usableEndpoint(
  facts: PortFacts,
  bridgeAddress: string | undefined,
): SocketAddress | undefined {
  const { endpoint, isOurs, answersForUs } = facts;
  if (!isOurs && !answersForUs) return undefined;
  if (!isBlocked(facts)) return endpoint;
  const { address, port } = endpoint;
  if (commandOf(facts) === RESOLVED && port === DNS_PORT) {
    const free = bridgeAddress ?? '127.0.0.1';
    if (free !== address) return { address: free, port };
  }
  return { address, port: port === OTHER_PORT ? OTHER_PORT + 1 : OTHER_PORT };
}

/** One finding for one endpoint. */
export function judgePort(facts: PortFacts, desired: DesiredServer): Finding {
  const { endpoint, isOurs, answersForUs } = facts;
  const where = printSocketAddress(endpoint);
  if (!isOurs) {
    const message = `${endpoint.address} is no address of this host, so nothing can listen on ${where}`;
    return problem(message, 'ip -br address   # take one of these for --addr');
  }
  const held = facts.udp ?? facts.tcp;
  if (held === undefined) return ok(`${where} is free`);
  const { holder } = held;
  const who = holder === undefined ? 'a process that we may not see' : describe(holder);
  if (answersForUs) return ok(`${where} is held by ${who}, which answers for our domain`);
  // What it does not answer, and why, is a finding about the server.
  if (!isBlocked(facts)) return ok(`${where} is held by ${who}, a soradns`);
  const message = `${where} is held by ${who}, which does not answer for our domain`;
  return problem(message, fixOf(facts, desired));
}

function describe({ command, pid }: NonNullable<PortHolder['holder']>): string {
  return `${command} (pid ${pid})`;
}

function commandOf({ udp, tcp }: PortFacts): string | undefined {
  return (udp ?? tcp)?.holder?.command;
}

function fixOf({ endpoint, udp, tcp }: PortFacts, desired: DesiredServer): string {
  const { holder } = udp ?? tcp ?? {};
  if (holder === undefined) {
    return `sudo ss -lnptu 'sport = :${endpoint.port}'   # says who it is`;
  }
  const start = startLine(desired);
  switch (holder.command) {
    case 'dnsmasq':
      return `${integrateLine('dnsmasq', desired)} && ${start}`;
    case RESOLVED:
      return `${start}   # systemd-resolved has 127.0.0.53 only; name one address`;
    default:
      return `${start}   # or stop ${holder.command}: sudo kill ${holder.pid}`;
  }
}
