/**
 * Which upstreams are worth a client's time. Like glibc we prefer the first one listed; unlike glibc a dead one does not
 * cost every question its timeout. After two failures in a row an upstream is down: asked only when all others failed
 * too, and probed with a copy of a real question, which nobody waits for, until it answers one.
 */
import { backoffMs } from '../timing/backoff.ts';
import type { UpstreamQuery } from './exchange.ts';
import { type QueryContext, queryUpstream } from './queryUpstreams.ts';
import type { Upstream } from './upstream.ts';

export interface UpstreamHealth {
  /** All upstreams: those that are up as listed, then those that are down as listed. */
  order(): Upstream[];
  isDown(upstream: Upstream): boolean;
  /** Whether a probe is due; saying yes starts the wait for the next one, twice as long up to half a minute. */
  takeProbe(upstream: Upstream, nowMs: number): boolean;
  /** It replied, whatever it said. */
  succeeded(upstream: Upstream): void;
  failed(upstream: Upstream, nowMs: number): void;
}

const FAILURES_TO_BE_DOWN = 2;
const PROBE_INTERVAL = { minMs: 2_000, maxMs: 30_000 };

interface State {
  failures: number;
  probes: number;
  probeAtMs: number;
}

export function createHealth(upstreams: readonly Upstream[]): UpstreamHealth {
  const states = new Map<Upstream, State>(upstreams.map((upstream) => [upstream, freshState()]));
  const stateOf = (upstream: Upstream) => states.get(upstream) ?? freshState();
  const isDown = (upstream: Upstream) => stateOf(upstream).failures >= FAILURES_TO_BE_DOWN;

  return {
    isDown,
    order: () => [
      ...upstreams.filter((upstream) => !isDown(upstream)),
      ...upstreams.filter((upstream) => isDown(upstream)),
    ],
    takeProbe(upstream, nowMs) {
      const state = stateOf(upstream);
      if (!isDown(upstream) || nowMs < state.probeAtMs) return false;
      state.probes++;
      state.probeAtMs = nowMs + probeIntervalMs(state);
      return true;
    },
    succeeded(upstream) {
      states.set(upstream, freshState());
    },
    failed(upstream, nowMs) {
      const state = stateOf(upstream);
      state.failures++;
      if (state.failures === FAILURES_TO_BE_DOWN) state.probeAtMs = nowMs + probeIntervalMs(state);
    },
  };
}

function freshState(): State {
  return { failures: 0, probes: 0, probeAtMs: 0 };
}

function probeIntervalMs({ probes }: State): number {
  return backoffMs(probes + 1, PROBE_INTERVAL);
}

/** Copies of real questions to upstreams that are down and due for a sign of life. Nobody waits for the replies. */

export class Probes {
  readonly #context: QueryContext;
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(context: QueryContext) {
    this.#context = context;
  }

  /** Sends the question to those of the upstreams that are due. */
  send(ask: UpstreamQuery, upstreams: readonly Upstream[]): void {
    const { health, clock, totalTimeoutMs } = this.#context;
    const nowMs = clock();
    for (const upstream of upstreams) {
      if (!health.takeProbe(upstream, nowMs)) continue;
      const probing: Promise<unknown> = queryUpstream(
        ask,
        upstream,
        nowMs + totalTimeoutMs,
        this.#context,
      ).finally(() => this.#underWay.delete(probing));
      this.#underWay.add(probing);
    }
  }

  /** Settles when none of now is under way. */
  async ended(): Promise<void> {
    await Promise.allSettled(this.#underWay);
  }
}
