/**
 * The authoritative look-up (RFC 1034 §4.3.2 with SkyDNS's rules): a question about a name in one of our zones becomes
 * one of a few outcomes. No flags, no SOA, no octets: `answer` makes a response of it.
 */
import type { Question } from '../dns/message.ts';
import { foldName, type Name } from '../dns/name.ts';
import { Class, type Rr, Type } from '../dns/rr.ts';
import { type Followed, follow, servicesAt } from './follow.ts';
import { rrset, shuffle } from './rrset.ts';
import { newBudget, type Selected, selectExact } from './select.ts';
import { mxRecords, nsRecords, srvRecords, type WithGlue } from './targets.ts';
import { ttlOf, type Work } from './view.ts';

export type Lookup =
  | { readonly kind: 'hit'; readonly answer: readonly Rr[]; readonly additional: readonly Rr[] }
  /** The apex's SOA is the answer. */
  | { readonly kind: 'soa' }
  | { readonly kind: 'nodata' }
  | { readonly kind: 'nxdomain' }
  | { readonly kind: 'refused'; readonly text: string }
  /** A server elsewhere, whose answer this one needs, gave none. */
  | { readonly kind: 'failed' };

const NODATA: Lookup = { kind: 'nodata' };
const NXDOMAIN: Lookup = { kind: 'nxdomain' };

/** Looks up a question of class IN whose qname is in the zone of `apex`. */
export function lookup(work: Work, question: Question, apex: Name): Lookup {
  const { qname, qtype } = question;
  const isApex = qname.length === apex.length;
  switch (qtype) {
    case Type.A:
    case Type.AAAA:
    case Type.TXT:
      return atApexNodata(isApex, ofFollowed(follow(work, qname, apex, qtype)));
    case Type.SRV:
      return atApexNodata(isApex, pointing(work, question, apex, srvRecords));
    case Type.MX:
      return atApexNodata(isApex, pointing(work, question, apex, mxRecords));
    case Type.CNAME:
      return atApexNodata(isApex, cname(work, qname, apex));
    case Type.PTR:
      return atApexNodata(isApex, pointers(work, qname));
    case Type.NS:
      return isApex ? nameServers(work, qname, apex) : existence(work, qname, apex);
    case Type.SOA:
      return isApex ? { kind: 'soa' } : existence(work, qname, apex);
    case Type.ANY:
      return atApexNodata(isApex, any(work, qname, apex));
    case Type.AXFR:
    case Type.IXFR:
      return { kind: 'refused', text: 'zone transfer is not offered' };
    default:
      return atApexNodata(isApex, existence(work, qname, apex));
  }
}

/** The apex exists even when the zone is empty: it has an SOA. */
function atApexNodata(isApex: boolean, outcome: Lookup): Lookup {
  return isApex && outcome.kind === 'nxdomain' ? NODATA : outcome;
}

function ofFollowed(followed: Followed): Lookup {
  switch (followed.kind) {
    case 'records':
      return { kind: 'hit', answer: followed.records, additional: [] };
    case 'nodata':
      return NODATA;
    case 'nxdomain':
      return NXDOMAIN;
    case 'failed':
      return { kind: 'failed' };
  }
}

function pointing(
  work: Work,
  question: Question,
  apex: Name,
  records: (work: Work, owner: Name, services: readonly Selected[]) => WithGlue,
): Lookup {
  const selection = servicesAt(work, question.qname, apex, question.qtype);
  if (selection.kind === 'missing') return NXDOMAIN;
  const { answer, additional } = records(work, question.qname, selection.services);
  if (answer.length === 0) return NODATA;
  const isShuffled = question.qtype === Type.MX && work.view.settings.roundRobin;
  return {
    kind: 'hit',
    answer: isShuffled ? shuffle([...answer], work.view.random) : answer,
    additional,
  };
}

/** The name's own alias or, for a directory with one service below (external-dns writes those), that one's. */
function cname(work: Work, qname: Name, apex: Name): Lookup {
  const exact = selectExact(work.view.root, foldName(qname), work.budget);
  let selected = exact.kind === 'exists' ? exact.services : [];
  if (selected.length === 0) {
    const below = servicesAt(work, qname, apex, Type.CNAME);
    if (below.kind === 'missing') return NXDOMAIN;
    selected = below.services;
  }
  const only = selected[0]?.registration;
  const target = only?.target;
  if (only === undefined || target === undefined || selected.length > 1) return NODATA;
  const ttlSeconds = ttlOf(work.view, only);
  return {
    kind: 'hit',
    answer: rrset(qname, Type.CNAME, [{ rdata: { kind: 'name', target }, ttlSeconds }]),
    additional: [],
  };
}

/** PTR: the host names registered at exactly this name, in a reverse zone or any other. */
export function pointers(work: Work, qname: Name): Lookup {
  const selection = selectExact(work.view.root, foldName(qname), work.budget);
  if (selection.kind === 'missing') return NXDOMAIN;
  const members = selection.services.flatMap(({ registration }) => {
    const { target } = registration;
    if (target === undefined) return [];
    return [
      { rdata: { kind: 'name', target } as const, ttlSeconds: ttlOf(work.view, registration) },
    ];
  });
  if (members.length === 0) return NODATA;
  return { kind: 'hit', answer: rrset(qname, Type.PTR, members), additional: [] };
}

function nameServers(work: Work, qname: Name, apex: Name): Lookup {
  const selection = servicesAt(work, ['ns', 'dns', ...apex], apex, Type.NS);
  if (selection.kind === 'missing') return NODATA;
  const { answer, additional } = nsRecords(work, qname, selection.services);
  return answer.length === 0 ? NODATA : { kind: 'hit', answer, additional };
}

/** RFC 8482 §4.2: instead of everything there is, one HINFO that says so. */
function any(work: Work, qname: Name, apex: Name): Lookup {
  const { settings } = work.view;
  if (settings.any === 'refuse') return { kind: 'refused', text: 'QTYPE ANY is not answered' };
  if (existence(work, qname, apex).kind === 'nxdomain' && qname.length > apex.length)
    return NXDOMAIN;
  const hinfo: Rr = {
    owner: qname,
    type: Type.HINFO,
    class: Class.IN,
    ttlSeconds: settings.ttlSeconds,
    rdata: { kind: 'hinfo', cpu: 'RFC8482', os: '' },
  };
  return { kind: 'hit', answer: [hinfo], additional: [] };
}

/** NODATA or NXDOMAIN for a type that the zone never has. One service found is proof enough. */
function existence(work: Work, qname: Name, apex: Name): Lookup {
  work.budget.services = 1;
  const selection = servicesAt(work, qname, apex, Type.ANY);
  work.budget.services = newBudget().services;
  return selection.kind === 'missing' ? NXDOMAIN : NODATA;
}
