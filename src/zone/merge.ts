/**
 * From the services selected for a name to those that answer: SkyDNS's removal of duplicates, then the group rule.
 */
import { printName } from '../dns/name.ts';
import type { Service } from '../service/service.ts';
import type { Selected } from './select.ts';

/**
 * Services with equal host, port, priority, weight and text count once (SkyDNS), kept at the place of the first. Of the
 * equal ones the shallowest stays, then the first by name, so that every server keeps the same one.
 */
export function withoutDuplicates(services: readonly Selected[]): readonly Selected[] {
  if (services.length < 2) return services;
  const kept = new Map<string, Selected>();
  for (const selected of services) {
    const identity = identityOf(selected.registration);
    const other = kept.get(identity);
    if (other === undefined || comesBefore(selected, other)) kept.set(identity, selected);
  }
  return kept.size === services.length ? services : [...kept.values()];
}

function identityOf(service: Service): string {
  const host = service.target === undefined ? service.address : printName(service.target);
  const { port, priority, weight, text } = service.attributes;
  return `${host} ${port} ${priority} ${weight} ${text}`;
}

function comesBefore(a: Selected, b: Selected): boolean {
  if (a.depth !== b.depth) return a.depth < b.depth;
  return a.node !== b.node && printName(a.node.owner()) < printName(b.node.owner());
}

/**
 * The group rule, made independent of order: the shallowest services that name a group choose it. If they name one
 * group, it and the services without a group stay; if they name several or none, all do.
 */
export function inGroup(services: readonly Selected[]): readonly Selected[] {
  let least = Number.POSITIVE_INFINITY;
  for (const { depth } of services) if (depth < least) least = depth;
  let chosen = '';
  for (const { depth, registration } of services) {
    const { group } = registration.attributes;
    if (depth !== least || group === '' || group === chosen) continue;
    if (chosen !== '') return services;
    chosen = group;
  }
  if (chosen === '') return services;
  return services.filter(({ registration }) => {
    const { group } = registration.attributes;
    return group === '' || group === chosen;
  });
}
