/**
 * Where a listener leads its clients. A plain route leads all of them to one service; a listener that several consumers
 * share leads each one, known by its source address, to what its own links say. Pure.
 */
import { printSocketAddress, type SocketAddress } from '../../dns/address.ts';
import type { BackendSet } from '../route.ts';

export interface Destination {
  /**
   * Names the route in events and reports; no other route of the proxy has it. All sources with one label have the same
   * destination.
   */
  readonly label: string;
  readonly backends: BackendSet;
  /** The operator wrote the backends down, so they may be at addresses that are forbidden otherwise. */
  readonly isStatic: boolean;
  /** How long connections to a backend that left go on, in place of the proxy's `drainSeconds`. */
  readonly drainSeconds?: number;
}

/**
 * The destination of a client; `undefined` if no route takes its connections. `source` is its address in `DnsClient`'s
 * form, and empty for a client of a Unix socket. The proxy calls it for each connection and flow, so it must be fast.
 */
export type DestinationOf = (source: string) => Destination | undefined;

/** Looks destinations up for many connections at one moment, each only once. */
export class DestinationView {
  readonly #destinationOf: DestinationOf;
  readonly #bySource = new Map<string, Destination | undefined>();
  readonly #ids = new Map<BackendSet, ReadonlySet<string>>();

  constructor(destinationOf: DestinationOf) {
    this.#destinationOf = destinationOf;
  }

  of(source: string): Destination | undefined {
    const known = this.#bySource.get(source);
    if (known !== undefined || this.#bySource.has(source)) return known;
    const found = this.#destinationOf(source);
    this.#bySource.set(source, found);
    return found;
  }

  /** Whether the backend still serves the source. While backends are unknown, each one does. */
  isServedBy(source: string, backend: SocketAddress): boolean {
    const destination = this.of(source);
    if (destination === undefined) return false;
    const { backends: set } = destination;
    return set.kind === 'waits' || this.#idsOf(set).has(printSocketAddress(backend));
  }

  /** The destinations that were looked up. */
  known(): readonly Destination[] {
    return [...this.#bySource.values()].filter((destination) => destination !== undefined);
  }

  #idsOf(set: Extract<BackendSet, { kind: 'known' }>): ReadonlySet<string> {
    const known = this.#ids.get(set);
    if (known !== undefined) return known;
    const ids = new Set(set.backends.map(printSocketAddress));
    this.#ids.set(set, ids);
    return ids;
  }
}
