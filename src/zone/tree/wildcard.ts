/**
 * Stored wildcards (RFC 4592): a service at a name that begins with `*` answers for names that do not exist. The
 * closest encloser of such a name is its longest suffix that exists, and only `*` directly below it answers for the
 * name. A name exists if services or virtual addresses are registered at or below it, or if a domain of other servers is
 * below it.
 *
 * Some names are never answered from a wildcard: those at and below `dns` of an apex, which are reserved, and those
 * below `leader.NAME`, which exists as soon as NAME does.
 */
import { isReverseName } from '../../dns/address.ts';
import type { Label, Name } from '../../dns/name.ts';
import type { LookupState } from './lookupState.ts';
import { LEADER } from './meaning.ts';
import { find, RESERVED } from './select.ts';
import { findNode } from './tree.ts';
import { apexOf, consulOf, type View, type ZoneSettings } from './view.ts';

/** The first label of a stored wildcard. */
export const ASTERISK: Label = '*';

/**
 * The stored wildcard that answers for a folded name in our zones, if the tree lacks the name; `undefined` if none does.
 * `state` notes what the answer depends on.
 */
export function wildcardFor(state: LookupState, name: Name): Name | undefined {
  const { settings } = state.view;
  const apex = settings.storedWildcards ? apexOf(settings, name) : undefined;
  if (apex === undefined || consulOf(settings, apex) !== undefined) return undefined;
  const labelsBelow = labelsBelowEncloser(state.view, name, apex);
  if (labelsBelow === 0 || isReserved(name, apex)) return undefined;
  const encloser = name.slice(labelsBelow);
  // The answer changes when the encloser leaves the tree, or when a longer one comes into it.
  state.presencesRead.push(encloser);
  state.namesRead.push(name.slice(labelsBelow - 1));
  if (labelsBelow > 1 && name[labelsBelow - 1] === LEADER) return undefined;
  const wildcard = [ASTERISK, ...encloser];
  if (find(state, wildcard) === undefined) return undefined;
  state.synthesized.push({ name, wildcard });
  // Names of addresses have other answers than names around them.
  if (isReverseName(name)) state.isUneven = true;
  return wildcard;
}

/** Whether services at a folded name answer for other names, too, if it is in the tree. */
export function isStoredWildcard(settings: ZoneSettings, name: Name): boolean {
  if (!settings.storedWildcards || name[0] !== ASTERISK) return false;
  const encloser = name.slice(1);
  const apex = apexOf(settings, encloser);
  return apex !== undefined && consulOf(settings, apex) === undefined && !isReserved(name, apex);
}

/** How many labels the name has in front of its closest encloser; 0 if it exists itself. */
function labelsBelowEncloser({ root, settings }: View, name: Name, apex: Name): number {
  let labels = name.length - apex.length;
  let node = findNode(root, apex);
  while (node !== undefined && labels > 0) {
    node = node.child(name[labels - 1] as Label);
    if (node !== undefined) labels--;
  }
  for (let below = 0; below < labels; below++)
    if (settings.forwarded.isAbove(name.slice(below))) return below;
  return labels;
}

/** Whether a name in the zone of `apex` is at or below `dns` of the apex. */
export function isReserved(name: Name, apex: Name): boolean {
  return name[name.length - apex.length - 1] === RESERVED;
}
