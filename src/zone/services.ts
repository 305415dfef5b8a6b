/** The services that answer for a name in our zones: selects them, and applies the group rule. */
import { foldName, type Name, nameKey, nameOctets, printName } from '../dns/name.ts';
import { Type } from '../dns/rr.ts';
import { COMPRESSED_RR_OCTETS } from '../dns/wire.ts';
import type { Lease } from '../service/change.ts';
import { chooseLeader } from '../service/leader.ts';
import { NO_SRV, type Service } from '../service/service.ts';
import type { LookupState } from './lookupState.ts';
import { type GivenAddress, meaningOf, virtualAddressesAt } from './meaning.ts';
import { find, hasName, MAX_SELECTED, type Purpose, type Selected, select } from './select.ts';
import type { Node, Registration } from './tree.ts';

export interface NameServices {
  /** May be empty: the name exists without services. */
  readonly services: readonly Selected[];
  /** These are all services that answer for the name. */
  readonly isWhole: boolean;
  /** The addresses that the name has in place of its services'. */
  readonly given?: readonly GivenAddress[] | undefined;
}

/** The services of a name in the zone of `apex`; `undefined` if the name does not exist. */
export function servicesAt(
  state: LookupState,
  owner: Name,
  apex: Name,
  qtype: number,
): NameServices | undefined {
  const name = foldName(owner);
  const meaning = meaningOf(state, name, apex, qtype);
  switch (meaning.kind) {
    case 'services':
      return servicesOf(state, meaning.name, qtype);
    case 'leader':
      return leaderOf(state, name, meaning.of);
    case 'here':
      return { services: [], isWhole: true, given: addressesHere(state, qtype) };
  }
}

/** Whether a name in the zone of `apex` exists. */
export function nameExists(state: LookupState, owner: Name, apex: Name): boolean {
  const meaning = meaningOf(state, foldName(owner), apex, Type.ANY);
  switch (meaning.kind) {
    case 'services':
      return hasName(state, meaning.name);
    case 'leader':
      return hasName(state, meaning.of);
    case 'here':
      return true;
  }
}

function servicesOf(state: LookupState, name: Name, qtype: number): NameServices | undefined {
  const selection = select(state, name, purposeOf(qtype));
  if (selection.kind === 'missing') return undefined;
  const { services, isWhole, sampledBelow } = selection;
  const given = virtualAddressesAt(state, name);
  return { services: applyGroupRule(services, sampledBelow), isWhole, given };
}

/** The leading instance of `of`, for the name of the leader. */
function leaderOf(state: LookupState, name: Name, of: Name): NameServices | undefined {
  const node = find(state, of);
  if (node === undefined) return undefined;
  const given = virtualAddressesAt(state, name);
  const leader = node.serviceCount > MAX_SELECTED ? undefined : leaderAmong(state, of);
  return { services: leader === undefined ? [] : [leader], isWhole: true, given };
}

function leaderAmong(state: LookupState, of: Name): Selected | undefined {
  const selection = select(state, of, INSTANCES);
  if (selection.kind === 'missing') return undefined;
  const instances = applyGroupRule(selection.services, undefined).filter(hasHost);
  const candidates = instances.map((selected) => {
    const { createRevision, attributes } = selected.registration;
    return {
      name: selected.node.owner(),
      rule: attributes.linking.leader,
      createRevision,
      selected,
    };
  });
  const leader = chooseLeader(candidates, state.view.facts.chosenLeader(of))?.selected;
  return leader && withTtl(leader, state.view.settings.leaderTtlSeconds);
}

function hasHost({ registration: { family, target } }: Selected): boolean {
  return family !== 0 || target !== undefined;
}

/** The service with another TTL, which its lease still limits. */
function withTtl(selected: Selected, ttlSeconds: number): Selected {
  const { registration } = selected;
  const attributes = { ...registration.attributes, ttlSeconds };
  return { ...selected, registration: { ...registration, attributes } };
}

/** The address at which the question arrived, which differs from client to client. */
function addressesHere(state: LookupState, qtype: number): readonly GivenAddress[] {
  if (qtype !== Type.A && qtype !== Type.AAAA) return [];
  state.isPersonal = true;
  const { localAddress: address } = state.view;
  if (address === undefined) return [];
  // A cache that several clients share would give one client's address to another.
  return [{ family: address.includes(':') ? 6 : 4, address, ttlSeconds: 0 }];
}

const HOST_PURPOSE: Purpose = {
  isUseful: ({ family, target }) => family !== 0 || target !== undefined,
  octetsOf: () => 0,
  mergesAddresses: false,
};

/** For the choice of a leader, which takes all instances. */
const INSTANCES: Purpose = { ...HOST_PURPOSE, ignoresTexts: true };

