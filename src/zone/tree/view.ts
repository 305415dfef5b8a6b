/**
 * The inputs of the decision about one question: the tree, the settings, the time, and the known answers for names
 * outside our zones. Read only.
 */
import type { CanonicalAddress } from '../../dns/address.ts';
import { equalNames, isSubdomainOf, type Label, type Name, nameKey } from '../../dns/name.ts';
import type { Rr } from '../../dns/rr.ts';
import type { Nearness } from '../../service/service.ts';
import type { ForwardedNames } from './forwardedNames.ts';
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
  /** `undefined`: the field `near` has no effect, and all services are equally near. */
  readonly near: NearSettings | undefined;
  /** QTYPE ANY: the HINFO of RFC 8482 §4.2, or REFUSED as SkyDNS does. */
  readonly any: 'hinfo' | 'refuse';
  readonly parentValue: ParentValue;
  /** A service at a name that begins with `*` answers for names that do not exist (RFC 4592). */
  readonly storedWildcards: boolean;
  /** How many labels below a name its answers are gathered; may be infinite. */
  readonly aggregateDepth: number;
  readonly questionWildcards: QuestionWildcards;
  /** TTL of leaders' records, and SOA minimum of negative answers about leaders. */
  readonly leaderTtlSeconds: number;
  /** A and AAAA of a name that has a virtual address are that address. */
  readonly virtualAddresses: boolean;
  /** `ambassador.dns.<apex>` stands for the address at which the question arrived. */
  readonly ambassador: boolean;
  /** Addresses of `ns.dns.<apex>`, the name server of zones without name servers; empty: such zones have none. */
  readonly ownAddresses: readonly CanonicalAddress[];
  /** Consul's names for the services; `apexes` contains their domain. */
  readonly consul: ConsulSettings | undefined;
  /** Domains inside and outside our zones whose questions go to other servers. */
  readonly forwarded: ForwardedNames;
}

/** Which services are near to this server, and what that means for answers. */
export interface NearSettings {
  /** For names without a service that says it. */
  readonly how: Nearness;
  /** Whether an address is on this host. */
  readonly isHere: (address: string) => boolean;
  /** The folded labels of this server's region; a service is in it if its name contains them. */
  readonly region: Name | undefined;
}

/** Where the services are that Consul's names stand for. Names and labels are folded. */
export interface ConsulSettings {
  /** The domain of the names, `consul` in Consul. */
  readonly domain: Name;
  /** Where names without a data centre look. */
  readonly own: ConsulPlace;
  /** By the label that a name has for the data centre. */
  readonly datacenters: readonly Datacenter[];
}

export interface ConsulPlace {
  /** `SVC.service` is SVC.<base>. */
  readonly base: Name;
  /** `NODE.node` is NODE.node.dns.<zone>. */
  readonly zone: Name;
}

export interface Datacenter extends ConsulPlace {
  readonly label: Label;
}

/** How to treat a value at a name that also has names below it (SkyDNS's etcd v2 could not hold one). */
export type ParentValue =
  /** Only the names below count, as in CoreDNS. */
  'hidden' | 'wins' | 'merged';

/** Which labels of a question match any label: `*` and `any` (SkyDNS), `any`, or none. */
export type QuestionWildcards = 'all' | 'any' | 'none';

export interface View {
  readonly root: Node;
  readonly settings: ZoneSettings;
  /** Monotonic clock of the leases. */
  readonly nowMs: number;
  /** Seconds since 1970, for the SOA serial of zones without versions. */
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
  /** Set while the contents of a zone are listed, in place of the answer to one question. */
  readonly listing?: ZoneListing | undefined;
  /** Receives errors in optional parts of the answer. Must not throw. */
  readonly onFault: (error: unknown) => void;
}

/**
 * The records of a listing depend on the services only: TTLs are the records' own, whatever is left of a lease; of too
 * many services the first ones count, in place of a sample; no record is looked up for the additional section.
 */
export interface ZoneListing {
  /** Children in the order of their labels; of many, at least the first thousand. */
  readonly inOrder: (node: Node) => readonly Node[];
}

/** What is known about names besides the services at them. */
export interface NameFacts {
  /** The instance that an operator has chosen to lead a folded name. */
  chosenLeader(name: Name): Name | undefined;
  /** What a folded name in the domain of `consul` stands for. */
  consulMeaning(name: Name, consul: ConsulSettings): ConsulMeaning;
  /** What the answer table needs to know about the names in the domain of `consul`. */
  consulNames(consul: ConsulSettings): ConsulNames;
  /** The SOA serial of a zone's version; `undefined`, or absent: the zone has no versions. */
  zoneSerial?(apex: Name): number | undefined;
}

