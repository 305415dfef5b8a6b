import { foldName, type Name, printName } from '../dns/name.ts';
import type { Rr } from '../dns/rr.ts';

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

/** Under which `View.externals` holds what became of the question. */
export function externalKey(qname: Name, qtype: number): string {
  return `${printName(foldName(qname))} ${qtype}`;
}
