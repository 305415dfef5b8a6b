/** The group rule: which of the selected services of a name answer together. */
import type { Selected } from './select.ts';
import type { Node, Registration } from './tree.ts';

/**
 * SkyDNS's group rule, made independent of order: the groups of the shallowest services decide. If they have one group,
 * the services of that group and those without a group stay; with several groups or none, all services stay. If the
 * services are a sample, the shallowest ones are searched in the tree below `sampledBelow`.
 */
export function applyGroupRule(
  services: readonly Selected[],
  sampledBelow: Node | undefined,
  aggregateDepth: number,
): readonly Selected[] {
  if (services.length < 2) return services;
  const isWhole = sampledBelow === undefined || services[0]?.node === sampledBelow;
  const shallowest = isWhole
    ? shallowestOf(services)
    : shallowestBelow(sampledBelow, aggregateDepth);
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

/** The services of the shallowest level below a node that has services which count in its name's answers. */
function shallowestBelow(node: Node, aggregateDepth: number): Registration[] {
  let level = childrenOf([node]);
  for (let depth = 1; level.length > 0 && depth <= aggregateDepth; depth++) {
    const found = level.flatMap(aggregatesAt);
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

function aggregatesAt(node: Node): Registration[] {
  const registrations: Registration[] = [];
  for (let at = node.first; at !== undefined; at = at.next) {
    if (at.attributes.aggregate) registrations.push(at);
  }
  return registrations;
}
