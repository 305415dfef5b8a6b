/** Names outside our zones: what others answered about them, or that they have to be asked. */
import { foldName, type Name, printName } from '../dns/name.ts';
import { Class, type Rr } from '../dns/rr.ts';
import type { Work } from './work.ts';

/** What became of a question for a name outside our zones. */
export type External =
  /** CNAMEs and the RRset that they lead to; the latter may be missing (NODATA). */
  | { readonly kind: 'found'; readonly rrs: readonly Rr[] }
  | { readonly kind: 'nxdomain' }
  /** No server gave an answer to rely on. */
  | { readonly kind: 'failed' }
  /** There is nobody to ask. */
  | { readonly kind: 'unavailable' };

export function externalKey(qname: Name, qtype: number): string {
  return `${printName(foldName(qname))} ${qtype}`;
}

/** What is known of a name elsewhere; `undefined` when it has to be asked for first, which this notes down. */
export function external(work: Work, qname: Name, qtype: number): External | undefined {
  const known = work.view.externals.get(externalKey(qname, qtype));
  if (known !== undefined) return known;
  if (work.externalsLeft <= 0) return { kind: 'failed' };
  work.externalsLeft--;
  work.missing.push({ qname, qtype, qclass: Class.IN });
  return undefined;
}
