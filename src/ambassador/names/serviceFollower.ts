/**
 * Follows the state of services for clients. All clients of a name share one state. A state is computed after a change,
 * but no more often than the pace allows: a fast series of changes gives fewer states, and the last one is always seen.
 */
import { foldName, type Name, nameKey } from '../../dns/name.ts';
import { isSameState, type ServiceState } from '../../service/instances.ts';
import type { Clock, Timer } from '../../timing/clock.ts';
import { NameDependents } from '../../zone/tree/nameDependents.ts';
import type { Node } from '../../zone/tree/tree.ts';
import {
  apexOf,
  type Freshness,
  type NameFacts,
  type View,
  type ZoneSettings,
} from '../../zone/tree/view.ts';
import { findService } from './serviceState.ts';

/** The zones' data. */
export interface ServiceZone {
  readonly root: Node;
  readonly facts: NameFacts;
  settings(): ZoneSettings;
  freshness(): Freshness;
}

export interface ServiceFollowerOptions {
  readonly zone: ServiceZone;
  readonly clock: Clock;
  /** Receives errors that are bugs. Must not throw. */
  readonly onError: (error: unknown) => void;
}

/** The least time between two computations. */
const PACE_MS = 10;
/** Computations get this part of the thread at most, because it also answers DNS: a service may be large and change fast. */
const LARGEST_SHARE = 0.1;

interface FollowedService {
  readonly name: Name;
  state: ServiceState | undefined;
  readonly listeners: Set<(state: ServiceState) => void>;
}

export class ServiceFollower {
  readonly #options: ServiceFollowerOptions;
  readonly #services = new Map<string, FollowedService>();
  readonly #dependents = new NameDependents<FollowedService>();
  readonly #changed = new Set<FollowedService>();
  #timer: Timer | undefined;
  #nextAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: ServiceFollowerOptions) {
    this.#options = options;
  }

  /** Whether the name is in a zone. */
  serves(name: Name): boolean {
    return apexOf(this.#options.zone.settings(), name) !== undefined;
  }

  /** Whether the data are those of the last contact with the store. */
  isStale(): boolean {
    return this.#options.zone.freshness() === 'stale';
  }

  /** `undefined` until the store was read. */
  read(name: Name): ServiceState | undefined {
    return this.#isLoaded() ? findService(this.#view(), name).state : undefined;
  }

  /**
   * Calls back with the state, at once if the store was read, and with each state that differs from the one before.
   * `onState` must not throw.
   */
  follow(owner: Name, onState: (state: ServiceState) => void): { close(): void } {
    const service = this.#serviceOf(foldName(owner));
    // Two clients may pass one function.
    const listener = (state: ServiceState): void => onState(state);
    service.listeners.add(listener);
    if (service.state === undefined) this.#compute(service);
    else listener(service.state);
    return {
      close: () => {
        service.listeners.delete(listener);
        if (service.listeners.size === 0) this.#forget(service);
      },
    };
  }

  /** Call this after each set of changes, with the nodes of their owner names. */
  onApplied(nodes: readonly Node[]): void {
    if (this.#dependents.isEmpty) return;
    for (const service of this.#dependents.affected(this.#options.zone.root, nodes))
      this.#changed.add(service);
    this.#computeSoon();
  }

  /** Computes everything again: the store was read, or the settings changed. */
  refresh(): void {
    for (const service of this.#services.values()) this.#changed.add(service);
    this.#computeSoon();
  }

  close(): void {
    this.#timer?.cancel();
    this.#services.clear();
    this.#dependents.clear();
    this.#changed.clear();
  }

  #serviceOf(name: Name): FollowedService {
    const key = nameKey(name);
    const known = this.#services.get(key);
    if (known !== undefined) return known;
    const service: FollowedService = {
      name,
      state: undefined,
      listeners: new Set(),
    };
    this.#services.set(key, service);
    return service;
  }

  #computeSoon(): void {
    if (this.#changed.size === 0 || this.#timer !== undefined) return;
    const { clock } = this.#options;
    const delayMs = Math.max(0, this.#nextAtMs - clock.monotonicMs());
    this.#timer = clock.startTimer(delayMs, () => {
      this.#timer = undefined;
      const startMs = clock.monotonicMs();
      const changed = [...this.#changed];
      this.#changed.clear();
      for (const service of changed) if (service.listeners.size > 0) this.#compute(service);
      const tookMs = clock.monotonicMs() - startMs;
      this.#nextAtMs = startMs + Math.max(PACE_MS, tookMs / LARGEST_SHARE);
    });
  }

  #compute(service: FollowedService): void {
    const { onError } = this.#options;
    if (!this.#isLoaded()) return;
    try {
      const { state, names, presences } = findService(this.#view(), service.name);
      this.#dependents.note(service, { names: [service.name, ...names], presences });
      if (service.state !== undefined && isSameState(state, service.state)) return;
      service.state = state;
      for (const listener of [...service.listeners]) listener(state);
    } catch (error) {
      onError(error);
    }
  }

  #forget(service: FollowedService): void {
    this.#dependents.forget(service);
    this.#changed.delete(service);
    const key = nameKey(service.name);
    // A client may close twice, and meanwhile another one may follow the name.
    if (this.#services.get(key) === service) this.#services.delete(key);
  }

  #isLoaded(): boolean {
    return this.#options.zone.freshness() !== 'loading';
  }

  #view(): View {
    const { zone, clock, onError } = this.#options;
    return {
      root: zone.root,
      settings: zone.settings(),
      facts: zone.facts,
      nowMs: clock.monotonicMs(),
      unixSeconds: Math.floor(clock.wallMs() / 1_000),
      sampleStart: 0,
      externals: { sent: 0, get: () => undefined },
      localAddress: undefined,
      recursionDesired: true,
      roomOctets: undefined,
      onFault: onError,
    };
  }
}
