/**
 * The routes of containers' links: from each address of the container and each linked port to what the link names. The
 * host knows a consumer by these addresses alone.
 */
import { isSubdomainOf, type Name } from '../dns/name.ts';
import type { Consumer } from '../registrar/links/consumers.ts';
import type { Route } from './route.ts';
import { type IsOurs, parseTarget } from './targetText.ts';

/** The routes of consumers by what states them: a source of a `RouteTable`. `apexes`: the zones. */
export function routesOfConsumers(
  consumers: readonly Consumer[],
  apexes: readonly Name[],
): ReadonlyMap<string, readonly Route[]> {
  const isOurs: IsOurs = (name) => apexes.some((apex) => isSubdomainOf(name, apex));
  return new Map(
    consumers.map((consumer) => [`container ${consumer.id}`, routesOfConsumer(consumer, isOurs)]),
  );
}

/**
 * A route for each of the consumer's addresses and linked ports; among equal matches the container that started first
 * has precedence. Links of an alias are not routes: they only name variables. The registrar has checked what the links
 * lead to (`checkTarget`), and has reported those that it refuses.
 */
function routesOfConsumer(consumer: Consumer, isOurs: IsOurs): readonly Route[] {
  const { shortId, name, startedAt, addresses, links } = consumer;
  const sinceMs = Date.parse(startedAt) || 0;
  const origin = `container ${shortId} ${name}`;
  const routes: Route[] = [];
  for (const link of links) {
    if (link.kind !== 'port') continue;
    const parsed = parseTarget(link.target, isOurs);
    if (parsed.kind === 'mistake') continue;
    const { number: port, protocol } = link.port;
    for (const { address: source } of addresses) {
      const match = { kind: 'consumer', source, port, protocol } as const;
      routes.push({ match, target: parsed.target, origin, sinceMs });
    }
  }
  return routes;
}