const PURPOSES: ReadonlyMap<number, Purpose> = new Map<number, Purpose>([
  [Type.A, addressPurpose(4, 4)],
  [Type.AAAA, addressPurpose(6, 16)],
  [
    Type.TXT,
    {
      ...HOST_PURPOSE,
      isUseful: ({ attributes, target }) => attributes.text !== '' || target !== undefined,
      octetsOf: (_, { attributes: { text } }) =>
        text === '' ? 0 : COMPRESSED_RR_OCTETS + 1 + text.length,
    },
  ],
  [
    Type.SRV,
    {
      ...HOST_PURPOSE,
      octetsOf: (node, { family, target, attributes: { port } }) => {
        if (port === NO_SRV || (family === 0 && target === undefined)) return 0;
        // SRV targets are not compressed (RFC 2782).
        return COMPRESSED_RR_OCTETS + 6 + nameOctets(target ?? node.owner());
      },
    },
  ],
  [
    Type.MX,
    {
      ...HOST_PURPOSE,
      isUseful: ({ attributes }) => attributes.mail,
      octetsOf: (_, { attributes: { mail } }) => (mail ? COMPRESSED_RR_OCTETS + 4 : 0),
    },
  ],
]);

function addressPurpose(family: 4 | 6, octets: number): Purpose {
  return {
    isUseful: (service) => service.family === family || service.target !== undefined,
    octetsOf: (_, service) => (service.family === family ? COMPRESSED_RR_OCTETS + octets : 0),
    mergesAddresses: true,
  };
}

function purposeOf(qtype: number): Purpose {
  return PURPOSES.get(qtype) ?? HOST_PURPOSE;
}

/**
 * Services with equal host, port, priority, weight and text count once (SkyDNS), at the position of the first: their
 * addresses and texts would be equal records. The shallowest one kept, or the first by name, so that every server
 * keeps the same one. It gets the least TTL that one of them sets, and the lease that ends last.
 */
export function withoutDuplicates(services: readonly Selected[]): readonly Selected[] {
  if (services.length < 2) return services;
  const kept = new Map<string, Selected>();
  for (const selected of services) {
    const identity = serviceIdentity(selected.registration);
    const other = kept.get(identity);
    kept.set(identity, other === undefined ? selected : merged(selected, other));
  }
  return kept.size === services.length ? services : [...kept.values()];
}

function serviceIdentity(service: Service): string {
  const { target, address, attributes } = service;
  const host = target === undefined ? address : nameKey(target);
  const { port, priority, weight, text } = attributes;
  return `${host} ${port} ${priority} ${weight} ${text}`;
}

function merged(a: Selected, b: Selected): Selected {
  const [kept, dropped] = comesBefore(a, b) ? [a, b] : [b, a];
  const attributes = {
    ...kept.registration.attributes,
    ttlSeconds: leastSet(
      kept.registration.attributes.ttlSeconds,
      dropped.registration.attributes.ttlSeconds,
    ),
  };
  const lease = longest(kept.registration.lease, dropped.registration.lease);
  return { ...kept, registration: { ...kept.registration, attributes, lease } };
}

function leastSet(a: number, b: number): number {
  return a === 0 || b === 0 ? a + b : Math.min(a, b);
}

function longest(a: Lease | undefined, b: Lease | undefined): Lease | undefined {
  if (a === undefined || b === undefined) return undefined;
  // A lease whose end is not known yet counts as the shorter one.
  if (a.expiresAtMs === undefined || b.expiresAtMs === undefined) {
    return a.expiresAtMs === undefined ? b : a;
  }
  return a.expiresAtMs >= b.expiresAtMs ? a : b;
}

function comesBefore(a: Selected, b: Selected): boolean {
  if (a.depth !== b.depth) return a.depth < b.depth;
  return a.node !== b.node && printName(a.node.owner()) < printName(b.node.owner());
}

/**
 * SkyDNS's group rule, made independent of order: the groups of the shallowest services decide. If they have one group,
 * the services of that group and those without a group stay; with several groups or none, all services stay. If the
 * services are a sample, the shallowest ones are searched in the tree below `sampledBelow`.
 */
function applyGroupRule(
  services: readonly Selected[],
  sampledBelow: Node | undefined,
): readonly Selected[] {
  if (services.length < 2) return services;
  const isWhole = sampledBelow === undefined || services[0]?.node === sampledBelow;
  const shallowest = isWhole ? shallowestOf(services) : shallowestBelow(sampledBelow);
  const named = new Set(shallowest.map(({ attributes }) => attributes.group));
  named.delete('');
  if (named.size !== 1) return services;
  return services.filter(({ registration: { attributes } }) => {
    return attributes.group === '' || named.has(attributes.group);
  });
}

function shallowestOf(services: readonly Selected[]): Registration[] {
  let least = Number.POSITIVE_INFINITY;
  for (const { depth } of services) least = Math.min(least, depth);
  return services.flatMap(({ depth, registration }) => (depth === least ? [registration] : []));
}

/** Of a level with more nodes, only the first ones count. */
const MAX_LEVEL_NODES = 1_000;

/** The services of the shallowest level below a node that has services. */
function shallowestBelow(node: Node): Registration[] {
  let level = childrenOf([node]);
  while (level.length > 0) {
    const found = level.flatMap(registrationsAt);
    if (found.length > 0) return found;
    level = childrenOf(level);
  }
  return [];
}

function childrenOf(nodes: readonly Node[]): Node[] {
  const children: Node[] = [];
  for (const node of nodes) {
    for (const child of node.children ?? []) {
      if (children.length === MAX_LEVEL_NODES) return children;
      children.push(child);
    }
  }
  return children;
}

function registrationsAt(node: Node): Registration[] {
  const registrations: Registration[] = [];
  for (let at = node.first; at !== undefined; at = at.next) registrations.push(at);
  return registrations;
}
