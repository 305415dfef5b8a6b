/** One link: from an alias and a name to its variables, with what the operator should know about them. */
import { type FoundLink, findLink, hostName, type LinkWay } from '../../ambassador/findLink.ts';
import {
  linkVariables,
  type Spelling,
  type Variable,
  variablePrefix,
} from '../../ambassador/linkVariables.ts';
import { type Name, printName } from '../../dns/name.ts';
import { Type } from '../../dns/rr.ts';
import { printExposedPort } from '../../service/linking.ts';
import { newLookupState } from '../../zone/tree/lookupState.ts';
import { servicesAt } from '../../zone/tree/services.ts';
import { apexOf, type View } from '../../zone/tree/view.ts';
import type { WantedLink } from './linkArguments.ts';
import type { PrintedLink } from './linkFormats.ts';

export const VIAS = ['vip', 'direct', 'name'] as const;
export type Via = (typeof VIAS)[number];

export interface LinkRules {
  /** Undefined: `vip` where the name has a virtual address, else `direct`. */
  readonly via: Via | undefined;
  /** What the keys of pairs begin with; undefined: no pairs. */
  readonly pairPrefix: string | undefined;
  readonly spelling: Spelling;
}

export type LinkResult =
  | { readonly kind: 'linked'; readonly link: PrintedLink; readonly notes: readonly string[] }
  | { readonly kind: 'missing'; readonly reason: string };

export function linkTo(view: View, wanted: WantedLink, rules: LinkRules): LinkResult {
  const { alias, name } = wanted;
  const way = wayTo(view, name, rules.via);
  if (way === undefined)
    return { kind: 'missing', reason: `${printName(name)} has no virtual address` };
  const found = findLink(view, name, way);
  if (found === undefined) return { kind: 'missing', reason: `${printName(name)} has no instance` };
  const { pairPrefix, spelling } = rules;
  const env =
    pairPrefix === undefined ? [] : found.pairs.filter((pair) => pair.name.startsWith(pairPrefix));
  const service = { alias, name: `/${hostName(name)}`, ports: found.ports, env };
  const variables = firstOfEach(linkVariables(service, spelling));
  const link = { alias, name: printName(name), via: way.kind, host: found.host, variables };
  return { kind: 'linked', link, notes: notesOn(wanted, way, found, spelling) };
}

function wayTo(view: View, name: Name, via: Via | undefined): LinkWay | undefined {
  const address = virtualAddressOf(view, name);
  switch (via ?? (address === undefined ? 'direct' : 'vip')) {
    case 'vip':
      return address === undefined ? undefined : { kind: 'vip', address };
    case 'direct':
      return { kind: 'direct' };
    case 'name':
      return { kind: 'name', hasVip: address !== undefined };
  }
}

/** The IPv4 one, or else the IPv6 one. */
function virtualAddressOf(view: View, name: Name): string | undefined {
  const apex = apexOf(view.settings, name);
  const at = apex && servicesAt(newLookupState(view), name, apex, Type.A);
  return at?.given?.[0]?.address;
}

/** Two keys of pairs may differ only in octets that the spelling replaces. */
function firstOfEach(variables: readonly Variable[]): readonly Variable[] {
  const once = new Map<string, Variable>();
  for (const variable of variables) if (!once.has(variable.name)) once.set(variable.name, variable);
  return [...once.values()];
}

function notesOn(
  { alias, name }: WantedLink,
  way: LinkWay,
  { host, ports, variedPorts }: FoundLink,
  spelling: Spelling,
): readonly string[] {
  const notes: string[] = [];
  const isVirtual = way.kind === 'vip' || (way.kind === 'name' && way.hasVip);
  if (ports.length === 0) {
    const only = `only ${variablePrefix(alias, spelling)}_NAME is set`;
    notes.push(`${alias}: no port of ${printName(name)} is known, so ${only}`);
  }
  if (way.kind === 'direct')
    notes.push(
      `${alias}: ${host} is where ${printName(name)} runs now; the variables go stale when it moves (DNS_VIP=auto gives it an address that stays, --via name does without one)`,
    );
  if (!isVirtual && variedPorts.length > 0) {
    const listed = variedPorts.slice(0, MAX_LISTED).map(printExposedPort).join(', ');
    notes.push(
      `${alias}: the instances of ${printName(name)} publish ${listed} at different ports, and the variables have one of them (DNS_VIP=auto gives it ports that stay)`,
    );
  }
  return notes;
}

const MAX_LISTED = 8;
