/** The part of a running server that gives its domains to secondaries: nothing happens before an option asks for it. */
import { randomInt } from 'node:crypto';
import type { Config } from '../../config/config.ts';
import { readTsigKeys } from '../../config/transferMistakes.ts';
import type { DnsClient, Respond } from '../../dns/message.ts';
import { equalNames, type Name, printName } from '../../dns/name.ts';
import type { FaultLog } from '../../observability/faultLog.ts';
import type { Log } from '../../observability/log.ts';
import { RepeatedLines } from '../../observability/repeatedLines.ts';
import { Notifier, type NotifyOutcome } from '../../server/transfer/notifier.ts';
import { NotifySockets } from '../../server/transfer/notifySockets.ts';
import {
  type TransferKind,
  type TransferReport,
  type TransferResult,
  TransferServer,
} from '../../server/transfer/transferServer.ts';
import { type SerialSource, VersionKeeper } from '../../server/transfer/versionKeeper.ts';
import type { Mirror } from '../../store/mirror.ts';
import { systemClock } from '../../timing/clock.ts';
import { type MayTransfer, transferPolicy } from '../../transfer/transferRules.ts';
import type { TsigKeys } from '../../transfer/tsigKeys.ts';
import type { Catalog } from '../../zone/tree/catalog.ts';
import { consulOf, type NameFacts } from '../../zone/tree/view.ts';
import type { LiveConfig } from './liveConfig.ts';
import { monotonicMs, unixSeconds } from './slowPath.ts';

export interface TransferParts {
  readonly catalog: Catalog;
  readonly liveConfig: LiveConfig;
  readonly facts: () => NameFacts;
  readonly mirror: () => Pick<Mirror, 'state'>;
  /** As `keyPrefix` returns it. */
  readonly prefix: string;
  readonly log: Log;
  readonly faults: FaultLog;
  /** Called when a domain has a new serial. */
  readonly onSerial: () => void;
}

export interface TransferStats {
  /** By kind and result. */
  readonly transfers: ReadonlyMap<string, number>;
  readonly notifies: ReadonlyMap<NotifyOutcome, number>;
  readonly zones: readonly { readonly zone: string; readonly serial: number }[];
}

export class Transfers {
  readonly keeper: VersionKeeper;
  readonly #parts: TransferParts;
  readonly #sockets: NotifySockets;
  readonly #notifier: Notifier;
  readonly #transfers = new Map<string, number>();
  readonly #notifies = new Map<NotifyOutcome, number>();
  readonly #incomplete = new RepeatedLines();
  /** Of the configuration in force. */
  #keys: { readonly text: string | undefined; readonly keys: TsigKeys } = NO_KEYS;
  #policy: KeptPolicy | undefined;

