/**
 * DNS rebinding: an outside name resolves to an internal address, so that a browser or a fetching service connects to that
 * address under the outside name.
 */
import { isSubdomainOf, type Name } from '../dns/name.ts';
import { type Rr, Type } from '../dns/rr.ts';
import { isPrivateName, isPublicAddress } from './privateName.ts';

/** Whether a name may have addresses inside: those of private use, and those of the domains that the operator allows. */
export function mayLeadInside(qname: Name, allowed: readonly Name[]): boolean {
  return isPrivateName(qname) || allowed.some((domain) => isSubdomainOf(qname, domain));
}

/** Whether one of the records is an address that others outside cannot mean. */
export function leadsInside(rrs: readonly Rr[]): boolean {
  return rrs.some(({ type, rdata }) => {
    const isAddress = type === Type.A || type === Type.AAAA;
    return isAddress && rdata.kind === 'address' && !isPublicAddress(rdata.address);
  });
}
