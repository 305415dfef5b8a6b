/** Whether the server answers for the domains over both transports, and whether it is ready. Pure. */
import { printSocketAddress, type SocketAddress } from '../../../dns/address.ts';
import type { ExtendedError } from '../../../dns/message.ts';
import { type Name, printName } from '../../../dns/name.ts';
import { Rcode } from '../../../dns/rr.ts';
import { type Finding, findings } from './finding.ts';
import type { PortFacts, PortHolder } from './port.ts';
import { type DesiredServer, startLine } from './remedy.ts';

/** The result of a query for a domain's SOA. */
export type SoaResult =
  | {
      readonly kind: 'reply';
      readonly rcode: number;
      readonly isAuthoritative: boolean;
      /** The reply has the SOA itself. */
      readonly hasSoa: boolean;
      readonly extendedErrors: readonly ExtendedError[];
      readonly ms: number;
    }
  | { readonly kind: 'noReply'; readonly reason: string }
  /** dns2 cannot read the reply to this query. */
  | { readonly kind: 'skipped' };

export interface ServerFacts {
  /** The queried address; never a wildcard. */
  readonly endpoint: SocketAddress;
  readonly domain: Name;
  readonly udp: SoaResult;
  readonly tcp: SoaResult;
  /** The URL of `/readyz`; undefined without HTTP. */
  readonly readyUrl: string | undefined;
}

/** The reply of `/readyz`. */
export type ReadinessFacts =
  | { readonly kind: 'answered'; readonly url: string; readonly reasons: readonly string[] }
  | { readonly kind: 'silent'; readonly url: string; readonly reason: string };

const { ok, problem, warning } = findings('server');

/** Whether the server that replied serves the domain. */
export function answersForUs(asked: SoaResult): boolean {
  return asked.kind === 'reply' && asked.rcode === Rcode.NOERROR && asked.isAuthoritative;
}

/** One finding for one domain at one endpoint. `obstacle` is the fix for a port that another program uses. */
export function judgeServer(
  facts: ServerFacts,
  desired: DesiredServer,
  obstacle?: string,
): Finding {
  const { endpoint, domain, udp, tcp, readyUrl } = facts;
  const where = printSocketAddress(endpoint);
  const name = printName(domain);
  const start = obstacle ?? startLine(desired);
  if (udp.kind !== 'reply') {
    if (tcp.kind !== 'reply') return problem(`nothing answers at ${where}`, start);
    const fix = `sudo ss -lnup 'sport = :${endpoint.port}'   # does a firewall block UDP?`;
    return problem(`${where} answers over TCP but not over UDP`, fix);
  }
  if (udp.rcode === Rcode.SERVFAIL && obstacle === undefined) {
    const message = `${where} cannot answer for ${name} yet: it has not read its store`;
    const see = 'soradns check --show   # shows which store it is';
    return problem(
      message,
      readyUrl === undefined ? see : `curl -s ${readyUrl}   # shows the reason`,
    );
  }
  if (!answersForUs(udp)) return problem(`${where} does not serve ${name}`, start);
  if (tcp.kind === 'noReply') {
    const fix = `sudo ss -lntp 'sport = :${endpoint.port}'   # does a firewall block TCP?`;
    return problem(`${where} answers over UDP but not over TCP (${tcp.reason})`, fix);
  }
  const how = tcp.kind === 'skipped' ? 'over UDP' : 'over UDP and TCP';
  return ok(`${where} answers for ${name} ${how} in ${udp.ms.toFixed(1)} ms`);
}

/** A finding for each reason why the server is not ready. */
export function judgeReadiness(facts: ReadinessFacts, desired: DesiredServer): readonly Finding[] {
  const { url } = facts;
  if (facts.kind === 'silent') {
    const message = `${url} does not report whether the server is ready: ${facts.reason}`;
    return [warning(message, startLine(desired))];
  }
  if (facts.reasons.length === 0) return [ok(`${url} reports that the server is ready`)];
  const fix = `curl -s ${url}/readyz`;
  return facts.reasons.map((reason) => problem(`not ready: ${reason}`, fix));
}

/**
 * Whether a server process other than the one that answers DNS listens for HTTP. Compares only processes of the same
 * program, because systemd or Docker's proxy may hold a server's socket.
 */
export function judgeHttpHolder(
  url: string,
  holder: PortHolder['holder'],
  ports: readonly PortFacts[],
): readonly Finding[] {
  const servers = ports
    .filter((port) => port.answersForUs || port.isSoradns)
    .flatMap(({ udp }) => udp?.holder ?? []);
  const [server] = servers;
  if (holder === undefined || server === undefined || holder.command === 'docker-proxy') return [];
  const areOthers = servers.every(
    ({ command, pid }) => command === holder.command && pid !== holder.pid,
  );
  if (!areOthers) return [];
  const message = `${url} belongs to another process (pid ${holder.pid}) than the DNS server (pid ${server.pid})`;
  const fix = `sudo ss -lntp | grep pid=${server.pid},   # shows its HTTP address, for --http IP:PORT`;
  return [warning(message, fix)];
}
