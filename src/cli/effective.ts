/**
 * What the server goes by: its own options at first and, from the moment that the store was read, those options with
 * SkyDNS's key `/<prefix>/config` in place of defaults. The key counts as it stood then; what is written to it later
 * waits for the next start.
 */
import type { Config } from '../config.ts';
import { withStoreConfig } from '../config.ts';
import { printName } from '../dns/name.ts';
import type { Forwarder } from '../forward/forwarder.ts';
import type { Log } from '../log.ts';
import type { Change } from '../service/change.ts';
import type { ZoneSettings } from '../zone/view.ts';
import { createForwarderOf } from './forwarding.ts';

export class Effective {
  readonly #key: string;
  readonly #log: Log;
  /** The last one is in use; those before it may still have questions on their way. */
  readonly #forwarders: (Forwarder | undefined)[];
  #config: Config;
  #settings: ZoneSettings;
  #storeText: string | undefined;
  #isOverlaid = false;

  /** `key` is the one that holds SkyDNS's configuration. */
  constructor(given: Config, key: string, log: Log) {
    this.#key = key;
    this.#log = log;
    this.#config = given;
    this.#settings = zoneSettings(given);
    this.#forwarders = [createForwarderOf(given, log)];
  }

  get config(): Config {
    return this.#config;
  }

  get settings(): ZoneSettings {
    return this.#settings;
  }

  /** `undefined`: nobody is asked. */
  get forwarder(): Forwarder | undefined {
    return this.#forwarders.at(-1);
  }

  /** Remembers what the key holds, should it be among the changes. */
  note(changes: readonly Change[]): void {
    for (const change of changes) {
      if ((change.kind === 'put' ? change.entry.key : change.key) !== this.#key) continue;
      this.#storeText =
        change.kind === 'put' ? Buffer.from(change.entry.value).toString('utf8') : undefined;
      if (this.#isOverlaid)
        this.#log.warn({ key: this.#key }, 'changed; counts from the next start');
    }
  }

  /** To be called when the store was read to its end, before anything is answered out of it. */
  overlay(): void {
    this.#isOverlaid = true;
    if (this.#storeText === undefined) return;
    const before = this.#config;
    const { config, warnings } = withStoreConfig(before, this.#storeText);
    for (const warning of warnings) this.#log.warn({ key: this.#key }, warning);
    this.#config = config;
    this.#settings = zoneSettings(config);
    if (forwardsDifferently(before, config)) {
      this.#forwarders.push(createForwarderOf(config, this.#log));
    }
    const domains = config.domains.map(printName);
    this.#log.info({ key: this.#key, domains }, 'the configuration in the store counts');
  }

  async close(): Promise<void> {
    await Promise.all(this.#forwarders.map((forwarder) => forwarder?.close()));
  }
}

function forwardsDifferently(before: Config, after: Config): boolean {
  return (['recursion', 'nameservers', 'ndots'] as const).some((f) => before[f] !== after[f]);
}

function zoneSettings(config: Config): ZoneSettings {
  return {
    apexes: config.domains,
    ttlSeconds: config.ttlSeconds,
    minTtlSeconds: config.minTtlSeconds,
    minLeaseTtlSeconds: config.minLeaseTtlSeconds,
    priority: config.priority,
    hostmaster: config.hostmaster,
    local: config.local,
    roundRobin: config.roundRobin,
    any: config.any,
    parentValue: config.parentValue,
  };
}
