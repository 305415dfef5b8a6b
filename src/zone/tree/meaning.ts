/** What a name in our zones stands for: mostly its own services, but some names are special. */
import { equalNames, foldLabel, type Label, type Name } from '../../dns/name.ts';
import { Type } from '../../dns/rr.ts';
import type { LookupState } from './lookupState.ts';
import {
  apexAddressesOf,
  find,
  firstWildcardOf,
  hasName,
  nameServersOf,
  RESERVED,
} from './select.ts';
import { findNode, virtualAddressOf } from './tree.ts';
import { type ConsulMeaning, consulOf } from './view.ts';

export type Meaning =
  /** The services of a name, mostly of the name itself. */
  | { readonly kind: 'services'; readonly name: Name }
  /** The leading instance of a name. */
  | { readonly kind: 'leader'; readonly of: Name }
  /** The address at which the question arrived. */
  | { readonly kind: 'here' }
  /** This server, as the name server of a zone without others. */
  | { readonly kind: 'ownServer' }
  | { readonly kind: 'consul'; readonly meaning: ConsulMeaning };

/** An address that a name has whatever its services are. */
export interface GivenAddress {
  readonly family: 4 | 6;
  readonly address: string;
  readonly ttlSeconds: number;
}

/** The label in front of a name that makes the name of its leader. */
export const LEADER: Label = 'leader';

/** What a folded name in the zone of `apex` stands for in a question of that type. */
export function meaningOf(state: LookupState, name: Name, apex: Name, qtype: number): Meaning {
  const { settings, facts } = state.view;
  const consul = consulOf(settings, apex);
  if (consul !== undefined) return { kind: 'consul', meaning: facts.consulMeaning(name, consul) };
  if (settings.local !== undefined && equalNames(name, ['local', RESERVED, ...apex])) {
    return { kind: 'services', name: settings.local };
  }
  if (settings.ambassador && equalNames(name, ['ambassador', RESERVED, ...apex])) {
    return { kind: 'here' };
  }
  if (settings.ownAddresses.length > 0 && equalNames(name, nameServersOf(apex))) {
    return hasName(state, name) ? { kind: 'services', name } : { kind: 'ownServer' };
  }
  if (isLeaderName(name, apex) && firstWildcardOf(settings, name) < 0)
    return leaderMeaning(state, name);
  if ((qtype === Type.A || qtype === Type.AAAA) && name.length === apex.length) {
    const apexAddresses = apexAddressesOf(apex);
    if (hasName(state, apexAddresses)) return { kind: 'services', name: apexAddresses };
  }
  return { kind: 'services', name };
}

/** Whether the name is one label below the apex or deeper, and its first label is `leader`. */
export function isLeaderName(name: Name, apex: Name): boolean {
  return name.length > apex.length && foldLabel(name[0] as Label) === LEADER;
}

/** Services that are registered at or below a name that begins with `leader` have that name for themselves. */
function leaderMeaning(state: LookupState, name: Name): Meaning {
  const own = find(state, name);
  return own !== undefined && own.serviceCount > 0
    ? { kind: 'services', name }
    : { kind: 'leader', of: name.slice(1) };
}

/**
 * The virtual addresses of a folded name that the look-up has read, at most one of each family; `undefined` if it has
 * none.
 */
export function virtualAddressesAt(
  state: LookupState,
  name: Name,
): readonly GivenAddress[] | undefined {
  const { root, settings } = state.view;
  const { virtualAddresses, ttlSeconds } = settings;
  if (!virtualAddresses || root.virtualCount === 0) return undefined;
  const node = findNode(root, name);
  if (node === undefined || node.virtualAddresses.length === 0) return undefined;
  return ([4, 6] as const).flatMap((family) => {
    const virtual = virtualAddressOf(node, family);
    return virtual === undefined ? [] : [{ family, address: virtual.address, ttlSeconds }];
  });
}
