/**
 * zone/: The meaning of a question: which services answer it, and the response made of them. Pure.
 * Imports: dns, service, zone/tree.
 * Used by: ambassador, app/answering, cli/commands, cli/linking, dataplane/publish, server, server/transfer, tools/doctor,
 *   transfer.
 *
 * This file decides a question: it finds the zone that the qname is in, looks the name up, and makes the header and the
 * authority section for the outcome. A decision that needs other servers' answers is `incomplete` and lists the
 * questions; the caller sends them and calls again.
 */
import { isReverseName } from '../dns/address.ts';
import {
  authoritative,
  Ede,
  type Question,
  type Response,
  refused,
  servfail,
} from '../dns/message.ts';
import { foldName, type Name } from '../dns/name.ts';
import { Class, Rcode, type Rr, Type } from '../dns/rr.ts';
import { dsAt } from './delegation.ts';
import { type Lookup, lookup, ptr } from './lookup.ts';
import type { ZoneCut } from './tree/forwardedNames.ts';
import {
  type Basis,
  basisOf,
  type LookupState,
  type MissingQuestion,
  newLookupState,
} from './tree/lookupState.ts';
import { isLeaderName } from './tree/meaning.ts';
import { nameServersOf } from './tree/select.ts';
import { apexOf, consulOf, parentApexOf, type View, type ZoneSettings } from './tree/view.ts';

export type Decision =
  /** `basis` is set if the answer was made from our names. */
  | { readonly kind: 'response'; readonly response: Response; readonly basis?: Basis }
  /** The caller sends these questions to other servers, and calls again with the answers in `View.externals`. */
  | { readonly kind: 'incomplete'; readonly missing: readonly MissingQuestion[] }
  /** One of our zones delegates the qname: the client gets `referral`, or the answer of the name servers. */
  | { readonly kind: 'delegated'; readonly cut: ZoneCut }
  /** The qname is outside our zones. */
  | { readonly kind: 'notOurs' };

/** A decision made from our names, with its inputs; the publisher needs nothing else. */
export interface Decided {
  readonly question: Question;
  readonly view: View;
  readonly response: Response;
  readonly basis: Basis;
}

/** Decides a question, with all records in canonical order (see `rrset.ts`). */
export function answer(view: View, question: Question): Decision {
  if (question.qclass !== Class.IN && question.qclass !== Class.ANY) {
    return { kind: 'response', response: refused('only class IN is served') };
  }
  const { settings } = view;
  const { qname, qtype } = question;
  const parent = qtype === Type.DS ? parentApexOf(settings, qname) : undefined;
  if (parent !== undefined)
    return { kind: 'response', response: delegationSigner(view, qname, parent) };
  const apex = apexOf(settings, qname);
  if (apex === undefined) {
    const cut = settings.forwarded.cutOf(qname);
    return cut === undefined ? answerReverse(view, question) : { kind: 'delegated', cut };
  }
  const state = newLookupState(view);
  const outcome = lookup(state, question, apex);
  if (state.missing.length > 0) return { kind: 'incomplete', missing: state.missing };
  const decided = withDenialReason(state, responseOf(view, outcome, question, apex));
  const response = withTruncation(state, decided);
  return { kind: 'response', response, basis: basisOf(state, foldName(qname)) };
}

/** RFC 4035 §3.1.4.1: where another zone begins below ours, our zone has its DS. */
function delegationSigner(view: View, qname: Name, apex: Name): Response {
  const rrs = dsAt(newLookupState(view), qname);
  if (rrs.length > 0) return authoritative(Rcode.NOERROR, rrs);
  return authoritative(Rcode.NOERROR, [], [denialBy(view, apex, view.settings.minTtlSeconds)]);
}

/** Whether the store may have the answer to a question. */
export function mayBeOurs(settings: ZoneSettings, { qname }: Question): boolean {
  return apexOf(settings, qname) !== undefined || isOurReverseName(settings, qname);
}

/** Whether the store may have a reverse name outside our zones: a domain of other servers precedes it. */
function isOurReverseName(settings: ZoneSettings, qname: Name): boolean {
  return isReverseName(qname) && settings.forwarded.domainOf(qname) === undefined;
}

/**
 * If the store has a reverse name outside our zones, the answer for every type comes from the store (SkyDNS): another
 * server's NXDOMAIN would deny the PTR as well. The response has no SOA, since the zone is not ours.
 */
function answerReverse(view: View, question: Question): Decision {
  const { qname, qtype } = question;
  if (!isOurReverseName(view.settings, qname)) return { kind: 'notOurs' };
  const state = newLookupState(view);
  const outcome = ptr(state, qname, []);
  if (outcome.kind === 'nxdomain') return { kind: 'notOurs' };
  const rrs = qtype === Type.PTR && outcome.kind === 'found' ? outcome.rrs : [];
  const response = authoritative(Rcode.NOERROR, rrs);
  return { kind: 'response', response, basis: basisOf(state, foldName(qname)) };
}

function withDenialReason({ denialReason }: LookupState, response: Response): Response {
  const isDenied = response.rcode === Rcode.NXDOMAIN && denialReason !== undefined;
  return isDenied ? { ...response, extendedError: denialReason } : response;
}

