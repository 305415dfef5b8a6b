/** Exchanges with upstreams that no caller waits for: they only show whether an upstream replies, and how soon. */
import type { UpstreamQuery } from './exchange/exchange.ts';
import { queryUpstream, type UpstreamContext } from './queryUpstream.ts';
import type { Upstream } from './upstream.ts';

/**
 * Sends copies of real questions to upstreams that are down, to see when they reply again. No caller waits for them.
 */
export class Probes {
  readonly #context: UpstreamContext;
  readonly #pending = new Set<Promise<unknown>>();

  constructor(context: UpstreamContext) {
    this.#context = context;
  }

  /** Sends the question to those of the upstreams whose probe is due. */
  send(query: UpstreamQuery, upstreams: readonly Upstream[]): void {
    const { health, clock, totalTimeoutMs } = this.#context;
    const nowMs = clock.monotonicMs();
    for (const upstream of upstreams) {
      if (!health.takeProbe(upstream, nowMs)) continue;
      const probe: Promise<unknown> = queryUpstream(
        query,
        upstream,
        nowMs + totalTimeoutMs,
        this.#context,
      ).finally(() => this.#pending.delete(probe));
      this.#pending.add(probe);
    }
  }

  /** Resolves when all probes that were sent before the call have ended. */
  async ended(): Promise<void> {
    await Promise.allSettled(this.#pending);
  }
}

/** The most questions whose slower upstreams are still listened to; each has sockets. */
const MAX_STRAGGLERS = 64;

/** The tries that still run although their question has its outcome: how they end counts for the upstream's health. */
export class Stragglers {
  readonly #pending = new Map<Promise<unknown>, () => void>();

  /** `abort` ends the tries early. */
  add(tries: readonly Promise<void>[], abort: () => void): void {
    if (this.#pending.size >= MAX_STRAGGLERS) {
      abort();
      return;
    }
    const ended: Promise<unknown> = Promise.all(tries).finally(() => this.#pending.delete(ended));
    this.#pending.set(ended, abort);
  }

  /** Ends all of them. */
  async close(): Promise<void> {
    for (const abort of this.#pending.values()) abort();
    await Promise.allSettled(this.#pending.keys());
  }
}
