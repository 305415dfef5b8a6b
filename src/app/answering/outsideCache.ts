/**
 * The cache of other servers' answers in a running server: its memory, the changes of the configuration that empty it,
 * and the answers that are prefetched because clients ask for them.
 */
import { isSameValue } from '../../config/options/valueForms.ts';
import { AnswerCache, type CacheStats } from '../../dataplane/cache/answerCache.ts';
import { sumOf, type UdpListener } from '../../dataplane/listeners/udpListener.ts';
import { CachePublisher } from '../../dataplane/publish/cachePublisher.ts';
import { Single } from '../../dataplane/table/counters.ts';
import type { TableHandle } from '../../dataplane/table/layout.ts';
import type { Question, Response } from '../../dns/message.ts';
import type { Name } from '../../dns/name.ts';
import type { CachingForwarder } from '../../forward/forwarder.ts';
import type { ForwardOptions } from '../../forward/outcome.ts';
import { outsideResponse } from '../../server/forwarded.ts';
import type { CacheSource } from '../../server/http/cacheApi.ts';
import type { TcpListener } from '../../server/tcp/tcp.ts';
import { answerCacheOctets } from './forwarding.ts';
import { type LiveConfig, rebindRule } from './liveConfig.ts';
import type { SecureListeners } from './secureListeners.ts';

export interface OutsideCacheOptions {
  /** The table whose readers also read the cache. */
  readonly table: TableHandle;
  readonly liveConfig: LiveConfig;
  /** Receives errors that are bugs. Must not throw. */
  readonly onError: (error: unknown) => void;
}

/** What other servers' answers depend on: when it changes, none of them holds. */
interface CacheBasis {
  readonly forwarder: CachingForwarder | undefined;
  readonly rules: unknown;
}

const PREFETCH_EVERY_MS = 500;
/** Questions that are prefetched at the same time. Each waits for an upstream. */
const MAX_PREFETCHING = 64;
/** No client asks these questions, so all of them together have one client's share of the forwarder's capacity. */
const PREFETCHING: ForwardOptions = { checkingDisabled: false, dnssecOk: false, client: '' };

/** Undefined with `--cache-memory 0`. */
export function createOutsideCache(options: OutsideCacheOptions): OutsideCache | undefined {
  return options.liveConfig.config.cacheMib === 0 ? undefined : new OutsideCache(options);
}

export class OutsideCache {
  readonly #options: OutsideCacheOptions;
  readonly #cache: AnswerCache;
  readonly #publisher: CachePublisher;
  readonly #timer: NodeJS.Timeout;
  #basis: CacheBasis;
  #prefetching = 0;

  /** Throws RangeError if the process cannot reserve the address space. */
  constructor(options: OutsideCacheOptions) {
    const { liveConfig, table, onError } = options;
    this.#options = options;
    const { cacheMib, maxUdpOctets } = liveConfig.config;
    this.#cache = new AnswerCache(answerCacheOctets(cacheMib), table);
    this.#publisher = new CachePublisher({
      ...{ cache: this.#cache, maxUdpOctets, onError },
      mayPrefetch: () => liveConfig.config.prefetch,
      roundRobin: () => liveConfig.settings.roundRobin,
      random: Math.random,
      monotonicMs: () => performance.now(),
    });
    this.#basis = this.#currentBasis();
    liveConfig.onChanged(() => this.#onChanged());
    liveConfig.setStoredReplies((question) => this.#publisher.find(question));
    this.#timer = setInterval(() => this.#prefetchNoted(), PREFETCH_EVERY_MS).unref();
  }

  get memory(): SharedArrayBuffer {
    return this.#cache.memory;
  }

  get stats(): CacheStats {
    return this.#cache.stats;
  }

  offer(question: Question, response: Response): void {
    this.#publisher.offer(question, response);
  }

  /** Whether the answer cache has an answer to the question that holds. */
  has(question: Question): boolean {
    return this.#publisher.has(question);
  }

  /** Forgets the answer cache's answers about a name and the names below it, or all. Returns how many held. */
  flush(name: Name | undefined): number {
    return this.#publisher.flush(name);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #currentBasis(): CacheBasis {
    const { forwarder, settings, config } = this.#options.liveConfig;
    const { rebindProtection, rebindAllow } = config;
    const { apexes, roundRobin } = settings;
    return { forwarder, rules: { apexes, roundRobin, rebindProtection, rebindAllow } };
  }

  #onChanged(): void {
    const before = this.#basis;
    this.#basis = this.#currentBasis();
    const { forwarder, rules } = this.#basis;
    if (forwarder === before.forwarder && isSameValue(rules, before.rules)) return;
    this.#cache.newEra();
  }

  #prefetchNoted(): void {
    const { forwarder } = this.#options.liveConfig;
    if (forwarder === undefined) return;
    for (const question of this.#publisher.takeQuestions(MAX_PREFETCHING - this.#prefetching))
      void this.#prefetch(question, forwarder);
  }

  async #prefetch(question: Question, forwarder: CachingForwarder): Promise<void> {
    const { liveConfig, onError } = this.#options;
    this.#prefetching++;
    try {
      const forwarded = await forwarder.prefetch(question, PREFETCHING);
      if (forwarded === undefined || forwarder !== liveConfig.forwarder) return;
      const rules = { settings: () => liveConfig.settings, mayRebind: rebindRule(liveConfig) };
      const { response, back } = outsideResponse(question, forwarded, rules);
      if (back === undefined) this.#publisher.replace(question, response);
    } catch (error) {
      onError(error);
    } finally {
      this.#prefetching--;
      this.#prefetchNoted();
    }
  }
}

/** The answer cache and the reply cache as one, for HTTP. Undefined with `--cache-memory 0`. */
export function cacheSourceOf({
  outsideCache,
  liveConfig,
  udp,
  tcp,
  secure,
}: {
  readonly outsideCache: OutsideCache | undefined;
  readonly liveConfig: LiveConfig;
  readonly udp: Pick<UdpListener, 'blocks'>;
  readonly tcp: Pick<TcpListener, 'blocks'>;
  readonly secure?: Pick<SecureListeners, 'answers'> | undefined;
}): CacheSource | undefined {
  if (outsideCache === undefined) return undefined;
  return {
    summary() {
      const { answers, usedOctets, capacityOctets, evicted } = outsideCache.stats;
      const blocks = [...udp.blocks, ...tcp.blocks, ...(secure?.answers ?? [])];
      const byReaders = sumOf(blocks, Single.cacheHits);
      const hits = liveConfig.forwardCounters.cacheHits + byReaders;
      return { answers, usedOctets, capacityOctets, hits, evicted };
    },
    flush(name) {
      const replies = liveConfig.forwarder?.flush(name) ?? [];
      const others = replies.filter((question) => !outsideCache.has(question));
      return others.length + outsideCache.flush(name);
    },
  };
}
