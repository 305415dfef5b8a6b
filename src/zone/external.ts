/** Names outside our zones: what other servers said about them, and who may be asked. */
import { type Name, nameKey } from '../dns/name.ts';
import type { Rr } from '../dns/rr.ts';

/** The outcome of a question for a name outside our zones. */
export type External =
  /** CNAMEs and the RRset that they lead to. Without that RRset it is NODATA, with the SOA that came along. */
  | { readonly kind: 'found'; readonly rrs: readonly Rr[]; readonly soa?: Rr | undefined }
  /** The name, or the one that the CNAMEs lead to, does not exist. */
  | { readonly kind: 'nxdomain'; readonly rrs: readonly Rr[] }
  /** No server gave a usable reply. */
  | { readonly kind: 'failed' }
  /** No server may be asked: there is no upstream, or the name has too few labels. */
  | { readonly kind: 'unavailable' };

/** What is known about names outside our zones while one question is being answered. */
export interface Externals {
  /** `undefined`: the question has to be sent first. */
  get(qname: Name, qtype: number): External | undefined;
  /** Questions that were sent to other servers for this one. */
  readonly sent: number;
}

export const NO_EXTERNALS: Externals = { get: () => undefined, sent: 0 };

/** The same for all spellings of a question's name. */
export function externalKey(qname: Name, qtype: number): string {
  return `${nameKey(qname)} ${qtype}`;
}
