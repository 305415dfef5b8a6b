/**
 * What the server goes by: its own options and, once the store was read, SkyDNS's key `/<prefix>/config` in place of
 * defaults. Either may change while it runs. All that depends on them is exchanged in one assignment, between two
 * questions; a configuration with mistakes leaves the old one in force, whole.
 */
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import {
  type Config,
  type ConfigResult,
  readConfig,
  withLiveOptions,
  withStoreConfig,
} from '../config/config.ts';
import { LEGACY_OPTIONS } from '../config/legacyOptions.ts';
import { isSameValue, type OptionWords, wordsOf } from '../config/option.ts';
import { SERVE_REGISTRAR_OPTIONS } from '../config/registerOptions.ts';
import { SERVE_OPTIONS } from '../config/serveOptions.ts';
import type { Arguments } from '../config/settings.ts';
import { STORE_OPTIONS } from '../config/storeOptions.ts';
import { printName } from '../dns/name.ts';
import { recursionRule } from '../forward/addresses.ts';
import { type ForwardCounters, newForwardCounters } from '../forward/counters.ts';
import { createForwarder, type Forwarder } from '../forward/forwarder.ts';
import { parseResolvConf, type Upstream, withoutOwnAddresses } from '../forward/upstream.ts';
import type { Log } from '../observability/log.ts';
import type { Change } from '../service/change.ts';
import type { ZoneSettings } from '../zone/view.ts';
import { Failure } from './process/failure.ts';
import type { Io } from './process/process.ts';

/** Exchanged as a whole. */
interface ActiveConfig {
  readonly config: Config;
  readonly settings: ZoneSettings;
  readonly forwarding: Forwarding | undefined;
  readonly mayRecurse: (address: string) => boolean;
}

/** A forwarder that was replaced has answered everything by then: none of its questions takes longer than 4 s. */
const RETIREMENT_MS = 5_000;

export class LiveConfig {
  /** Of all forwarders that there have been. */
  readonly forwardCounters = newForwardCounters();
  /** Configurations read again, and taken or not. */
  readonly reloads = { done: 0, failed: 0 };
  readonly #key: string;
  readonly #log: Log;
  readonly #listeners: (() => void)[] = [];
  readonly #retired = new Map<Forwarder, NodeJS.Timeout>();
  /** What this process was told, without the store. */
  #ownConfig: Config;
  #active: ActiveConfig;
  /** What the key holds, and what it held when that last counted. */
  #storeText: string | undefined;
  #appliedText: string | undefined;
  #isStoreTextNew = false;
  #isStoreLoaded = false;

  /** `key` is the one that holds SkyDNS's configuration. */
  constructor(given: Config, key: string, log: Log) {
    this.#key = key;
    this.#log = log;
    this.#ownConfig = given;
    this.#active = this.#activeConfigFrom(given);
  }

  get config(): Config {
    return this.#active.config;
  }

  get settings(): ZoneSettings {
    return this.#active.settings;
  }

  /** `undefined`: nobody is asked. */
  get forwarder(): Forwarder | undefined {
    return this.#active.forwarding?.forwarder;
  }

  mayRecurse(address: string): boolean {
    return this.#active.mayRecurse(address);
  }

