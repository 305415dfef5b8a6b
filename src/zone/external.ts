/** Names outside our zones: what others answered about them, or that they have to be asked. */
import { equalNames, foldName, type Name, printName } from '../dns/name.ts';
import { Class, type Rr, Type } from '../dns/rr.ts';
import { apexOf, type ZoneSettings } from './view.ts';
import type { Work } from './work.ts';

/** What became of a question for a name outside our zones. */
export type External =
  /** CNAMEs and the RRset that they lead to; the latter may be missing (NODATA). */
  | { readonly kind: 'found'; readonly rrs: readonly Rr[] }
  /** The name, or the one that the CNAMEs lead to, does not exist: so they say. */
  | { readonly kind: 'nxdomain'; readonly rrs: readonly Rr[] }
  /** No server gave an answer to rely on. */
  | { readonly kind: 'failed' }
  /** There is nobody to ask. */
  | { readonly kind: 'unavailable' };

export function externalKey(qname: Name, qtype: number): string {
  return `${printName(foldName(qname))} ${qtype}`;
}

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
