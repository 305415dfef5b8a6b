/**
 * The keys of a running server's zones, in the state that their dates give them now. It reads the files again after a
 * reload, and every minute if they have changed. Keys that cannot be read replace no keys.
 */
import { isSameValue } from '../../config/options/valueForms.ts';
import { type Name, nameKey, printName } from '../../dns/name.ts';
import type { Log } from '../../observability/log.ts';
import { SignedAnswers } from '../../server/signedAnswers.ts';
import { Signer } from '../../server/signer.ts';
import type { SigningKey } from '../../sign/signingKey.ts';
import { nextDateOf, type ZoneKeys, zoneKeysAt } from '../../sign/zoneKeys.ts';
import { Failure } from '../process/failure.ts';
import { byZone, keyFilesStamp, readKeys } from './keyFiles.ts';
import type { LiveConfig } from './liveConfig.ts';

export interface DnssecOptions {
  readonly liveConfig: LiveConfig;
  readonly unixSeconds: () => number;
  readonly monotonicMs: () => number;
  readonly log: Log;
  /** Receives errors that are bugs. Must not throw. */
  readonly onError: (error: unknown) => void;
}

interface SigningZone {
  readonly zone: Name;
  readonly files: readonly SigningKey[];
  /** The state of the keys until the next of their dates. */
  keys: ZoneKeys;
  untilSeconds: number;
}

const LOOK_MS = 60_000;

export class Dnssec {
  readonly signer: Signer;
  readonly answers: SignedAnswers;
  readonly #options: DnssecOptions;
  readonly #listeners: (() => void)[] = [];
  readonly #timer: NodeJS.Timeout;
  #zones: ReadonlyMap<string, SigningZone> = new Map();
  #paths: readonly string[] = [];
  #stamp = '';

  /** Throws a `Failure` if a key cannot be used. */
  constructor(options: DnssecOptions) {
    const { liveConfig, unixSeconds, monotonicMs, onError } = options;
    this.#options = options;
    this.signer = new Signer({
      validitySeconds: () => liveConfig.config.dnssecValiditySeconds,
      signRate: () => liveConfig.config.dnssecSignRate,
      ...{ unixSeconds, monotonicMs },
    });
    this.answers = new SignedAnswers({
      isIdle: () => this.isIdle,
      keysOf: (apex) => this.keysOf(apex),
      ...{ signer: this.signer, onError },
    });
    const [problem] = this.#read();
    if (problem !== undefined) throw new Failure('usage', `--dnssec: ${problem}`);
    liveConfig.onChanged(() => this.#readAgain());
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref();
  }

  /** Calls `listener` when other keys sign or are published. It must not throw. */
  onChanged(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** The keys of the zone with this folded apex, as they are now; `undefined` if it has none. */
  keysOf(apex: Name): ZoneKeys | undefined {
    if (this.#zones.size === 0) return undefined;
    const zone = this.#zones.get(nameKey(apex));
    if (zone === undefined) return undefined;
    const now = this.#options.unixSeconds();
    if (now >= zone.untilSeconds) this.#update(zone, now);
    return zone.keys;
  }

  /** No zone has keys. */
  get isIdle(): boolean {
    return this.#zones.size === 0;
  }

  isSigned(apex: Name): boolean {
    return (this.keysOf(apex)?.zoneSigning.length ?? 0) > 0;
  }

  /** Why signed zones are not signed now. */
  readiness(): readonly string[] {
    return [...this.#zones.values()].flatMap(({ zone }) =>
      this.isSigned(zone) ? [] : [`dnssec: no key of ${printName(zone)} is active`],
    );
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    // Dates that have come change the keys too.
    for (const { zone } of this.#zones.values()) this.keysOf(zone);
    if (this.#paths.length > 0 && keyFilesStamp(this.#paths) !== this.#stamp) this.#readAgain();
  }

  #readAgain(): void {
    const { dnssec } = this.#options.liveConfig.config;
    if (isSameValue(dnssec, this.#paths) && keyFilesStamp(dnssec) === this.#stamp) return;
    const problems = this.#read();
    for (const problem of problems)
      this.#options.log.error({}, `--dnssec: ${problem}; keeping the previous keys`);
    if (problems.length === 0) this.#announce();
  }

  /** Takes the keys of the files. With problems, which it returns, it takes none. */
  #read(): readonly string[] {
    const { liveConfig, log, unixSeconds } = this.#options;
    const { dnssec } = liveConfig.config;
    // Before reading: a change while the files are read is seen the next time. With problems too: they are logged once.
    this.#paths = dnssec;
    this.#stamp = keyFilesStamp(dnssec);
    const { keys, problems, warnings } = readKeys(dnssec);
    if (problems.length > 0) return problems;
    for (const warning of warnings) log.warn({}, `--dnssec: ${warning}`);
    const zones = new Map<string, SigningZone>();
    const now = unixSeconds();
    for (const stored of byZone(keys)) {
      const files = stored.map(({ key }) => key);
      const name = files[0]?.zone ?? [];
      const zone = { zone: name, files, keys: zoneKeysAt([], now), untilSeconds: 0 };
      zones.set(nameKey(name), zone);
      this.#update(zone, now);
    }
    this.#zones = zones;
    return [];
  }

  #update(zone: SigningZone, now: number): void {
    const isFirst = zone.untilSeconds === 0;
    zone.keys = zoneKeysAt(zone.files, now);
    zone.untilSeconds = nextDateOf(zone.files, now);
    this.#report(zone);
    if (!isFirst) this.#announce();
  }

  /** Not at once: the caller may be publishing an answer. */
  #announce(): void {
    queueMicrotask(() => {
      for (const listener of this.#listeners) listener();
    });
  }

  #report({ zone, keys }: SigningZone): void {
    const { log } = this.#options;
    const domain = printName(zone);
    const tags = (some: readonly SigningKey[]): number[] => some.map(({ tag }) => tag);
    if (keys.zoneSigning.length === 0)
      log.error({ domain }, 'no key is active: answers are not signed');
    else {
      const { published, keySigning, zoneSigning } = keys;
      const fields = { published: tags(published), ksk: tags(keySigning), zsk: tags(zoneSigning) };
      log.info({ domain, ...fields }, 'signing answers');
    }
  }
}
