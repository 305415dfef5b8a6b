/**
 * From a question to a response: which zone it belongs to, what the look-up found, and the header and authority that
 * go with it. Pure: what it needs from other servers it asks for (`incomplete`), and is called again with the answers.
 */
import { Ede, type Question, type Response } from '../dns/message.ts';
import { isSubdomainOf, type Name } from '../dns/name.ts';
import { authoritative, refused, servfail } from '../dns/response.ts';
import { Class, Rcode, type Rr, Type } from '../dns/rr.ts';
import { chaos } from './chaos.ts';
import { type Lookup, lookup, ptr } from './lookup.ts';
import { serialOf } from './serial.ts';
import { apexOf, type View, type ZoneSettings } from './view.ts';
import { type Basis, basisOf, type MissingQuestion, newWork } from './work.ts';

export type Answer =
  /** `basis` is there where the answer is out of our names. */
  | { readonly kind: 'response'; readonly response: Response; readonly basis?: Basis }
  /** These have to be asked elsewhere first; the answers belong into `View.externals`. */
  | { readonly kind: 'incomplete'; readonly missing: readonly MissingQuestion[] }
  /** None of our names. */
  | { readonly kind: 'elsewhere' };

export function answer(view: View, question: Question): Answer {
  if (question.qclass === Class.CH) return { kind: 'response', response: chaos(question) };
  if (question.qclass !== Class.IN && question.qclass !== Class.ANY) {
    return { kind: 'response', response: refused('only class IN is served') };
  }
  const apex = apexOf(view.settings, question.qname);
  if (apex === undefined) return answerReverse(view, question);
  const work = newWork(view);
  const outcome = lookup(work, question, apex);
  if (work.missing.length > 0) return { kind: 'incomplete', missing: work.missing };
  const response = responseOf(view, outcome, question, apex);
  return { kind: 'response', response, basis: basisOf(work) };
}

/** Whether the store may have something to say about a question. */
export function mayBeOurs(settings: ZoneSettings, question: Question): boolean {
  return apexOf(settings, question.qname) !== undefined || asksForPtr(question);
}

const REVERSE: readonly Name[] = [
  ['in-addr', 'arpa'],
  ['ip6', 'arpa'],
];

/** Whether it is a name of an address; those are answered from the store whatever the zones. */
export function isReverse(name: Name): boolean {
  return REVERSE.some((zone) => isSubdomainOf(name, zone));
}

function asksForPtr({ qname, qtype }: Question): boolean {
  return qtype === Type.PTR && isReverse(qname);
}

/** Reverse names outside our zones: what the store has under them is ours (SkyDNS), the rest is not. */
function answerReverse(view: View, question: Question): Answer {
  if (!asksForPtr(question)) return { kind: 'elsewhere' };
  const work = newWork(view);
  const outcome = ptr(work, question.qname);
  if (outcome.kind !== 'found') return { kind: 'elsewhere' };
  const response = authoritative(Rcode.NOERROR, outcome.rrs);
  return { kind: 'response', response, basis: basisOf(work) };
}

function responseOf(view: View, outcome: Lookup, question: Question, apex: Name): Response {
  const { ttlSeconds, minTtlSeconds } = view.settings;
  switch (outcome.kind) {
    case 'found':
      return authoritative(Rcode.NOERROR, outcome.rrs, [], outcome.glue);
    case 'soa':
      return authoritative(Rcode.NOERROR, [soa(view, question.qname, apex, ttlSeconds)]);
    // RFC 2308 §3: the SOA's TTL is its minimum, so that resolvers that look at either agree.
    case 'nodata':
      return authoritative(Rcode.NOERROR, [], [soa(view, apex, apex, minTtlSeconds)]);
    case 'nxdomain':
      return authoritative(Rcode.NXDOMAIN, [], [soa(view, apex, apex, minTtlSeconds)]);
    case 'refused':
      return refused(outcome.text);
    case 'failed':
      return servfail(Ede.NO_REACHABLE_AUTHORITY, 'a name outside our zones could not be resolved');
  }
}

/** The apex's SOA, its owner in the case of the question where it is the answer. */
function soa(view: View, owner: Name, apex: Name, ttlSeconds: number): Rr {
  const { settings } = view;
  return {
    owner,
    type: Type.SOA,
    class: Class.IN,
    ttlSeconds,
    rdata: {
      kind: 'soa',
      mname: ['ns', 'dns', ...apex],
      rname: settings.hostmaster ?? ['hostmaster', ...apex],
      serial: serialOf(view.unixSeconds),
      refreshSeconds: 28_800,
      retrySeconds: 7_200,
      expireSeconds: 604_800,
      minimumSeconds: settings.minTtlSeconds,
    },
  };
}
