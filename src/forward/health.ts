/**
 * Which upstreams reply, how fast, and in which order they get a question. Like glibc, the forwarder prefers the first
 * upstream in the list, unless another policy is set. Unlike glibc, it does not wait for a dead upstream at every
 * question. After two failures in a row an upstream is down: it gets a question only when all others have failed. Copies
 * of real questions probe it until it replies to one.
 */
import { backoffMs } from '../timing/backoff.ts';
import { AnswerTimes } from './answerTimes.ts';
import type { RandomInt } from './exchange/randomCase.ts';
import type { Upstream } from './upstream.ts';

/** The order of the upstreams that are up. */
export const FORWARD_POLICIES = ['listed', 'random', 'fastest'] as const;

export type ForwardPolicy = (typeof FORWARD_POLICIES)[number];

const FAILURES_TO_BE_DOWN = 2;
const PROBE_INTERVAL = { minMs: 2_000, maxMs: 30_000 };

/** With `fastest`, one in so many questions goes to another upstream first, whose time may have changed. */
const EXPLORE_ONE_IN = 20;

interface UpstreamState {
  readonly times: AnswerTimes;
  failuresInARow: number;
  /** The probes sent since the upstream went down. */
  probes: number;
  probeAtMs: number;
}

export interface HealthOptions {
  /** Default `listed`. */
  readonly policy?: ForwardPolicy;
  /** For the policies `random` and `fastest`; default: 0. */
  readonly randomInt?: RandomInt;
}

/** Times are monotonic milliseconds. */
export class UpstreamHealth {
  readonly #states: ReadonlyMap<Upstream, UpstreamState>;
  readonly #policy: ForwardPolicy;
  readonly #randomInt: RandomInt;
  #recoveries = 0;

  constructor(upstreams: readonly Upstream[], options: HealthOptions = {}) {
    const { policy = 'listed', randomInt = () => 0 } = options;
    this.#states = new Map(upstreams.map((upstream) => [upstream, newState()]));
    this.#policy = policy;
    this.#randomInt = randomInt;
  }

  /** How often an upstream that was down has replied again. */
  get recoveries(): number {
    return this.#recoveries;
  }

  /** All upstreams: first those that are up, as the policy orders them, then those that are down, as listed. */
  order(): Upstream[] {
    const upstreams = [...this.#states.keys()];
    return [
      ...this.#byPolicy(upstreams.filter((upstream) => !this.isDown(upstream))),
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

  /** What is known about the upstream's answer times. */
  timesOf(upstream: Upstream): AnswerTimes {
    return this.#stateOf(upstream).times;
  }

  /** The upstream replied, with any rcode. */
  succeeded(upstream: Upstream): void {
    if (this.isDown(upstream)) this.#recoveries++;
    const state = this.#stateOf(upstream);
    state.failuresInARow = 0;
    state.probes = 0;
  }

  failed(upstream: Upstream, nowMs: number): void {
    const state = this.#stateOf(upstream);
    state.failuresInARow++;
    if (state.failuresInARow === FAILURES_TO_BE_DOWN)
      state.probeAtMs = nowMs + probeIntervalMs(state);
  }

  #byPolicy(upstreams: readonly Upstream[]): readonly Upstream[] {
    switch (this.#policy) {
      case 'listed':
        return upstreams;
      case 'random':
        return this.#shuffled(upstreams);
      case 'fastest':
        return this.#byTime(upstreams);
    }
  }

  #shuffled(upstreams: readonly Upstream[]): readonly Upstream[] {
    const left = [...upstreams];
    return upstreams.flatMap(() => left.splice(this.#randomInt(left.length), 1));
  }

  /** An upstream whose time is unknown comes first, so that it soon is known. */
  #byTime(upstreams: readonly Upstream[]): readonly Upstream[] {
    const msOf = (upstream: Upstream): number => this.timesOf(upstream).smoothedMs ?? 0;
    const sorted = upstreams.toSorted((a, b) => msOf(a) - msOf(b));
    if (sorted.length < 2 || this.#randomInt(EXPLORE_ONE_IN) > 0) return sorted;
    const explored = sorted.splice(1 + this.#randomInt(sorted.length - 1), 1);
    return [...explored, ...sorted];
  }

  #stateOf(upstream: Upstream): UpstreamState {
    return this.#states.get(upstream) ?? newState();
  }
}

function newState(): UpstreamState {
  return { times: new AnswerTimes(), failuresInARow: 0, probes: 0, probeAtMs: 0 };
}

function probeIntervalMs({ probes }: UpstreamState): number {
  return backoffMs(probes + 1, PROBE_INTERVAL);
}
