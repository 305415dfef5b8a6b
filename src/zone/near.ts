/**
 * Which of a name's services its answers prefer: those on this server's host, then those in its region, then the rest.
 * With `first` the near ones come first in every RRset; with `only` they are the only ones. Near means near to the
 * server, so all its clients get the same answer.
 *
 * The contents of a zone for secondaries have all services. So have the name servers of a zone, which resolvers
 * everywhere use.
 */
import type { Name } from '../dns/name.ts';
import { NEARNESSES, type Nearness } from '../service/service.ts';
import { inRanks } from './rrset.ts';
import type { LookupState } from './tree/lookupState.ts';
import type { Selected } from './tree/select.ts';
import { type NameServices, servicesAt } from './tree/services.ts';
import type { NearSettings, ZoneSettings } from './tree/view.ts';

const HERE = 0;
const IN_REGION = 1;
const ELSEWHERE = 2;

/** `servicesAt`, with the services that answers about the name have, in their order. */
export function nearServicesAt(
  state: LookupState,
  owner: Name,
  apex: Name,
  qtype: number,
): NameServices | undefined {
  const at = servicesAt(state, owner, apex, qtype);
  const { settings, listing } = state.view;
  if (settings.near === undefined || listing !== undefined || at === undefined) return at;
  // The addresses of a leader are those of one instance.
  if (at.services.length === 0 || at.isLeader === true) return at;
  return { ...at, services: nearOnes(at.services, settings, settings.near) };
}

function nearOnes(
  services: readonly Selected[],
  settings: ZoneSettings,
  near: NearSettings,
): readonly Selected[] {
  const how = nearnessOf(services, near.how);
  if (how === 'off') return services;
  const ranked = services.map((selected) => ({ ...selected, rank: rankIn(near, selected) }));
  const least = Math.min(...ranked.map(({ rank }) => rank));
  if (how === 'first')
    return ranked.every(({ rank }) => rank === least) ? services : inRanks(ranked);
  const kept = services.filter((_, i) => ranked[i]?.rank === least);
  return kept.map((selected) => shortLived(selected, settings));
}

/** The strictest of what the services say. */
function nearnessOf(services: readonly Selected[], general: Nearness): Nearness {
  let strictest = -1;
  for (const { registration } of services) {
    const { near } = registration.attributes;
    if (near !== undefined) strictest = Math.max(strictest, NEARNESSES.indexOf(near));
  }
  return NEARNESSES[strictest] ?? general;
}

function rankIn({ isHere, region }: NearSettings, { node, registration }: Selected): number {
  if (registration.family !== 0 && isHere(registration.address)) return HERE;
  return region !== undefined && contains(node.owner(), region) ? IN_REGION : ELSEWHERE;
}

function contains(name: Name, labels: Name): boolean {
  for (let start = 0; start + labels.length <= name.length; start++)
    if (labels.every((label, i) => name[start + i] === label)) return true;
  return false;
}

/** Nearer services may start and end at any time, so no cache may keep the others for long. */
function shortLived(selected: Selected, { ttlSeconds, minTtlSeconds }: ZoneSettings): Selected {
  const { registration } = selected;
  const { attributes } = registration;
  const own = attributes.ttlSeconds || ttlSeconds;
  const limited = { ...attributes, ttlSeconds: Math.min(own, Math.max(1, minTtlSeconds)) };
  return { ...selected, registration: { ...registration, attributes: limited } };
}
