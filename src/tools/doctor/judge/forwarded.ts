/** Whether the servers that `--forward` names answer for their domains. Pure. */
import { printSocketAddress, type SocketAddress } from '../../../dns/address.ts';
import { type Name, printName } from '../../../dns/name.ts';
import { rcodeName } from '../../../dns/presentation/mnemonic.ts';
import { Rcode } from '../../../dns/rr.ts';
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
