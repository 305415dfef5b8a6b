/** Who holds the ports that the server is to have. Pure. */
import { printSocketAddress, type SocketAddress } from '../dns/socketAddress.ts';
import { type Finding, findings } from './finding.ts';

export interface PortFacts {
  readonly endpoint: SocketAddress;
  /** An interface of this host has the address, or it is a wildcard. */
  readonly isOurs: boolean;
  /** Absent: the port is free. */
  readonly udp: Held | undefined;
  readonly tcp: Held | undefined;
  /** A DNS server there answers with authority for one of our domains. */
  readonly answersForUs: boolean;
}

/** A port that some process has; which one, only as far as we may see it. */
export interface Held {
  readonly holder: { readonly pid: number; readonly command: string } | undefined;
}

const { ok, problem } = findings('port');

const OTHER_PORT = 5300;

/** One finding for one endpoint. */
export function judgePort(facts: PortFacts): Finding {
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
  const message = `${where} is held by ${who}, which does not answer for our domain`;
  return problem(message, fixOf(endpoint, holder));
}

function describe({ command, pid }: NonNullable<Held['holder']>): string {
  return `${command} (pid ${pid})`;
}

function fixOf({ address, port }: SocketAddress, holder: Held['holder']): string {
  if (holder === undefined) return `sudo ss -lnptu 'sport = :${port}'   # says who it is`;
  const other = printSocketAddress({ address, port: OTHER_PORT });
  switch (holder.command) {
    case 'dnsmasq':
      return `sudo soradns integrate dnsmasq --addr ${other} && soradns serve --addr ${other}`;
    // The kernel keeps 15 characters of a process's name.
    case 'systemd-resolve':
      return `soradns serve --addr 172.17.0.1:${port}   # systemd-resolved has 127.0.0.53 only; name one address`;
    default:
      return `soradns serve --addr ${other}   # or stop ${holder.command}: sudo kill ${holder.pid}`;
  }
}
