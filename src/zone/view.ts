/**
 * What an answer is worked out from: the tree, the settings, the moment, and what is known of names elsewhere. A view is
 * read only and belongs to one question.
 */
import { isSubdomainOf, type Name, nameKey } from '../dns/name.ts';
import type { Rr } from '../dns/rr.ts';
import type { Node } from './tree.ts';

export interface ZoneSettings {
  /** Folded apexes; names below none of them are somebody else's. */
  readonly apexes: readonly Name[];
  /** TTL of rrs whose service sets none, and of the SOA as an answer. */
  readonly ttlSeconds: number;
  /** SOA minimum: for how long a negative answer may be believed (RFC 2308 §4). */
  readonly minTtlSeconds: number;
  /** The least TTL of an rr whose lease is about to end. */
  readonly minLeaseTtlSeconds: number;
  /** Of services that set none. */
  readonly priority: number;
  /** RNAME of the SOA; by default `hostmaster.<apex>`. */
  readonly hostmaster: Name | undefined;
  /** The name that `local.dns.<apex>` stands for. */
  readonly local: Name | undefined;
  readonly roundRobin: boolean;
  /** QTYPE ANY: the HINFO of RFC 8482 §4.2, or REFUSED as SkyDNS does. */
  readonly any: 'hinfo' | 'refuse';
  readonly parentValue: ParentValue;
}

/** What to do with a value at a name that also has names below it (SkyDNS's etcd v2 could not hold one). */
export type ParentValue =
  /** CoreDNS: only what is below counts. */
  'hidden' | 'wins' | 'merged';

export interface View {
  readonly root: Node;
  readonly settings: ZoneSettings;
  /** Monotonic, for leases. */
  readonly nowMs: number;
  /** Seconds since 1970, for the SOA serial. */
  readonly unixSeconds: number;
  /** In [0, 1), spread evenly over any run of questions; where a walk that cannot take everything begins. */
  readonly sampleStart: number;
  /** What is not known yet is asked for in `LookupState.missing`. */
  readonly externals: Externals;
  /** RD. Without it no other server is asked for the sake of the question (RFC 1034 §4.3.1). */
  readonly recursionDesired: boolean;
  /**
   * Octets that the reply may have where a longer one would be truncated (UDP); `undefined` over TCP. What cannot fit is
   * not looked for.
   */
  readonly roomOctets: number | undefined;
  /** Told of a fault in a part that the answer can do without. Must not throw. */
  readonly onFault: (error: unknown) => void;
}

/** How current the zones' data is; the same kinds as `MirrorState` has. */
export type Freshness =
  /** The store was never read to its end: a name that seems missing may not have arrived yet. */
  | 'loading'
  | 'synced'
  /** The store is out of reach: the data is the last that was read. */
  | 'stale';

/** The apex of the zone that a name is in: the longest that fits. */
export function apexOf(settings: ZoneSettings, name: Name): Name | undefined {
  let longest: Name | undefined;
  for (const apex of settings.apexes) {
    if (isSubdomainOf(name, apex) && (longest === undefined || apex.length > longest.length)) {
      longest = apex;
    }
  }
  return longest;
}

/** Names outside our zones: what other servers said about them, and who may be asked. */

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
