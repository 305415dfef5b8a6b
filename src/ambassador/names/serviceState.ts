/** The instances of a service and its leader, as DNS names them. */

import { printSocketAddress } from '../../dns/address.ts';
import { foldName, type Name, printName } from '../../dns/name.ts';
import { Type } from '../../dns/rr.ts';
import type { LeadingRule, ListedInstance, ServiceState } from '../../service/instances.ts';
import { DEFAULT_WEIGHT } from '../../service/service.ts';
import { newLookupState } from '../../zone/tree/lookupState.ts';
import type { NamesUsed } from '../../zone/tree/nameDependents.ts';
import { find, type Selected } from '../../zone/tree/select.ts';
import { instanceName, type NameServices, servicesAt } from '../../zone/tree/services.ts';
import { apexOf, type View } from '../../zone/tree/view.ts';

export interface FoundService extends NamesUsed {
  readonly state: ServiceState;
}

const NO_SERVICES: NameServices = { services: [], isWhole: true };

/** `owner` has no wildcard and is in a zone. */
export function findService(view: View, owner: Name): FoundService {
  const name = foldName(owner);
  const leaderName = ['leader', ...name];
  const lookup = newLookupState(view);
  const apex = apexOf(view.settings, name) ?? name;
  const all = servicesAt(lookup, name, apex, Type.SRV);
  // A stored wildcard may answer for the leader of a name that does not exist; that is no leader.
  const found = servicesAt(lookup, leaderName, apex, Type.SRV);
  const leading = found === undefined || found.wildcard !== undefined ? NO_SERVICES : found;
  const { services, isWhole } = all ?? NO_SERVICES;
  const listed = (selected: Selected): ListedInstance => listedInstance(selected, view);
  const instances = services.filter(hasHost).map(listed).sort(byAge);
  const leader = leading.services.filter(hasHost).map(listed).sort(byAge)[0];
  const isOwn = (find(lookup, leaderName)?.serviceCount ?? 0) > 0;
  return {
    state: {
      exists: all !== undefined,
      instances,
      isWhole,
      leader,
      rule: leader && (isOwn ? 'registered' : ruleOf(leader, instances)),
    },
    names: lookup.namesRead,
    presences: lookup.presencesRead,
  };
}

function hasHost({ registration: { family, target } }: Selected): boolean {
  return family !== 0 || target !== undefined;
}

function listedInstance(selected: Selected, { settings }: View): ListedInstance {
  const { registration } = selected;
  const { attributes, address, target, createRevision } = registration;
  const { port, linking } = attributes;
  const host = target === undefined ? address : printName(target);
  return {
    id: printName(instanceName(selected)),
    addr: port > 0 ? printSocketAddress({ address: host, port }) : host,
    proto: linking.expose?.protocol ?? 'tcp',
    index: createRevision,
    priority: attributes.priority || settings.priority,
    weight: attributes.weight || DEFAULT_WEIGHT,
    tags: linking.tags,
    ...(linking.leader === undefined ? {} : { leader: linking.leader }),
  };
}

function byAge(a: ListedInstance, b: ListedInstance): number {
  return a.index - b.index || compareTexts(a.id, b.id) || compareTexts(a.addr, b.addr);
}

function compareTexts(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

/** See `chooseLeader`. */
function ruleOf(leader: ListedInstance, instances: readonly ListedInstance[]): LeadingRule {
  if (instances.some((instance) => instance.leader === 'manual')) return 'manual';
  return leader.leader === 'yes' ? 'label' : 'oldest';
}
