/**
 * Forwarders for sets of servers: the general upstreams, the servers of a domain, the name servers of a delegation. Each
 * set has its own health and its own pending questions, so that a dead one delays no other. All share one reply cache,
 * whose size is that of a single forwarder, and no answer of a set is found by another one.
 */
import type { Question } from '../../dns/message.ts';
import { type Name, nameKey } from '../../dns/name.ts';
import { systemClock } from '../../timing/clock.ts';
import { ReplyCache } from '../cache.ts';
import { type CachingForwarder, createForwarder } from '../forwarder.ts';
import type { ForwarderOptions, UpstreamDomain } from '../forwarderOptions.ts';
import type { Upstream } from '../upstream.ts';

/** What all forwarders have in common. */
export type SetOptions = Omit<
  ForwarderOptions,
  'upstreams' | 'ndots' | 'domain' | 'cache' | 'maxInFlight' | 'maxWaiting'
>;

export interface ServerSet {
  /** The preferred one first. */
  readonly servers: readonly Upstream[];
  /** Absent: the general upstreams. */
  readonly domain?: UpstreamDomain | undefined;
  /** For the general upstreams; see `ForwarderOptions`. Default 0. */
  readonly ndots?: number;
}

interface Used {
  readonly forwarder: CachingForwarder;
  users: number;
}

/** Different questions pending at a time: of one set, and about so many of all domains' sets together. */
const MAX_IN_FLIGHT = 512;
const MAX_OF_ALL = 2_048;
const LEAST_IN_FLIGHT = 16;
const WAITING_PER_QUESTION = 8;

/** Sets of delegations that are kept at a time, and how many of them share what all sets may have pending. */
const MAX_DELEGATIONS = 256;
const BUSY_DELEGATIONS = 32;

export class ServerSets {
  readonly #cache: ReplyCache;
  readonly #options: SetOptions;
  readonly #used = new Map<string, Used>();
  /** The least recently used first. */
  readonly #delegations = new Map<string, CachingForwarder>();
  #made = 0;

  constructor(options: SetOptions) {
    const { cacheEntries = 10_000, cacheOctets = 16 * 1024 * 1024, staleSeconds = 0 } = options;
    this.#options = options;
    this.#cache = new ReplyCache({
      maxEntries: cacheEntries,
      maxOctets: cacheOctets,
      staleSeconds,
    });
  }

  /**
   * The forwarder of a set; the same one for equal sets while it has users. Its user calls `release` once. `domains` is
   * the number of domains that have sets.
   */
  use(set: ServerSet, domains = 1): CachingForwarder {
    const key = keyOf(set);
    const used = this.#used.get(key) ?? { forwarder: this.#create(set, domains), users: 0 };
    used.users++;
    this.#used.set(key, used);
    return used.forwarder;
  }

  /** Closes the set's forwarder if nothing else uses it. */
  async release(set: ServerSet): Promise<void> {
    const key = keyOf(set);
    const used = this.#used.get(key);
    if (used === undefined || --used.users > 0) return;
    this.#used.delete(key);
    await used.forwarder.close();
  }

  /**
   * The forwarder that asks these servers about names in a domain that our zones delegate to them. It needs no release:
   * of more than `MAX_DELEGATIONS` the one that was used least recently is closed, with its pending questions. An idle
   * one has no socket and no timer, so those of cuts that are gone may stay until then.
   */
  delegatedTo(domain: Name, servers: readonly Upstream[]): CachingForwarder {
    const delegated = { name: domain, isStubZone: false, isDelegated: true } as const;
    const set = { servers, domain: delegated };
    const key = keyOf(set);
    const forwarder = this.#delegations.get(key) ?? this.#create(set, BUSY_DELEGATIONS);
    this.#delegations.delete(key);
    this.#delegations.set(key, forwarder);
    if (this.#delegations.size > MAX_DELEGATIONS) {
      const [oldest] = this.#delegations.keys();
      if (oldest !== undefined) this.#closeDelegation(oldest);
    }
    return forwarder;
  }

  /** As `CachingForwarder.flush`, for the replies of all sets and the pending questions of delegations. */
  flush(name: Name): readonly Question[] {
    for (const forwarder of this.#delegations.values()) forwarder.forget(name);
    return this.#cache.flush(name, (this.#options.clock ?? systemClock).monotonicMs());
  }

  /** Closes the delegations' forwarders. */
  async close(): Promise<void> {
    const all = [...this.#delegations.values()];
    this.#delegations.clear();
    await Promise.all(all.map((forwarder) => forwarder.close()));
  }

  #closeDelegation(key: string): void {
    void this.#delegations.get(key)?.close();
    this.#delegations.delete(key);
  }

  #create({ servers, domain, ndots = 0 }: ServerSet, domains: number): CachingForwarder {
    const share = Math.floor(MAX_OF_ALL / Math.max(1, domains));
    const maxInFlight =
      domain === undefined
        ? MAX_IN_FLIGHT
        : Math.min(MAX_IN_FLIGHT, Math.max(LEAST_IN_FLIGHT, share));
    return createForwarder({
      ...this.#options,
      upstreams: servers,
      ndots,
      domain,
      cache: { replies: this.#cache, tag: `#${this.#made++}` },
      maxInFlight,
      maxWaiting: maxInFlight * WAITING_PER_QUESTION,
    });
  }
}

/** Equal for sets that may have the same forwarder. */
function keyOf({ servers, domain, ndots = 0 }: ServerSet): string {
  const name = domain === undefined ? '' : `${nameKey(domain.name)}\0${domain.isStubZone}`;
  return JSON.stringify([name, ndots, servers]);
}
