/** The routes of a container's links: from each of its addresses and linked ports to what the link names. */
import type { Consumer } from '../registrar/links/consumers.ts';
import type { Route } from './route.ts';
import { type IsOurs, parseTarget } from './targetText.ts';

/**
 * A route for each of the consumer's addresses and linked ports; among equal matches the container that started first
 * has precedence. Links of an alias are not routes: they only name variables. The registrar has checked what the links
 * lead to (`checkTarget`), and has reported those that it refuses.
 */
export function routesOfConsumer(consumer: Consumer, isOurs: IsOurs): readonly Route[] {
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
