/** Which programs use the ports of the server. Pure. */
import { DNS_PORT, printSocketAddress, type SocketAddress } from '../../../dns/address.ts';
import { type Finding, findings } from './finding.ts';
import { type DesiredServer, integrateLine, startLine } from './remedy.ts';

export interface PortFacts {
  readonly endpoint: SocketAddress;
  /** The address belongs to this host, or is a wildcard. */
  readonly isOwnAddress: boolean;
  /** Undefined: the port is free. */
  readonly udp: PortHolder | undefined;
  readonly tcp: PortHolder | undefined;
  /** A DNS server there answers authoritatively for one of the domains. */
  readonly answersForUs: boolean;
  /** The server there reports that it is soradns. */
  readonly isSoradns: boolean;
}

/** A port in use. `holder` is undefined if this user may not see the process. */
export interface PortHolder {
  readonly holder: { readonly pid: number; readonly command: string } | undefined;
}

const { ok, problem } = findings('port');

const OTHER_PORT = 5300;

/** The kernel keeps 15 characters of a process's name. */
const RESOLVED = 'systemd-resolve';

/** Another program uses the port. */
function isBlocked({ udp, tcp, answersForUs, isSoradns }: PortFacts): boolean {
  return (udp ?? tcp) !== undefined && !answersForUs && !isSoradns;
}

/** The endpoint if the server can use it, else a similar one that it can use, if any. */
export function usableEndpoint(
  facts: PortFacts,
  bridgeAddress: string | undefined,
): SocketAddress | undefined {
  const { endpoint, isOwnAddress, answersForUs } = facts;
  if (!isOwnAddress && !answersForUs) return undefined;
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
  const { endpoint, isOwnAddress, answersForUs } = facts;
  const where = printSocketAddress(endpoint);
  if (!isOwnAddress) {
    const message = `${endpoint.address} is not an address of this host, so nothing can listen on ${where}`;
    return problem(message, 'ip -br address   # take one of these for --addr');
  }
  const held = facts.udp ?? facts.tcp;
  if (held === undefined) return ok(`${where} is free`);
  const { holder } = held;
  const who = holder === undefined ? 'a process that this user may not see' : describe(holder);
  if (answersForUs) return ok(`${where} is used by ${who}, which answers for the domain`);
  // The findings about the server say what it does not answer, and why.
  if (!isBlocked(facts)) return ok(`${where} is used by ${who}, a soradns server`);
  const message = `${where} is used by ${who}, which does not answer for the domain`;
  return problem(message, fixForPort(facts, desired));
}

function describe({ command, pid }: NonNullable<PortHolder['holder']>): string {
  return `${command} (pid ${pid})`;
}

function commandOf({ udp, tcp }: PortFacts): string | undefined {
  return (udp ?? tcp)?.holder?.command;
}

function fixForPort({ endpoint, udp, tcp }: PortFacts, desired: DesiredServer): string {
  const { holder } = udp ?? tcp ?? {};
  if (holder === undefined) {
    return `sudo ss -lnptu 'sport = :${endpoint.port}'   # shows the process`;
  }
  const start = startLine(desired);
  switch (holder.command) {
    case 'dnsmasq':
      return `${integrateLine('dnsmasq', desired)} && ${start}`;
    case RESOLVED:
      return `${start}   # systemd-resolved uses 127.0.0.53 only; give one address`;
    default:
      return `${start}   # or stop ${holder.command}: sudo kill ${holder.pid}`;
  }
}
