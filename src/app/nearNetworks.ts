/**
 * Follows which addresses are on this host, for `--near`: container networks come and go. The address of a container
 * enters the store after its network came up, so this host's interfaces are listed when services change. They are not
 * listed while no option and no service needs them.
 */
import { type HostRange, hostRanges } from '../kernel/interfaces.ts';
import { Alarm, type Clock, systemClock } from '../timing/clock.ts';
import type { Catalog } from '../zone/tree/catalog.ts';
import type { LiveConfig } from './answering/liveConfig.ts';

/** The list costs a system call for each interface, and services may change all the time. */
const PAUSE_MS = 1_000;

export interface NearNetworksOptions {
  readonly liveConfig: Pick<LiveConfig, 'config' | 'setHostRanges' | 'onChanged'>;
  readonly catalog: Pick<Catalog, 'hasNear'>;
  readonly clock?: Clock;
  readonly list?: () => readonly HostRange[];
}

export class NearNetworks {
  readonly #options: NearNetworksOptions;
  readonly #clock: Clock;
  readonly #list: () => readonly HostRange[];
  readonly #alarm: Alarm;
  #listedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: NearNetworksOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#list = options.list ?? hostRanges;
    this.#alarm = new Alarm(this.#clock, () => this.#look());
    options.liveConfig.onChanged(() => this.onApplied());
    this.onApplied();
  }

  /** Call this after services have changed. */
  onApplied(): void {
    if (!this.#isNeeded) return;
    const nextMs = this.#listedAtMs + PAUSE_MS;
    if (this.#clock.monotonicMs() < nextMs) this.#alarm.set(nextMs);
    else this.#look();
  }

  close(): void {
    this.#alarm.set(undefined);
  }

  get #isNeeded(): boolean {
    const { liveConfig, catalog } = this.#options;
    const { near, nearNetworks } = liveConfig.config;
    return nearNetworks === undefined && (near !== 'off' || catalog.hasNear);
  }

  #look(): void {
    this.#listedAtMs = this.#clock.monotonicMs();
    this.#options.liveConfig.setHostRanges(this.#list());
  }
}
