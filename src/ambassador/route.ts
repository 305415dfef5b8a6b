/**
 * ambassador/: Routes: who connects where, which service serves the connection, and which of its backends. Pure.
 * Imports: dns, kernel, registrar/links, service, zone, zone/tree.
 * Used by: ambassador/follow, ambassador/names, ambassador/nft, ambassador/proxy, ambassador/proxy/carry, app,
 *   app/ambassador, app/answering, cli/linking, tools/doctor/ambassador.
 *
 * A route says which connections it takes (its match) and which backends serve them (its target). A plane carries the
 * connections: the kernel (nft/) or a proxy of ours (proxy/).
 */
import type { SocketAddress } from '../dns/address.ts';
import type { Name } from '../dns/name.ts';

export type Protocol = 'tcp' | 'udp';

/** The connections that a route takes. */
export type Match =
  /** Connections to a socket that the proxy opens. */
  | { readonly kind: 'socket'; readonly listen: ListenAddress }
  /** Connections of any consumer to a virtual address. */
  | {
      readonly kind: 'virtual';
      readonly address: string;
      readonly port: number;
      readonly protocol: Protocol;
    }
  /** Connections of one consumer, known by its source address, to any address of this host. */
  | {
      readonly kind: 'consumer';
      readonly source: string;
      readonly port: number;
      readonly protocol: Protocol;
    };

export type ListenAddress =
  | {
      readonly kind: 'port';
      /** An IP address; undefined: all addresses of both families. */
      readonly address: string | undefined;
      readonly port: number;
      readonly protocol: Protocol;
    }
  | { readonly kind: 'unix'; readonly path: string };

/** What a route leads to. */
export type Target =
  /** Addresses, or all addresses of host names. */
  | { readonly kind: 'endpoints'; readonly endpoints: readonly TargetEndpoint[] }
  /** The instances of a service: those that SRV lists for the name. */
  | {
      readonly kind: 'service';
      readonly name: Name;
      /** Only instances whose own port it is; undefined: see `resolveBackends`. */
      readonly port: number | undefined;
    }
  /** The instances of a service that are at this port of its virtual address. */
  | { readonly kind: 'virtualPort'; readonly name: Name; readonly port: number }
  /** The value or the children of a key in an etcd (nsproxy, ambassadord). */
  | { readonly kind: 'key'; readonly store: string; readonly key: string };

export interface TargetEndpoint {
  readonly host: TargetHost;
  readonly port: number;
}

export type TargetHost =
  | { readonly kind: 'address'; readonly address: string }
  | { readonly kind: 'name'; readonly name: Name };

/** Whether the operator wrote down every address, so that the route may lead to this host itself. */
export function isStatic(target: Target): boolean {
  return (
    target.kind === 'endpoints' && target.endpoints.every(({ host }) => host.kind === 'address')
  );
}

/**
 * Whether the route leads to a leader: connections to a former leader are reset at once, because writing to it is worse
 * than a broken connection.
 */
export function isToLeader(target: Target): boolean {
  return (
    (target.kind === 'service' || target.kind === 'virtualPort') && target.name[0] === 'leader'
  );
}

export interface Route {
  readonly match: Match;
  readonly target: Target;
  /** The command line, container or virtual address that asks for it, for reports. */
  readonly origin: string;
  /** Since when, on the wall clock: of two routes with one match the older one stands. */
  readonly sinceMs: number;
}

/** Equal for matches that take the same connections. */
export function matchKey(match: Match): string {
  switch (match.kind) {
    case 'socket': {
      const { listen } = match;
      if (listen.kind === 'unix') return `unix ${listen.path}`;
      return `socket ${listen.address ?? '*'} ${listen.port}/${listen.protocol}`;
    }
    case 'virtual':
      return `virtual ${match.address} ${match.port}/${match.protocol}`;
    case 'consumer':
      return `consumer ${match.source} ${match.port}/${match.protocol}`;
  }
}

/** Which consumers of its own host may reach a container at its own address. */
export type BackendAccess =
  /** The provider did not publish the port to other networks: those on the container's own network. */
  | 'private'
  /** Those on every network of the host. */
  | 'published';

/** A place that serves connections of a route. */
export interface Backend extends SocketAddress {
  /** Backends with a lower priority number are preferred; the others serve only if all of those fail. */
  readonly priority: number;
  /** Its share of the connections among backends of its priority; at least 1. */
  readonly weight: number;
  /** The key of its record; undefined for a backend that no record of ours names. */
  readonly key: string | undefined;
  /** Undefined: as the host's own rules say. */
  readonly access?: BackendAccess | undefined;
  /** The proxy begins each connection with a header of the PROXY protocol. */
  readonly proxyProtocol?: boolean;
}

/** What is known about the backends of a route. */
export type BackendSet =
  /** Sorted by `printSocketAddress`, each address and port once. Empty: there is none, and connections are refused. */
  | {
      readonly kind: 'known';
      readonly backends: readonly Backend[];
      /** Why there is no backend. */
      readonly reason?: string;
    }
  /** The store was never read, or no server has answered yet. */
  | { readonly kind: 'waits'; readonly reason: string };

/** Whether two sets lead connections to the same places in the same way. */
export function isSameBackendSet(a: BackendSet, b: BackendSet): boolean {
  if (a.kind === 'waits' || b.kind === 'waits') {
    return a.kind === 'waits' && b.kind === 'waits' && a.reason === b.reason;
  }
  if (a.reason !== b.reason || a.backends.length !== b.backends.length) return false;
  return a.backends.every((backend, i) => {
    const other = b.backends[i];
    return other !== undefined && isSameBackend(backend, other);
  });
}

function isSameBackend(a: Backend, b: Backend): boolean {
  return (
    a.address === b.address &&
    a.port === b.port &&
    a.priority === b.priority &&
    a.weight === b.weight &&
    a.key === b.key &&
    a.access === b.access &&
    (a.proxyProtocol ?? false) === (b.proxyProtocol ?? false)
  );
}
