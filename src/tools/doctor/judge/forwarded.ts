/** Whether the servers that `--forward` names, and the name servers of delegations, answer for their domains. Pure. */
import { printSocketAddress, type SocketAddress } from '../../../dns/address.ts';
import { Ede } from '../../../dns/message.ts';
import { type Name, printName } from '../../../dns/name.ts';
import { rcodeName } from '../../../dns/presentation/mnemonic.ts';
import { Rcode } from '../../../dns/rr.ts';
import { printable } from '../../../observability/printable.ts';
import { type Finding, findings } from './finding.ts';
import type { SoaResult } from './server.ts';

export interface ForwardedFacts {
  readonly domain: Name;
  readonly server: SocketAddress;
  /** The address is one on which this server answers. */
  readonly isThisServer: boolean;
  /** The reply to a question for the domain's SOA. */
  readonly soa: SoaResult;
}

const { ok, problem } = findings('forward');

/**
 * One finding for one server of one domain; undefined if the server could not be asked. A server that knows only names
 * below the domain may deny the domain itself, so NXDOMAIN is an answer.
 */
export function judgeForwarded(facts: ForwardedFacts): Finding | undefined {
  const { domain, server, isThisServer, soa } = facts;
  const name = printName(domain);
  const where = printSocketAddress(server);
  const { address, port } = server;
  const fix = `dig @${address} -p ${port} ${name} SOA   # then correct --forward ${name}=${where}`;
  if (isThisServer)
    return problem(`the server ${where} of ${name} is this server: its questions would loop`, fix);
  switch (soa.kind) {
    case 'skipped':
      return undefined;
    case 'noReply':
      return problem(`the server ${where} of ${name} does not answer (${soa.reason})`, fix);
    case 'reply':
      return soa.rcode === Rcode.NOERROR || soa.rcode === Rcode.NXDOMAIN
        ? ok(`the server ${where} of ${name} answers in ${Math.round(soa.ms)} ms`)
        : problem(`the server ${where} of ${name} answers ${rcodeName(soa.rcode)}`, fix);
  }
}

/** The answer of our server to a question for the SOA of a name that it delegates. */
export interface DelegatedFacts {
  readonly domain: Name;
  readonly server: SocketAddress;
  readonly soa: SoaResult;
}

const delegation = findings('delegation');

/**
 * One finding for one delegated name; undefined if our server does not say how its name servers answer: it is down, or
 * asks no others for this client, which gets REFUSED or a referral.
 */
export function judgeDelegated({ domain, server, soa }: DelegatedFacts): Finding | undefined {
  if (soa.kind !== 'reply' || soa.rcode === Rcode.REFUSED) return undefined;
  const name = printName(domain);
  const { address, port } = server;
  if (soa.rcode === Rcode.NOERROR && !soa.hasSoa) return undefined;
  const isStale = soa.extendedErrors.some(({ code }) => code === Ede.STALE_ANSWER);
  if (soa.rcode === Rcode.NOERROR && !isStale)
    return delegation.ok(`a name server of ${name} answers in ${Math.round(soa.ms)} ms`);
  const why = soa.extendedErrors.map(({ text }) => text).join('; ') || rcodeName(soa.rcode);
  return delegation.problem(
    `no name server of ${name} answers for it (${printable(why)})`,
    `dig @${address} -p ${port} ${name} SOA   # then correct the NS records of ${name} or its servers`,
  );
}

/** The finding about delegations beyond those that `doctor` asks. */
export function judgeUnasked(count: number): readonly Finding[] {
  return count <= 0 ? [] : [delegation.ok(`${count} more delegations were not asked`)];
}
