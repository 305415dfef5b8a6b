/**
 * The authoritative look-up (RFC 1034 §4.3.2 with SkyDNS's rules): a question about a name in one of our zones becomes
 * one of a few outcomes. No flags, no SOA, no octets: `answer` makes a response of it.
 */
import type { Question } from '../dns/message.ts';
import { foldName, type Name } from '../dns/name.ts';
import { Class, type Rr, Type } from '../dns/rr.ts';
import { follow } from './follow.ts';
import { rrset } from './rrset.ts';
import { hasName, type Selected, selectExact } from './select.ts';
import { nameToLookUp, servicesAt } from './services.ts';
import { mx, ns, srv, type WithGlue } from './targets.ts';
import { ttlOf } from './ttl.ts';
import type { Work } from './work.ts';

export type Lookup =
  | { readonly kind: 'found'; readonly rrs: readonly Rr[]; readonly glue?: readonly Rr[] }
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
  const outcome = lookUpType(work, question, apex);
  const isApex = question.qname.length === apex.length;
  // The apex exists even when the zone is empty: it has an SOA.
  return isApex && outcome.kind === 'nxdomain' ? NODATA : outcome;
}

function lookUpType(work: Work, question: Question, apex: Name): Lookup {
  const { qname, qtype } = question;
  const isApex = qname.length === apex.length;
  switch (qtype) {
    case Type.A:
    case Type.AAAA:
    case Type.TXT:
      return follow(work, qname, apex, qtype);
    case Type.SRV:
      return withTargets(work, question, apex, srv);
    case Type.MX:
      return withTargets(work, question, apex, mx);
    case Type.CNAME:
      return isApex ? NODATA : cname(work, qname, apex);
    case Type.PTR:
      return ptr(work, qname);
    case Type.NS:
      return isApex ? nameServers(work, qname, apex) : existence(work, qname, apex);
    case Type.SOA:
      return isApex ? { kind: 'soa' } : existence(work, qname, apex);
    case Type.ANY:
      return any(work, qname, apex);
    case Type.AXFR:
    case Type.IXFR:
      return { kind: 'refused', text: 'zone transfer is not offered' };
    default:
      return existence(work, qname, apex);
  }
}

function withTargets(
  work: Work,
  { qname, qtype }: Question,
  apex: Name,
  build: (work: Work, owner: Name, services: readonly Selected[]) => WithGlue,
): Lookup {
  const services = servicesAt(work, qname, apex, qtype);
  if (services === undefined) return NXDOMAIN;
  const { answer, additional } = build(work, qname, services);
  return answer.length === 0 ? NODATA : { kind: 'found', rrs: answer, glue: additional };
}

/** The name's own host name or, for a directory with one service below (external-dns writes those), that one's. */
function cname(work: Work, qname: Name, apex: Name): Lookup {
  const exact = selectExact(work, foldName(qname));
  const own = exact.kind === 'exists' ? exact.services : [];
  const services = own.length > 0 ? own : servicesAt(work, qname, apex, Type.CNAME);
  if (services === undefined) return NXDOMAIN;
  const only = services.length === 1 ? services[0]?.registration : undefined;
  if (only?.target === undefined) return NODATA;
  const rdata = { kind: 'name', target: only.target } as const;
  const ttlSeconds = ttlOf(work, only);
  return { kind: 'found', rrs: rrset(qname, Type.CNAME, [{ rdata, ttlSeconds }]) };
}

/** PTR: the host names registered at exactly this name, in a reverse zone or any other. */
export function ptr(work: Work, qname: Name): Lookup {
  const selection = selectExact(work, foldName(qname));
  if (selection.kind === 'missing') return NXDOMAIN;
  const members = selection.services.flatMap(({ registration }) => {
    const { target } = registration;
    if (target === undefined) return [];
    const rdata = { kind: 'name', target } as const;
    return [{ rdata, ttlSeconds: ttlOf(work, registration) }];
  });
  return members.length === 0 ? NODATA : { kind: 'found', rrs: rrset(qname, Type.PTR, members) };
}

function nameServers(work: Work, qname: Name, apex: Name): Lookup {
  const services = servicesAt(work, ['ns', 'dns', ...apex], apex, Type.NS) ?? [];
  const { answer, additional } = ns(work, qname, services);
  return answer.length === 0 ? NODATA : { kind: 'found', rrs: answer, glue: additional };
}

/** RFC 8482 §4.2: instead of everything there is, one HINFO that says so. */
function any(work: Work, qname: Name, apex: Name): Lookup {
  const { settings } = work.view;
  const isApex = qname.length === apex.length;
  if (!isApex && existence(work, qname, apex).kind === 'nxdomain') return NXDOMAIN;
  if (settings.any === 'refuse') return { kind: 'refused', text: 'QTYPE ANY is not answered' };
  const hinfo: Rr = {
    owner: qname,
    type: Type.HINFO,
    class: Class.IN,
    ttlSeconds: settings.ttlSeconds,
    rdata: { kind: 'hinfo', cpu: 'RFC8482', os: '' },
  };
  return { kind: 'found', rrs: [hinfo] };
}

/** NODATA or NXDOMAIN for a type that the zone never has. */
function existence(work: Work, qname: Name, apex: Name): Lookup {
  const name = nameToLookUp(work, foldName(qname), apex, Type.ANY);
  return hasName(work, name) ? NODATA : NXDOMAIN;
}
