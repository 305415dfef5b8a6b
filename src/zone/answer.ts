/**
 * From a question to a response: which zone it belongs to, what the look-up found, and the header and authority that
 * go with it. Pure: what it needs from other servers it asks for (`incomplete`), and is called again with the answers.
 */
import { Ede, type Question, type Response } from '../dns/message.ts';
import { equalNames, isSubdomainOf, type Name } from '../dns/name.ts';
import { Class, Rcode, type Rr, Type } from '../dns/rr.ts';
import { chaos } from './chaos.ts';
import { type Lookup, lookup, pointers } from './lookup.ts';
import { apexOf, newWork, type View } from './view.ts';

export type Answer =
  | { readonly kind: 'response'; readonly response: Response }
  /** These have to be asked elsewhere first; the answers belong into `View.externals`. */
  | { readonly kind: 'incomplete'; readonly missing: readonly Question[] }
  /** None of our names. */
  | { readonly kind: 'elsewhere' };

const REVERSE: readonly Name[] = [
  ['in-addr', 'arpa'],
  ['ip6', 'arpa'],
];

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
  return { kind: 'response', response: respond(view, outcome, question, apex) };
}

/** Reverse names outside our zones: what the store has under them is ours (SkyDNS), the rest is not. */
function answerReverse(view: View, question: Question): Answer {
  const isReverse = REVERSE.some((zone) => isSubdomainOf(question.qname, zone));
  if (question.qtype !== Type.PTR || !isReverse) return { kind: 'elsewhere' };
  const outcome = pointers(newWork(view), question.qname);
  if (outcome.kind !== 'hit') return { kind: 'elsewhere' };
  return { kind: 'response', response: authoritative(Rcode.NOERROR, outcome.answer) };
}

function respond(view: View, outcome: Lookup, question: Question, apex: Name): Response {
  switch (outcome.kind) {
    case 'hit':
      return authoritative(Rcode.NOERROR, outcome.answer, [], outcome.additional);
    case 'soa':
      return authoritative(Rcode.NOERROR, [
        soa(view, ownerOfApex(question, apex), apex, view.settings.ttlSeconds),
      ]);
    case 'nodata':
      return authoritative(Rcode.NOERROR, [], [negativeSoa(view, apex)]);
    case 'nxdomain':
      return authoritative(Rcode.NXDOMAIN, [], [negativeSoa(view, apex)]);
    case 'refused':
      return refused(outcome.text);
    case 'failed':
      return failed(
        Ede.NO_REACHABLE_AUTHORITY,
        'the server of a target outside our zones gave no answer',
      );
  }
}

/** An answer's owner has the case of the question. */
function ownerOfApex(question: Question, apex: Name): Name {
  return equalNames(question.qname, apex) ? question.qname : apex;
}

/** RFC 2308 §3: the TTL is no more than the minimum, so that resolvers that look at either agree. */
function negativeSoa(view: View, apex: Name): Rr {
  return soa(view, apex, apex, view.settings.minTtlSeconds);
}

const HOUR_SECONDS = 3600;

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
      // SkyDNS's serial: the time, cut to the hour. There are no secondaries to notice.
      serial: Math.floor(view.unixSeconds / HOUR_SECONDS) * HOUR_SECONDS,
      refreshSeconds: 28_800,
      retrySeconds: 7_200,
      expireSeconds: 604_800,
      minimumSeconds: settings.minTtlSeconds,
    },
  };
}

function authoritative(
  rcode: number,
  records: readonly Rr[],
  authority: readonly Rr[] = [],
  additional: readonly Rr[] = [],
): Response {
  return {
    rcode,
    authoritative: true,
    recursionAvailable: false,
    answer: records,
    authority,
    additional,
  };
}

/** A response without records: why, for those who can read it (RFC 8914). */
export function empty(rcode: number, code: number, text: string): Response {
  return {
    rcode,
    authoritative: false,
    recursionAvailable: false,
    answer: [],
    authority: [],
    additional: [],
    extendedError: { code, text },
  };
}

export function refused(text: string): Response {
  return empty(Rcode.REFUSED, Ede.PROHIBITED, text);
}

export function failed(code: number, text: string): Response {
  return empty(Rcode.SERVFAIL, code, text);
}
