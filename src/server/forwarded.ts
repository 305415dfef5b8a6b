/** Translates a forwarder's outcome into an `External` for the zone, and into a response for the client. */
import {
  authoritative,
  Ede,
  type ExtendedError,
  type Message,
  type Question,
  type Response,
  refused,
  STALE_ANSWER,
  STALE_NXDOMAIN,
  servfail,
} from '../dns/message.ts';
import type { Name } from '../dns/name.ts';
import { Rcode, Type } from '../dns/rr.ts';
import type { Forwarded } from '../forward/outcome.ts';
import { hasPrivateAddress } from '../forward/privateNames.ts';
import { foreignPart } from '../zone/follow.ts';
import type { External, ZoneSettings } from '../zone/tree/view.ts';

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

/** A response to a question outside our zones. */
export interface OutsideResponse {
  readonly response: Response;
  /** The name to which the chain leads, and which others answer: the response is only its first part. */
  readonly back: Name | undefined;
}

export interface OutsideRules {
  readonly settings: () => ZoneSettings;
  /** Whether a name outside our zones may lead to private addresses and into our zones. */
  readonly mayRebind: (qname: Name) => boolean;
}

/** The response that every client gets which asks the question with the same flags. */
export function outsideResponse(
  question: Question,
  forwarded: Forwarded,
  { settings, mayRebind }: OutsideRules,
): OutsideResponse {
  const response = responseOfForwarded(forwarded);
  const { rcode, answer, authority } = response;
  const isDenied = rcode !== Rcode.NOERROR || authority.some(({ type }) => type === Type.SOA);
  const { rrs, back, leadsInside } = foreignPart(settings(), { rrs: answer, isDenied }, question);
  const isInside = leadsInside || hasPrivateAddress(rrs);
  if (isInside && !mayRebind(question.qname)) return { response: rebinding(), back: undefined };
  return { response: { ...response, answer: rrs }, back };
}

/**
 * NODATA instead of an error: after an error a client would ask another server, which would give it the private
 * address.
 */
function rebinding(): Response {
  const text = 'the name leads to a private address (--rebind-protection)';
  const extendedError = { code: Ede.BLOCKED, text };
  return { ...authoritative(Rcode.NOERROR, []), authoritative: false, extendedError };
}

function responseOfForwarded(forwarded: Forwarded): Response {
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
      const isUnreached = reason === 'servfail' || reason === 'untrusted';
      const byReason = isUnreached ? Ede.NO_REACHABLE_AUTHORITY : Ede.NETWORK_ERROR;
      return servfail(forwarded.ede ?? byReason, text);
    }
    case 'refused':
      return refused(forwarded.text, Ede.NOT_AUTHORITATIVE);
  }
}

/** For an answer that depends on another server's expired answer. */
export function staleError(rcode: number): ExtendedError {
  return rcode === Rcode.NXDOMAIN ? STALE_NXDOMAIN : STALE_ANSWER;
}
