/** Which of the services selected for a name answer: the group rule, and SkyDNS's removal of duplicates. */
import { nameKey, printName } from '../dns/name.ts';
import type { Lease } from '../service/change.ts';
import type { Service } from '../service/service.ts';
import type { Selected } from './select.ts';
import type { Node, Registration } from './tree.ts';

/**
 * Services with equal host, port, priority, weight and text count once (SkyDNS), at the place of the first: their
 * addresses and texts would be equal records. Of the equal ones the shallowest stays, then the first by name, so that
 * every server keeps the same one; it has the least TTL that is set, and lives as long as the longest-lived.
 */
export function withoutDuplicates(services: readonly Selected[]): readonly Selected[] {
  if (services.length < 2) return services;
  const kept = new Map<string, Selected>();
  for (const selected of services) {
    const identity = identityOf(selected.registration);
    const other = kept.get(identity);
    kept.set(identity, other === undefined ? selected : merged(selected, other));
  }
  return kept.size === services.length ? services : [...kept.values()];
}

function identityOf(service: Service): string {
  const { target, address, attributes } = service;
  const host = target === undefined ? address : nameKey(target);
  const { port, priority, weight, text } = attributes;
  return `${host} ${port} ${priority} ${weight} ${text}`;
}

function merged(a: Selected, b: Selected): Selected {
  const [stays, goes] = comesBefore(a, b) ? [a, b] : [b, a];
  const attributes = {
    ...stays.registration.attributes,
    ttlSeconds: leastSet(
      stays.registration.attributes.ttlSeconds,
      goes.registration.attributes.ttlSeconds,
    ),
  };
  const lease = longest(stays.registration.lease, goes.registration.lease);
  return { ...stays, registration: { ...stays.registration, attributes, lease } };
}

function leastSet(a: number, b: number): number {
  return a === 0 || b === 0 ? a + b : Math.min(a, b);
}

function longest(a: Lease | undefined, b: Lease | undefined): Lease | undefined {
  if (a === undefined || b === undefined) return undefined;
  // One that is not known yet is taken for the shorter one, so that nothing is promised.
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
 * The group rule, made independent of order: the shallowest services choose. If those of them that name a group name the
 * same, it and the services without a group stay; if they name several or none, all do. Where only a sample was
 * selected, the shallowest are looked for below `sampledBelow`.
 */
export function inGroup(
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

/** Of a level with more nodes than this, the first ones have to do. */
const MAX_LEVEL_NODES = 1_000;

/** The services of the shallowest level below a node that has any. */
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
