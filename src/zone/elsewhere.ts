/** Where an answer leaves our zones, and where it comes back. */
import { equalNames, type Name } from '../dns/name.ts';
import { Class, type Rr, Type } from '../dns/rr.ts';
import { type External, externalKey } from './external.ts';
import { apexOf, type ZoneSettings } from './view.ts';
import type { Work } from './work.ts';

/** What is known of a name elsewhere; `undefined` when it has to be asked for first, which this notes down. */
export function external(
  work: Work,
  qname: Name,
  qtype: number,
  isOptional: boolean,
): External | undefined {
  const known = work.view.externals.get(externalKey(qname, qtype));
  if (known !== undefined) {
    if (known.kind !== 'unavailable') work.isForeign = true;
    return known;
  }
  const noted = work.missing.findIndex(
    ({ question }) => question.qtype === qtype && equalNames(question.qname, qname),
  );
  if (noted < 0 && work.externalsLeft <= 0) return { kind: 'failed' };
  const wasOptional = work.missing[noted]?.isOptional ?? true;
  const missing = {
    question: { qname, qtype, qclass: Class.IN },
    isOptional: isOptional && wasOptional,
  };
  if (noted >= 0) work.missing[noted] = missing;
  else {
    work.externalsLeft--;
    work.missing.push(missing);
  }
  return undefined;
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
