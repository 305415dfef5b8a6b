/**
 * SkyDNS's stub zones: a service at `<id>.<zone>.stub.dns.<domain>`, which is the key `dns/stub/<zone, reversed>/<id>`
 * below the domain's, is a server that questions about the zone go to.
 */
import { DNS_PORT, type SocketAddress } from '../../dns/address.ts';
import { isSubdomainOf, type Name, nameKey, printName } from '../../dns/name.ts';
import type { Service } from '../../service/service.ts';
import { findNode, type Node, type Registration } from './tree.ts';

export interface StubZone {
  /** Folded. */
  readonly name: Name;
  /**
   * In the order of their owner names. None if the zone has invalid values only: its questions must still not go to the
   * general upstreams.
   */
  readonly servers: readonly SocketAddress[];
}

export interface InvalidStub {
  readonly node: Node;
  readonly registration: Registration;
  readonly reason: string;
}

export interface StubZones {
  /** Ordered by name. */
  readonly zones: readonly StubZone[];
  readonly invalid: readonly InvalidStub[];
}

/** The first labels of the name below which a domain has its stub zones. */
const STUBS: Name = ['stub', 'dns'];

/** The stub zones of folded domains. */
export function stubZonesOf(root: Node, domains: readonly Name[]): StubZones {
  const found: { readonly owner: Name; readonly name: Name; readonly server?: SocketAddress }[] =
    [];
  const invalid: InvalidStub[] = [];
  for (const domain of domains) {
    const top = findNode(root, [...STUBS, ...domain]);
    for (const { node, registration } of top === undefined ? [] : registrations(top)) {
      const owner = node.owner();
      const read = readStub(owner, domain, registration, domains);
      if (read.kind !== 'no zone') found.push({ owner, ...read });
      if (read.kind !== 'server') invalid.push({ node, registration, reason: read.reason });
    }
  }
  found.sort((a, b) => compare(printName(a.owner), printName(b.owner)));
  const zones = new Map<string, { name: Name; servers: SocketAddress[] }>();
  for (const { name, server } of found) {
    const key = nameKey(name);
    const zone = zones.get(key) ?? { name, servers: [] };
    if (server !== undefined) zone.servers.push(server);
    zones.set(key, zone);
  }
  const inOrder = [...zones.values()].sort((a, b) => compare(printName(a.name), printName(b.name)));
  return { zones: inOrder, invalid };
}

function* registrations(
  node: Node,
): Iterable<{ readonly node: Node; readonly registration: Registration }> {
  for (let at = node.first; at !== undefined; at = at.next) yield { node, registration: at };
  for (const child of node.children ?? []) yield* registrations(child);
}

/**
 * Why a service with a folded owner name is no server of a stub zone, although its place is that of one. The domain is
 * what follows the last labels `stub.dns` in the name.
 */
export function stubProblem(owner: Name, service: Service): string | undefined {
  const at = owner.findLastIndex((label, i) => label === STUBS[0] && owner[i + 1] === STUBS[1]);
  const domain = owner.slice(at + STUBS.length);
  if (at < 1 || domain.length === 0) return undefined;
  const read = readStub(owner, domain, service, [domain]);
  return read.kind === 'server' ? undefined : read.reason;
}

type StubValue =
  | { readonly kind: 'server'; readonly name: Name; readonly server: SocketAddress }
  /** The zone is one, but the value is no server of it. */
  | { readonly kind: 'no server'; readonly name: Name; readonly reason: string }
  | { readonly kind: 'no zone'; readonly reason: string };

/** What a service at an owner name below that of the stub zones means. */
function readStub(
  owner: Name,
  domain: Name,
  service: Service,
  domains: readonly Name[],
): StubValue {
  const name = owner.slice(1, owner.length - domain.length - STUBS.length);
  const { family, address, target, attributes } = service;
  const own = domains.find((each) => isSubdomainOf(each, name));
  if (own !== undefined) {
    const reason = `the stub zone ${printName(name)} contains our domain ${printName(own)}`;
    return { kind: 'no zone', reason };
  }
  const invalid = (reason: string) => ({ kind: 'no server', name, reason }) as const;
  if (target !== undefined)
    return invalid(`the server of a stub zone is an IP address, not ${printName(target)}`);
  if (family === 0) return invalid('the server of a stub zone needs a host');
  const port = attributes.port > 0 ? attributes.port : DNS_PORT;
  return { kind: 'server', name, server: { address, port } };
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