/** What a name in Consul's domain stands for. */
export type ConsulMeaning =
  | { readonly kind: 'missing' }
  /** The name exists and has no records. */
  | { readonly kind: 'empty' }
  /** A kind of name that we do not have. */
  | { readonly kind: 'unsupported'; readonly word: Label }
  /** All records of another name. */
  | { readonly kind: 'name'; readonly name: Name }
  | { readonly kind: 'instances'; readonly wanted: ConsulInstances }
  /** The virtual addresses of a name. */
  | { readonly kind: 'virtual'; readonly name: Name }
  | { readonly kind: 'address'; readonly address: CanonicalAddress };

/** The instances of the first service that has some. */
export interface ConsulInstances {
  readonly services: readonly {
    readonly name: Name;
    /** An instance with an address has the SRV target HEX.<addressDomain>. */
    readonly addressDomain: Name;
  }[];
  /** Folded octets: instances with this tag only. */
  readonly tag: string | undefined;
  /** Instances with this protocol, or this tag, only. */
  readonly protocol: 'udp' | undefined;
  /** The name under which changes of what is wanted are announced. */
  readonly announcedAs: Name | undefined;
}

export interface ConsulNames {
  /** Folded names that exist whatever the services are. */
  readonly fixed: readonly Name[];
  readonly rules: readonly DerivedRule[];
}

/** Tells which names below a suffix may exist. For each name the rule with the longest suffix applies. */
export interface DerivedRule {
  readonly suffix: Name;
  /** Below `base` is the name that must exist. */
  readonly base: Name;
  readonly form: DerivedForm;
}

/** What the labels in front of the suffix have to be. */
export type DerivedForm =
  /** `_SVC._X`, or any number of labels whose last one is SVC: SVC.<base> exists. */
  | 'service'
  /** `_SVC._X`, and SVC.<base> exists. */
  | 'srv'
  /** These labels in front of the base exist. */
  | 'whole'
  /** An address in hexadecimal digits. */
  | 'address'
  | 'any';

export const NO_FACTS: NameFacts = {
  chosenLeader: () => undefined,
  consulMeaning: () => ({ kind: 'missing' }),
  consulNames: () => ({ fixed: [], rules: [] }),
};

/** How current the zones' data is; the same kinds as `MirrorState` has. */
export type Freshness =
  /** The store has not been read completely yet, so a name that seems missing may not have arrived. */
  | 'loading'
  | 'synced'
  /** The store is unreachable: the data is from the last contact. */
  | 'stale';

/**
 * The apex of the zone that a name is in: the longest one that matches. `undefined` for a name outside our zones or in a
 * domain inside one of them whose questions go to other servers.
 */
export function apexOf(settings: ZoneSettings, name: Name): Name | undefined {
  const longest = apexAround(settings, name);
  if (longest === undefined || settings.forwarded.covers(name, longest.length)) return undefined;
  return longest;
}

/** The longest apex that a name is at or below, also if other servers answer for the name. */
export function apexAround({ apexes }: Pick<ZoneSettings, 'apexes'>, name: Name): Name | undefined {
  let longest: Name | undefined;
  for (const apex of apexes) {
    if (isSubdomainOf(name, apex) && (longest === undefined || apex.length > longest.length)) {
      longest = apex;
    }
  }
  return longest;
}

/** The apex of our zone above the name, if one of our zones or a delegated one begins at the name. */
export function parentApexOf(settings: ZoneSettings, name: Name): Name | undefined {
  const { apexes, forwarded } = settings;
  if (forwarded.cutAt(name) !== undefined) return apexAround(settings, name);
  const isApex = name.length > 0 && apexes.some((apex) => equalNames(apex, name));
  return isApex ? apexOf(settings, name.slice(1)) : undefined;
}

/**
 * Where a name's records come from: one of our zones, or the servers of a domain. It is equal for two names if and only
 * if one answer may have records of both. `undefined`: the general upstreams.
 */
export function placeOf(settings: ZoneSettings, name: Name): Name | undefined {
  return apexOf(settings, name) ?? settings.forwarded.domainOf(name);
}

/** The settings of Consul's names, if they are those of this zone. */
export function consulOf({ consul }: ZoneSettings, apex: Name): ConsulSettings | undefined {
  return consul !== undefined && equalNames(consul.domain, apex) ? consul : undefined;
}

/** The outcome of a question for a name outside our zones. `stale`: it has expired, and no server gave a newer one. */
export type External =
  /** CNAMEs, and the RRset that they lead to. Without the RRset it is NODATA, with the SOA of the reply. */
  | {
      readonly kind: 'found';
      readonly rrs: readonly Rr[];
      readonly soa?: Rr | undefined;
      readonly stale?: true | undefined;
    }
  /** The name, or the one that the CNAMEs lead to, does not exist. */
  | { readonly kind: 'nxdomain'; readonly rrs: readonly Rr[]; readonly stale?: true | undefined }
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