  /** Has `listener` called after each exchange. It must not throw. */
  onChanged(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Remembers what the key holds, should it be among the changes. */
  readChanges(changes: readonly Change[]): void {
    for (const change of changes) {
      if ((change.kind === 'put' ? change.entry.key : change.key) !== this.#key) continue;
      const text =
        change.kind === 'put' ? Buffer.from(change.entry.value).toString('utf8') : undefined;
      this.#isStoreTextNew ||= text !== this.#storeText;
      this.#storeText = text;
    }
  }

  /** To be called when the store was read to its end, before anything is answered out of it. */
  applyStoreConfig(): void {
    this.#isStoreLoaded = true;
    this.#isStoreTextNew = false;
    this.#appliedText = this.#storeText;
    if (this.#storeText !== undefined)
      this.#activate(this.#withStoreConfig(this.#storeText).config);
  }

  /** To be called when the changes that were noted can be seen: those of the key count from then on. */
  applyNewStoreConfig(): void {
    if (!this.#isStoreLoaded || !this.#isStoreTextNew) return;
    this.#isStoreTextNew = false;
    const { config, isSound } = this.#withStoreConfig(this.#storeText);
    if (!isSound) {
      this.#reject();
      return;
    }
    this.#appliedText = this.#storeText;
    this.#activateReloaded(config);
  }

  /** What was read again from this process's own sources. */
  reload(read: ConfigResult<Config>): void {
    if (read.kind === 'mistakes') {
      for (const mistake of read.mistakes) this.#log.error({}, mistake);
      this.#reject();
      return;
    }
    for (const note of read.notes) this.#log.warn({}, note);
    const { config, waiting } = withLiveOptions(this.#ownConfig, read.config);
    if (waiting.length > 0)
      this.#log.warn({ options: waiting }, 'changed; counts from the next start');
    this.#ownConfig = config;
    this.#activateReloaded(this.#withStoreConfig(this.#appliedText).config);
  }

  async close(): Promise<void> {
    for (const timer of this.#retired.values()) clearTimeout(timer);
    const forwarders = [...this.#retired.keys(), this.forwarder];
    await Promise.all(forwarders.map((forwarder) => forwarder?.close()));
  }

  /** The given configuration with what the key says. */
  #withStoreConfig(text: string | undefined): {
    readonly config: Config;
    readonly isSound: boolean;
  } {
    if (text === undefined) return { config: this.#ownConfig, isSound: true };
    const { config, warnings, isSound } = withStoreConfig(this.#ownConfig, text);
    for (const warning of warnings) this.#log.warn({ key: this.#key }, warning);
    if (isSound) this.#log.info({ key: this.#key }, 'the configuration in the store counts');
    return { config, isSound };
  }

  #activateReloaded(config: Config): void {
    this.#activate(config);
    this.reloads.done++;
    const domains = config.domains.map(printName);
    this.#log.info({ domains }, 'the configuration was read again');
  }

  #reject(): void {
    this.reloads.failed++;
    this.#log.error({}, 'the configuration has mistakes: the old one stays in force');
  }

  #activate(config: Config): void {
    const before = this.#active;
    this.#active = this.#activeConfigFrom(config, before);
    if (before.config.logLevel !== config.logLevel) this.#log.setLevel(config.logLevel);
    const old = before.forwarding?.forwarder;
    if (old !== undefined && old !== this.forwarder) this.#retire(old);
    for (const listener of this.#listeners) listener();
  }

  #activeConfigFrom(config: Config, before?: ActiveConfig): ActiveConfig {
    const settings = zoneSettings(config);
    const isSame = before !== undefined && isSameValue(before.settings, settings);
    return {
      config,
      // Other settings cost every finished answer, so the same ones stay the very same.
      settings: isSame ? before.settings : settings,
      forwarding: forwardingOf(config, before?.forwarding, this.forwardCounters, this.#log),
      mayRecurse: recursionRule(config.recursionAllow),
    };
  }

  #retire(forwarder: Forwarder): void {
    const timer = setTimeout(() => {
      this.#retired.delete(forwarder);
      void forwarder.close();
    }, RETIREMENT_MS);
    timer.unref();
    this.#retired.set(forwarder, timer);
  }
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

/** From the configuration to a forwarder that never asks ourselves. */

/** A forwarder, and what it was made from. */
export interface Forwarding {
  readonly upstreams: readonly Upstream[];
  readonly ndots: number;
  /** `undefined` when there is nobody to ask. */
  readonly forwarder: Forwarder | undefined;
}

/** The one before when nothing differs, with all that it remembers. `undefined` when nothing is to be forwarded. */
export function forwardingOf(
  config: Config,
  before: Forwarding | undefined,
  counters: ForwardCounters,
  log: Log,
): Forwarding | undefined {
  if (!config.recursion) return undefined;
  const named = config.nameservers === 'resolv.conf' ? hostUpstreams() : config.nameservers;
  const upstreams = withoutOwnAddresses(named, config.addr, networkInterfaces());
  const { ndots } = config;
  if (before?.ndots === ndots && isSameValue(before.upstreams, upstreams)) return before;
  if (upstreams.length > 0) {
    return { upstreams, ndots, forwarder: createForwarder({ upstreams, ndots, counters }) };
  }
  const apexes = config.domains.map(printName).join(' ');
  log.warn({}, `no nameservers to ask: only names in ${apexes} are answered`);
  return { upstreams, ndots, forwarder: undefined };
}

/** A host without a resolv.conf has nobody to ask, which is no mistake. */
function hostUpstreams(): readonly Upstream[] {
  try {
    return parseResolvConf(readFileSync('/etc/resolv.conf', 'utf8'));
  } catch {
    return [];
  }
}

/** The server's options for the commands that take them beside `serve`: they judge what it would do. */

/** As `serve` shows them. */
export const SERVER_OPTIONS: readonly OptionWords[] = [
  {
    name: 'config',
    form: 'text',
    placeholder: 'FILE',
    describe: 'JSON file with options by name (SORADNS_CONFIG)',
  },
  ...wordsOf(SERVE_OPTIONS),
  ...wordsOf(STORE_OPTIONS).map((words) =>
    words.name === 'store' ? { ...words, defaultText: 'file: in the state directory' } : words,
  ),
  ...wordsOf(SERVE_REGISTRAR_OPTIONS),
  ...LEGACY_OPTIONS,
];

/** All of them, help showing only those of these names. */
export function shownOnly(
  names: readonly string[],
  options: readonly OptionWords[],
): readonly OptionWords[] {
  return options.map((words) => (names.includes(words.name) ? words : { ...words, hidden: true }));
}

/** The configuration that `serve` would have; throws a `Failure` that lists every mistake. */
export function configOf(
  flags: Arguments['flags'],
  { env, readFile, stateDirectory }: Io,
): { readonly config: Config; readonly notes: readonly string[] } {
  const read = readConfig({ flags, env, readFile, stateDirectory });
  if (read.kind === 'mistakes') throw new Failure('usage', read.mistakes.join('; '));
  return read;
}
