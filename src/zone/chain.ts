/** Aliases: which names are aliases, the outcomes of following a chain of them, and the rules that end every chain. */
import { isReverseOfAddress } from '../dns/address.ts';
import { equalNames, isSubdomainOf, type Name } from '../dns/name.ts';
import { type Rr, Type } from '../dns/rr.ts';
import type { Ranked } from './rrset.ts';
import { hasStoredRecords } from './storedRecords.ts';
import type { LookupState, Need } from './tree/lookupState.ts';
import type { Selected } from './tree/select.ts';
import type { NameServices } from './tree/services.ts';
import { leastTtl, serviceTtl, type Ttl, timedRr } from './tree/ttl.ts';

export type Followed =
  | {
      readonly kind: 'found';
      /** CNAMEs in order, then the RRset at the end. */
      readonly rrs: readonly Rr[];
      /** Records are missing, because a host could not be resolved. */
      readonly isPartial: boolean;
    }
  /** The name at the end of the CNAMEs exists without records of the type. */
  | { readonly kind: 'nodata'; readonly cnames: readonly Rr[]; readonly denial: Denial }
  /** The name at the end of the CNAMEs is outside our zones, and we may not ask another server. */
  | { readonly kind: 'unresolved'; readonly cnames: readonly Rr[] }
  /** The first name does not exist. */
  | { readonly kind: 'nxdomain' }
  /** A loop, a CNAME to a name that does not exist, or hosts that could not be resolved. */
  | { readonly kind: 'dead' }
  /** The answer needs another server's answer, which did not come. */
  | { readonly kind: 'failed' };

/** The source of the SOA for NODATA (RFC 2308 §2.2): the zone of the chain's last name. */
export type Denial =
  | { readonly kind: 'own'; readonly apex: Name }
  | { readonly kind: 'foreign'; readonly soa: Rr | undefined };

/** The chain that has led to a name. */
export interface Trail {
  /** Our names in the chain, folded, the latest last. */
  readonly names: readonly Name[];
  /** How much the answer needs other servers' answers about names in the chain. */
  readonly need: Need;
  /** Names outside are looked up for every client: a CNAME in place of their records would hide others. */
  readonly isFlat?: true;
  /** Makes the records at the end of the chain, for a type that `gather` does not handle. */
  readonly build?: ((owner: Name, services: readonly Selected[]) => readonly Rr[]) | undefined;
}

/** Follows any name, in our zones or outside. */
export type FollowTarget = (
  state: LookupState,
  target: Name,
  qtype: number,
  trail: Trail,
) => Followed;

/** CoreDNS follows 11 links, SkyDNS 8. */
const MAX_LINKS = 16;

/** NODATA of a name in the zone of `apex`. */
export function ownNodata(apex: Name): Followed {
  return { kind: 'nodata', cnames: [], denial: { kind: 'own', apex } };
}

export function cnameOf(owner: Name, { target, ttl }: Link): Rr {
  return timedRr(owner, Type.CNAME, { kind: 'name', target }, ttl);
}

/**
 * Whether the target can be followed. A target at or below its owner would lead back to it, since a name aggregates the
 * services below it (CoreDNS). A target that is in the chain already is a loop.
 */
export function canFollow(target: Name, names: readonly Name[]): boolean {
  const owner = names.at(-1);
  if (names.length > MAX_LINKS) return false;
  if (owner !== undefined && isSubdomainOf(target, owner)) return false;
  return !names.some((seen) => equalNames(seen, target));
}

/** A host name that services lead to, with their least TTL. */
export interface Link extends Ranked {
  readonly target: Name;
  readonly ttl: Ttl;
}

/**
 * The host name that the owner is an alias of: the only host of all its services. A name with records of its own is not
 * an alias: an address, a second host, a port (SRV), a text (TXT), the SOA of an apex, the PTR of an address, a record
 * in a field `rr`; nor is one whose service says so (`ServiceAttributes.alias`). All services decide, never the
 * question's type, so the name has a CNAME for every type or for none (RFC 1034 §3.6.2): resolvers cache a CNAME and use
 * it for all types. Only a question for the CNAME itself may find one that no other answer has: see `lookup`.
 */
export function aliasOf(
  state: LookupState,
  owner: Name,
  apex: Name,
  { services, isWhole, given, wildcard }: NameServices,
): Link | undefined {
  if (given !== undefined) return undefined;
  if (!isWhole || owner.length === apex.length || isReverseOfAddress(owner)) return undefined;
  let link: Link | undefined;
  for (const { registration } of services) {
    const { family, target, attributes } = registration;
    if (family !== 0 || attributes.port > 0 || attributes.text !== '') return undefined;
    if (attributes.alias) return undefined;
    if (target === undefined) continue;
    if (link !== undefined && !equalNames(link.target, target)) return undefined;
    const ttl = serviceTtl(state, registration);
    link =
      link === undefined ? { target, ttl } : { target: link.target, ttl: leastTtl(link.ttl, ttl) };
  }
  if (link === undefined) return undefined;
  return hasStoredRecords(state, { owner, apex, wildcard }) ? undefined : link;
}
