/**
 * ambassador/: Routes: who connects where, which service serves the connection, and which of its backends. Pure.
 * Imports: dns.
 * Used by: .
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
  | { readonly kind: 'fixed'; readonly endpoints: readonly SocketAddress[] }
  /** The addresses of a host name, at one port. */
  | { readonly kind: 'host'; readonly name: Name; readonly port: number }
  /** The instances of a service: those that SRV lists for the name. */
  | {
      readonly kind: 'service';
      readonly name: Name;
      /** Only instances whose own port it is; undefined: the route takes every instance. */
      readonly port: number | undefined;
    }
  /** The value or the children of a key in another etcd (nsproxy, ambassadord). */
  | { readonly kind: 'key'; readonly store: string; readonly key: string };

export interface Route {
  readonly match: Match;
  readonly target: Target;
  /** Who asked for it, for reports: `argument 6379=...`, `container 0123456789ab`. */
  readonly origin: string;
}

/** A place that serves connections of a route. */
export interface Backend extends SocketAddress {
  /** Backends with a lower priority number are preferred; the others serve only if all of those fail. */
  readonly priority: number;
  /** Its share of the connections among backends of its priority; at least 1. */
  readonly weight: number;
  /** The key of its record; undefined for a backend that no record of ours names. */
  readonly key: string | undefined;
}

/** What is known about the backends of a route. */
export type BackendSet =
  /** Sorted by `printSocketAddress`, each address and port once. Empty: there is none, and connections are refused. */
  | { readonly kind: 'known'; readonly backends: readonly Backend[] }
  /** The store was never read, or no server has answered yet. */
  | { readonly kind: 'waits'; readonly reason: string };
