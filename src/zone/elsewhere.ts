/** Where an answer leaves our zones, and where it comes back. */
import { equalNames, type Name } from '../dns/name.ts';
import { Class, type Rr, Type } from '../dns/rr.ts';
import type { External } from './external.ts';
import { apexOf, type ZoneSettings } from './view.ts';
import { greaterNeed, type Need, type Work } from './work.ts';

/** What is known of a name outside our zones. */
export type Outside =
  | External
  /** The question has to be sent to another server first, which `Work.missing` notes. */
  | { readonly kind: 'missing' }
  /** The client did not ask for recursion. */
  | { readonly kind: 'unasked' };

export function outside(work: Work, qname: Name, qtype: number, need: Need): Outside {
  work.leadsOutside = true;
  if (!work.view.recursionDesired) return { kind: 'unasked' };
  const known = work.view.externals.get(qname, qtype);
  if (known === undefined) return missing(work, qname, qtype, need);
  if (known.kind !== 'unavailable') work.isForeign = true;
  return known;
}

function missing(work: Work, qname: Name, qtype: number, need: Need): Outside {
  const question = { qname, qtype, qclass: Class.IN };
  const noted = work.missing.findIndex(
    (other) => other.question.qtype === qtype && equalNames(other.question.qname, qname),
  );
  const before = work.missing[noted];
  if (before !== undefined) {
    work.missing[noted] = { question, need: greaterNeed(need, before.need) };
    return { kind: 'missing' };
  }
  if (work.externalsLeft <= 0) return { kind: 'failed' };
  work.externalsLeft--;
  work.missing.push({ question, need });
  return { kind: 'missing' };
}

export interface Foreign {
  /** What others may say: rrs of names outside our zones. */
  readonly rrs: readonly Rr[];
  /** Where a CNAME among them leads into our zones, of which only we know. */
  readonly back: Name | undefined;
}

/** Takes out of others' rrs what is not theirs to say. */
export function foreignPart(settings: ZoneSettings, rrs: readonly Rr[]): Foreign {
  const foreign = rrs.filter(({ owner }) => apexOf(settings, owner) === undefined);
  for (const { type, rdata } of foreign) {
    if (type !== Type.CNAME || rdata.kind !== 'name') continue;
    if (apexOf(settings, rdata.target) !== undefined) return { rrs: foreign, back: rdata.target };
  }
  return { rrs: foreign, back: undefined };
}
