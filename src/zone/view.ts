/**
 * The inputs of the decision about one question: the tree, the settings, the time, and the known answers for names
 * outside our zones. Read only.
 */
import { isSubdomainOf, type Name, nameKey } from '../dns/name.ts';
import type { Rr } from '../dns/rr.ts';
import type { Node } from './tree.ts';

export interface ZoneSettings {
  /** Folded apexes of our zones. */
  readonly apexes: readonly Name[];
  /** TTL of RRs whose service sets none, and of the SOA as an answer. */
  readonly ttlSeconds: number;
  /**
   * SOA minimum: for how long a negative answer may be cached (RFC 2308 §4). Also the greatest TTL of partial answers.
   */
  readonly minTtlSeconds: number;
  /** The least TTL of an RR whose lease is about to end. */
  readonly minLeaseTtlSeconds: number;
  /** Priority of services that set none. */
  readonly priority: number;
  /** RNAME of the SOA; by default `hostmaster.<apex>`. */
  readonly hostmaster: Name | undefined;
  /** The name that `local.dns.<apex>` stands for. */
  readonly local: Name | undefined;
  readonly roundRobin: boolean;
  /** QTYPE ANY: the HINFO of RFC 8482 §4.2, or REFUSED as SkyDNS does. */
  readonly any: 'hinfo' | 'refuse';
  readonly parentValue: ParentValue;
  /** TTL of leaders' records, and SOA minimum of negative answers about leaders. */
  readonly leaderTtlSeconds: number;
  /** A and AAAA of a name that has a virtual address are that address. */
  readonly virtualAddresses: boolean;
  /** `ambassador.dns.<apex>` stands for the address at which the question arrived. */
  readonly ambassador: boolean;
}

/** How to treat a value at a name that also has names below it (SkyDNS's etcd v2 could not hold one). */
export type ParentValue =
  /** Only the names below count, as in CoreDNS. */
  'hidden' | 'wins' | 'merged';

export interface View {
  readonly root: Node;
  readonly settings: ZoneSettings;
  /** Monotonic clock of the leases. */
  readonly nowMs: number;
  /** Seconds since 1970, for the SOA serial. */
  readonly unixSeconds: number;
  /**
   * Where a selection begins that cannot take all services, in [0, 1). The values are spread evenly over any sequence
   * of questions.
   */
  readonly sampleStart: number;
  /** Questions that these do not answer go into `LookupState.missing`. */
  readonly externals: Externals;
  readonly facts: NameFacts;
  /** The address at which the question arrived, if it is known. */
  readonly localAddress: string | undefined;
  /** RD. If it is clear, no question goes to other servers (RFC 1034 §4.3.1). */
  readonly recursionDesired: boolean;
  /**
   * Octets of the longest reply over UDP; `undefined` over TCP. Samples and wildcards stop when the reply is full.
   */
  readonly roomOctets: number | undefined;
  /** Receives errors in optional parts of the answer. Must not throw. */
  readonly onFault: (error: unknown) => void;
}

/** What the store says about names besides the services at them. */
export interface NameFacts {
  /** The instance that an operator has chosen to lead a folded name. */
  chosenLeader(name: Name): Name | undefined;
}

export const NO_FACTS: NameFacts = { chosenLeader: () => undefined };

/** How current the zones' data is; the same kinds as `MirrorState` has. */
export type Freshness =
  /** The store has not been read completely yet, so a name that seems missing may not have arrived. */
  | 'loading'
  | 'synced'
  /** The store is unreachable: the data is from the last contact. */
  | 'stale';

/** The apex of the zone that a name is in: the longest one that matches. */
export function apexOf(settings: ZoneSettings, name: Name): Name | undefined {
  let longest: Name | undefined;
  for (const apex of settings.apexes) {
    if (isSubdomainOf(name, apex) && (longest === undefined || apex.length > longest.length)) {
      longest = apex;
    }
  }
  return longest;
}

/** The outcome of a question for a name outside our zones. */
export type External =
  /** CNAMEs, and the RRset that they lead to. Without the RRset it is NODATA, with the SOA of the reply. */
  | { readonly kind: 'found'; readonly rrs: readonly Rr[]; readonly soa?: Rr | undefined }
  /** The name, or the one that the CNAMEs lead to, does not exist. */
  | { readonly kind: 'nxdomain'; readonly rrs: readonly Rr[] }
  /** No server gave a usable reply. */
  | { readonly kind: 'failed' }
  /** The question may not be forwarded: no upstream may get it, or the name has too few labels. */
  | { readonly kind: 'unavailable' };

/** The answers for names outside our zones that are known while one question is decided. */
export interface Externals {
  /** `undefined` if the question was not sent yet. */
  get(qname: Name, qtype: number): External | undefined;
  /** Questions sent to other servers for the client's question. */
  readonly sent: number;
}

export const NO_EXTERNALS: Externals = { get: () => undefined, sent: 0 };

/** Equal for qnames that differ only in case. */
export function externalKey(qname: Name, qtype: number): string {
  return `${nameKey(qname)} ${qtype}`;
}
