/** Translates a forwarder's outcome into an `External` for the zone, and into a response for the client. */
import {
  Ede,
  type ExtendedError,
  type Message,
  type Response,
  refused,
  servfail,
} from '../dns/message.ts';
import { Rcode, Type } from '../dns/rr.ts';
import type { Forwarded } from '../forward/outcome.ts';
import type { External } from '../zone/view.ts';

export function externalOf(forwarded: Forwarded): External {
  switch (forwarded.kind) {
    case 'answered':
      return externalOfMessage(forwarded.message, forwarded.stale);
    case 'failed':
      return { kind: 'failed' };
    case 'refused':
      return { kind: 'unavailable' };
  }
}

/** SERVFAIL and REFUSED say nothing about the name. */
function externalOfMessage({ rcode, answer, authority }: Message, stale?: true): External {
  switch (rcode) {
    case Rcode.NOERROR: {
      const soa = authority.find(({ type }) => type === Type.SOA);
      return { kind: 'found', rrs: answer, soa, stale };
    }
    case Rcode.NXDOMAIN:
      return { kind: 'nxdomain', rrs: answer, stale };
    default:
      return { kind: 'failed' };
  }
}

export function responseOfForwarded(forwarded: Forwarded): Response {
  switch (forwarded.kind) {
    case 'answered': {
      const { rcode, answer: rrs, authority, additional } = forwarded.message;
      return {
        rcode,
        authoritative: false,
        recursionAvailable: true,
        answer: rrs,
        authority,
        additional,
        extendedError: forwarded.stale && staleError(rcode),
      };
    }
    case 'failed': {
      const { reason, text } = forwarded;
      return servfail(reason === 'servfail' ? Ede.NO_REACHABLE_AUTHORITY : Ede.NETWORK_ERROR, text);
    }
    case 'refused':
      return refused(forwarded.text, Ede.NOT_AUTHORITATIVE);
  }
}

/** For an answer that depends on another server's expired answer (RFC 8914 §4.4, §4.20). */
export function staleError(rcode: number): ExtendedError {
  const code = rcode === Rcode.NXDOMAIN ? Ede.STALE_NXDOMAIN : Ede.STALE_ANSWER;
  return { code, text: 'no upstream gave a newer answer' };
}
