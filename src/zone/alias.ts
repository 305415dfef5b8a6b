/**
 * Whether a name is an alias. All of its services decide, never the question's type, so that the name has a CNAME for
 * every type or for none (RFC 1034 §3.6.2): resolvers keep a CNAME and use it for all types.
 */
import { isReverseOfAddress } from '../dns/address.ts';
import { equalNames, type Name } from '../dns/name.ts';
import type { NameServices } from './services.ts';
import { ttlOf } from './ttl.ts';
import type { Work } from './work.ts';

/** A host name that a service leads to. */
export interface Link {
  readonly target: Name;
  readonly ttlSeconds: number;
}

/**
 * The host name that the owner is an alias of: the one host of all its services. An address, a second host, a port (SRV)
 * or a text (TXT) are records of the name's own, as are the SOA of an apex and the PTR of an address.
 */
export function aliasOf(
  work: Work,
  owner: Name,
  apex: Name,
  { services, isWhole }: NameServices,
): Link | undefined {
  if (!isWhole || owner.length === apex.length || isReverseOfAddress(owner)) return undefined;
  let link: Link | undefined;
  for (const { registration } of services) {
    const { family, target, attributes } = registration;
    if (family !== 0 || attributes.port > 0 || attributes.text !== '') return undefined;
    if (target === undefined) continue;
    if (link !== undefined && !equalNames(link.target, target)) return undefined;
    const ttlSeconds = ttlOf(work, registration);
    link =
      link === undefined
        ? { target, ttlSeconds }
        : { target: link.target, ttlSeconds: Math.min(link.ttlSeconds, ttlSeconds) };
  }
  return link;
}
