/**
 * The records that services have in their field `rr`. They belong to the service's own name, and count in no other
 * name's answer, with one exception: a name without a service of its own has those of the services one label below it,
 * as external-dns stores several services of one name. The apex of a zone has those of the services for `apex.dns`, too,
 * and not those of the names below it.
 *
 * A service above others is hidden by them (`ZoneSettings.parentValue`), but its records are not: the names below it
 * add nothing to them.
 */
import { foldName, type Name } from '../dns/name.ts';
import { Type } from '../dns/rr.ts';
import type { ServiceRecord } from '../service/records.ts';
import type { TimedRdata } from './rrset.ts';
import type { LookupState } from './tree/lookupState.ts';
import { apexAddressesOf, find, MAX_SELECTED } from './tree/select.ts';
import type { Node, Registration } from './tree/tree.ts';
import { serviceTtl } from './tree/ttl.ts';
import { consulOf } from './tree/view.ts';

/** A name in a zone, and the stored wildcard that answers for it, if one does. */
export interface RecordsPlace {
  readonly owner: Name;
  readonly apex: Name;
  readonly wildcard: Name | undefined;
}

/** They make a zone cut at their name, or nothing: at a cut `delegation.ts` answers with them. */
const CUT_TYPES: readonly number[] = [Type.NS, Type.DS];

/** The rdata of a type that the name has from such records. */
export function storedRdata(
  state: LookupState,
  place: RecordsPlace,
  type: number,
): readonly TimedRdata[] {
  // Also for these types: the basis of the answer has to say that the name has such records.
  const services = servicesWithRecords(state, place);
  if (CUT_TYPES.includes(type)) return [];
  return services.flatMap((registration) => {
    const members = registration.attributes.records.filter((record) => record.type === type);
    return members.map(({ rdata }) => ({ rdata, ttl: serviceTtl(state, registration) }));
  });
}

/** The types of all such records of the name. */
export function storedTypes(state: LookupState, place: RecordsPlace): readonly number[] {
  const typeOf = ({ type }: ServiceRecord) => type;
  const services = servicesWithRecords(state, place);
  const types = services.flatMap(({ attributes }) => attributes.records.map(typeOf));
  return types.filter((type) => !CUT_TYPES.includes(type));
}

export function hasStoredRecords(state: LookupState, place: RecordsPlace): boolean {
  return servicesWithRecords(state, place).length > 0;
}

function servicesWithRecords(
  state: LookupState,
  { owner, apex, wildcard }: RecordsPlace,
): readonly Registration[] {
  const { root, settings } = state.view;
  if (root.recordedCount === 0 || consulOf(settings, apex) !== undefined) return [];
  const name = wildcard ?? foldName(owner);
  const isApex = name.length === apex.length;
  const found = recordedAt(state, find(state, name), !isApex);
  if (!isApex) return found;
  return [...found, ...recordedAt(state, find(state, apexAddressesOf(name)), true)];
}

/** The services with records at the node or, if it has no service and `orBelow` is set, one label below it. */
function recordedAt(
  state: LookupState,
  node: Node | undefined,
  orBelow: boolean,
): readonly Registration[] {
  if (node === undefined || node.recordedCount === 0) return [];
  const found: Registration[] = [];
  const take = (at: Registration | undefined): void => {
    for (let each = at; each !== undefined; each = each.next)
      if (each.attributes.records.length > 0 && found.length < MAX_SELECTED) found.push(each);
  };
  take(node.first);
  if (node.first !== undefined || !orBelow) return noted(state, found);
  const { forwarded } = state.view.settings;
  for (const child of state.view.listing?.inOrder(node) ?? node.children ?? []) {
    if (state.nodesLeft-- <= 0) break;
    if (!forwarded.hides(child)) take(child.first);
  }
  return noted(state, found);
}

function noted(state: LookupState, found: readonly Registration[]): readonly Registration[] {
  if (found.length > 0) state.hasStoredRecords = true;
  return found;
}