  constructor(config: Config, parts: TransferParts) {
    const { catalog, liveConfig, facts, mirror, prefix, log, faults, onSerial } = parts;
    this.#parts = parts;
    this.#sockets = new NotifySockets((packet, from) => this.#notifier.receive(packet, from));
    this.#notifier = new Notifier({
      targets: () => liveConfig.config.notify,
      keys: () => this.#tsigKeys(),
      clock: systemClock,
      randomId: () => randomInt(0x10000),
      send: (packet, server) => this.#sockets.send(packet, server),
      onResult: (zone, { server }, result) => {
        count(this.#notifies, result);
        if (result !== 'acknowledged') {
          log.warn({ domain: printName(zone), server, result }, 'a secondary was not notified');
        }
      },
    });
    this.keeper = new VersionKeeper({
      data: () => ({
        root: catalog.root,
        settings: liveConfig.settings,
        unixSeconds: unixSeconds(),
        facts: facts(),
        onFault: (error) => faults.report(error, 'the records of a name could not be listed'),
      }),
      prefix,
      revision: () => {
        const state = mirror().state();
        return state.kind === 'loading' ? 0 : state.revision;
      },
      serial: serialSourceOf(config),
      serialIntervalSeconds: config.serialInterval,
      historyRecords: config.transferHistory,
      aggregates: config.transferAggregates,
      clock: systemClock,
      onVersion: (zone) => {
        onSerial();
        this.#notifier.announce(zone.apex, zone.soa());
      },
      onOlderSerial: (apex, from, to) =>
        log.warn(
          { domain: printName(apex), from, to },
          'the revision of the store went back: make the secondaries transfer the domain anew',
        ),
      onSkipped: (name, reason) =>
        log.warn({ name: printName(name), reason }, 'a name cannot be transferred'),
    });
    liveConfig.onChanged(() => {
      this.start();
      this.keeper.onSettings();
    });
  }

  /** Begins to keep versions if the store was read, and an option asks for them. */
  start(): void {
    const { liveConfig, mirror } = this.#parts;
    if (isOn(liveConfig.config) && mirror().state().kind !== 'loading') this.keeper.start();
  }

  /** See `NameFacts`. */
  zoneSerial(apex: Name): number | undefined {
    return this.keeper.zoneOf(apex)?.serial;
  }

  /** See `TransferServerOptions`. */
  serve(
    respond: Respond,
    mayReply: (client: DnsClient) => boolean,
    maxUdpOctets: number,
  ): TransferServer {
    const { liveConfig, faults } = this.#parts;
    return new TransferServer({
      respond,
      keys: () => this.#tsigKeys(),
      policy: () => this.#mayTransfer(),
      zoneOf: (apex) => this.keeper.zoneOf(apex),
      isApex: (name) => {
        const { settings } = liveConfig;
        return (
          consulOf(settings, name) === undefined &&
          settings.apexes.some((apex) => equalNames(apex, name))
        );
      },
      mostTransfers: () => liveConfig.config.transfers,
      ...{ maxUdpOctets, mayReply, unixSeconds, monotonicMs },
      onTransfer: (report) => this.#report(report),
      onError: (error) => faults.report(error, 'a transfer failed'),
    });
  }

  stats(): TransferStats {
    const zones = this.keeper.zones.map(({ apex, serial }) => ({ zone: printName(apex), serial }));
    return { transfers: this.#transfers, notifies: this.#notifies, zones };
  }

  close(): void {
    this.#incomplete.close();
    this.keeper.close();
    this.#notifier.close();
    this.#sockets.close();
  }

  #mayTransfer(): MayTransfer | undefined {
    const { transferAllow, allow } = this.#parts.liveConfig.config;
    if (transferAllow !== this.#policy?.transferAllow || allow !== this.#policy.allow) {
      const policy = transferAllow.length > 0 ? transferPolicy(transferAllow, allow) : undefined;
      this.#policy = { transferAllow, allow, policy };
    }
    return this.#policy.policy;
  }

  #tsigKeys(): TsigKeys {
    const { tsig } = this.#parts.liveConfig.config;
    const text = tsig?.reveal();
    if (text !== this.#keys.text) {
      const parsed = readTsigKeys(tsig);
      this.#keys = { text, keys: parsed.kind === 'keys' ? parsed.keys : NO_KEYS.keys };
    }
    return this.#keys.keys;
  }

  #report({ client, zone, kind, result, serial, messages, tookMs }: TransferReport): void {
    count(this.#transfers, transferLabels(kind, result));
    if (kind === 'soa' && result === 'sent') return;
    const facts = {
      client: client.address,
      domain: printName(zone),
      kind,
      serial,
      messages,
      tookMs,
    };
    if (result === 'sent') this.#parts.log.info(facts, 'transferred a domain');
    else this.#warn({ ...facts, result });
  }

  /** Any client can cause this. */
  #warn(facts: { readonly client: string; readonly result: TransferResult }): void {
    const { log } = this.#parts;
    const { result } = facts;
    const key = `${facts.client} ${result}`;
    const client = this.#incomplete.hasRoom(key) ? facts.client : 'other clients';
    const summarize = (repeated: number): void =>
      log.warn({ client, result, repeated }, 'further transfers were not completed');
    if (this.#incomplete.isFirst(`${client} ${result}`, summarize))
      log.warn(facts, 'a transfer was not completed');
  }
}

/** What the options let clients have: to read their addresses for each question would take long. */
interface KeptPolicy extends Pick<Config, 'transferAllow' | 'allow'> {
  readonly policy: MayTransfer | undefined;
}

const NO_KEYS = { text: undefined, keys: new Map() } as const;

function serialSourceOf({ serial, store }: Config): SerialSource {
  if (serial !== 'auto') return serial;
  return store.kind === 'etcd' ? 'revision' : 'unixtime';
}

function isOn({ transferAllow, notify }: Config): boolean {
  return transferAllow.length > 0 || notify.length > 0;
}

/** The key of `TransferStats.transfers`. */
export function transferLabels(kind: TransferKind, result: TransferResult): string {
  return `${kind} ${result}`;
}

function count<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
