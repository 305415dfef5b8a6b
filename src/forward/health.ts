/**
 * Which upstreams reply. Like glibc, the forwarder prefers the first upstream in the list. Unlike glibc, it does not
 * wait for a dead upstream at every question. After two failures in a row an upstream is down: it gets a question only
 * when all others have failed. Copies of real questions probe it until it replies to one.
 */
import { backoffMs } from '../timing/backoff.ts';
import type { Upstream } from './upstream.ts';

const FAILURES_TO_BE_DOWN = 2;
const PROBE_INTERVAL = { minMs: 2_000, maxMs: 30_000 };

interface UpstreamState {
  failuresInARow: number;
  /** The probes sent since the upstream went down. */
  probes: number;
  probeAtMs: number;
}

/** Times are monotonic milliseconds. */
export class UpstreamHealth {
  readonly #states: ReadonlyMap<Upstream, UpstreamState>;

  constructor(upstreams: readonly Upstream[]) {
    this.#states = new Map(upstreams.map((upstream) => [upstream, newState()]));
  }

  /** All upstreams: first those that are up, then those that are down, each in the order listed. */
  order(): Upstream[] {
    const upstreams = [...this.#states.keys()];
    return [
      ...upstreams.filter((upstream) => !this.isDown(upstream)),
      ...upstreams.filter((upstream) => this.isDown(upstream)),
    ];
  }

  isDown(upstream: Upstream): boolean {
    return this.#stateOf(upstream).failuresInARow >= FAILURES_TO_BE_DOWN;
  }

  /** Whether a probe is due. If so, the next one is due after twice the interval, half a minute at most. */
  takeProbe(upstream: Upstream, nowMs: number): boolean {
    const state = this.#stateOf(upstream);
    if (!this.isDown(upstream) || nowMs < state.probeAtMs) return false;
    state.probes++;
    state.probeAtMs = nowMs + probeIntervalMs(state);
    return true;
  }

  /** The upstream replied, with any rcode. */
  succeeded(upstream: Upstream): void {
    Object.assign(this.#stateOf(upstream), newState());
  }

  failed(upstream: Upstream, nowMs: number): void {
    const state = this.#stateOf(upstream);
    state.failuresInARow++;
    if (state.failuresInARow === FAILURES_TO_BE_DOWN)
      state.probeAtMs = nowMs + probeIntervalMs(state);
  }

  #stateOf(upstream: Upstream): UpstreamState {
    return this.#states.get(upstream) ?? newState();
  }
}

function newState(): UpstreamState {
  return { failuresInARow: 0, probes: 0, probeAtMs: 0 };
}

function probeIntervalMs({ probes }: UpstreamState): number {
  return backoffMs(probes + 1, PROBE_INTERVAL);
}