/** Sets TC if the selection stopped because the reply was full: the client repeats the question over TCP. */
function withTruncation(state: LookupState, response: Response): Response {
  if (!state.isCut) return response;
  const isFound = response.answer.length > 0;
  return isFound
    ? { ...response, truncated: true }
    : { ...authoritative(Rcode.NOERROR, []), truncated: true };
}

function responseOf(view: View, outcome: Lookup, question: Question, apex: Name): Response {
  const { ttlSeconds, minTtlSeconds } = view.settings;
  switch (outcome.kind) {
    case 'found': {
      // The RRset lacks RRs, so resolvers must not cache it for long.
      const rrs = outcome.isPartial ? atMost(minTtlSeconds, outcome.rrs) : outcome.rrs;
      return authoritative(Rcode.NOERROR, rrs, [], outcome.glue);
    }
    case 'soa':
      return authoritative(Rcode.NOERROR, [
        soa(view, { owner: question.qname, apex, ttlSeconds, minimumSeconds: minTtlSeconds }),
      ]);
    case 'nodata':
      return nodataResponse(view, outcome, negativeTtlSeconds(view.settings, question, apex));
    case 'nxdomain': {
      const denial = denialBy(view, apex, negativeTtlSeconds(view.settings, question, apex));
      return authoritative(Rcode.NXDOMAIN, [], [denial]);
    }
    case 'refused':
      return refused(outcome.text);
    case 'failed':
      return servfail(Ede.NO_REACHABLE_AUTHORITY, 'a name outside our zones could not be resolved');
  }
}

/**
 * RFC 2308 §2.2: the CNAMEs, and the SOA of the zone in which they end. Without an SOA a resolver caches the CNAME
 * alone, and takes it for the whole answer during the CNAME's TTL.
 */
function nodataResponse(
  view: View,
  { cnames, denial }: Extract<Lookup, { kind: 'nodata' }>,
  ttlSeconds: number,
): Response {
  const { minTtlSeconds } = view.settings;
  switch (denial.kind) {
    case 'own': {
      // An alias has no leader, whatever its name is.
      const denialTtlSeconds = cnames.length > 0 ? minTtlSeconds : ttlSeconds;
      const denied = denialBy(view, denial.apex, denialTtlSeconds);
      return authoritative(Rcode.NOERROR, cnames, [denied]);
    }
    case 'foreign':
      return denial.soa === undefined
        ? authoritative(Rcode.NOERROR, atMost(minTtlSeconds, cnames))
        : authoritative(Rcode.NOERROR, cnames, [denial.soa]);
  }
}

function atMost(ttlSeconds: number, rrs: readonly Rr[]): Rr[] {
  return rrs.map((rr) => ({ ...rr, ttlSeconds: Math.min(rr.ttlSeconds, ttlSeconds) }));
}

/** For how long a negative answer may be cached. A name that begins with `leader` may have a leader soon. */
function negativeTtlSeconds(settings: ZoneSettings, { qname }: Question, apex: Name): number {
  const mayBeLeader = consulOf(settings, apex) === undefined && isLeaderName(qname, apex);
  return mayBeLeader ? settings.leaderTtlSeconds : settings.minTtlSeconds;
}

/** The SOA of a negative answer. Its TTL equals its minimum (RFC 2308 §3), so resolvers that use either agree. */
function denialBy(view: View, apex: Name, ttlSeconds: number): Rr {
  return soa(view, { owner: apex, apex, ttlSeconds, minimumSeconds: ttlSeconds });
}

interface SoaFacts {
  /** The apex or, in an answer to a question for the SOA, the qname, to echo its case. */
  readonly owner: Name;
  readonly apex: Name;
  readonly ttlSeconds: number;
  readonly minimumSeconds: number;
}

function soa(view: View, { owner, apex, ttlSeconds, minimumSeconds }: SoaFacts): Rr {
  const { settings } = view;
  const zone = consulOf(settings, apex)?.own.zone ?? apex;
  return {
    owner,
    type: Type.SOA,
    class: Class.IN,
    ttlSeconds,
    rdata: {
      kind: 'soa',
      mname: nameServersOf(zone),
      rname: settings.hostmaster ?? ['hostmaster', ...apex],
      serial: serialOf(view, apex),
      refreshSeconds: 28_800,
      retrySeconds: 7_200,
      expireSeconds: 604_800,
      minimumSeconds,
    },
  };
}

const HOUR_SECONDS = 3600;

/**
 * The SOA serial of a zone: its version's or, without versions, SkyDNS's, which is the time, rounded down to the hour:
 * then there are no secondaries that would miss a change.
 */
export function serialOf(
  { facts, unixSeconds }: Pick<View, 'facts' | 'unixSeconds'>,
  apex: Name,
): number {
  return facts.zoneSerial?.(apex) ?? Math.floor(unixSeconds / HOUR_SECONDS) * HOUR_SECONDS;
}

/** Seconds until the serial changes; at least 1. */
export function serialLifeSeconds(unixSeconds: number): number {
  return HOUR_SECONDS - (unixSeconds % HOUR_SECONDS);
}
