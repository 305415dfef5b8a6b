/**
 * Makes the parts of a server in the order of their dependencies, connects them, and frees them in reverse.
 * `startServer` starts them.
 */
import { aliasName } from '../ambassador/names/consulName.ts';
import type { ServiceFollower } from '../ambassador/names/serviceFollower.ts';
import { vipRangesOf } from '../ambassador/vipRange.ts';
import type { Config } from '../config/config.ts';
import type { AmbassadorSettings } from '../config/options/ambassadorOptions.ts';
import {
  type FamilyBlock,
  tableReplies,
  type UdpListener,
} from '../dataplane/listeners/udpListener.ts';
import { Publisher } from '../dataplane/publish/publisher.ts';
import type { AnswerTable } from '../dataplane/table/table.ts';
import type { Label } from '../dns/name.ts';
import type { Dnstap } from '../dnstap/dnstap.ts';
import { createFaultLog, type FaultLog } from '../observability/faultLog.ts';
import type { Log } from '../observability/log.ts';
import type { QueryLog } from '../observability/queryLog.ts';
import { AnswerCounters } from '../server/answerCounters.ts';
import type { ServerStats } from '../server/http/health.ts';
import { DEFAULT_TCP_LIMITS } from '../server/tcp/connectionTable.ts';
import type { TcpListener } from '../server/tcp/tcp.ts';
import { keyPrefix } from '../service/key.ts';
import { Mirror, type MirrorEvent } from '../store/mirror.ts';
import type { LeaseStore } from '../store/store.ts';
import { afterNextPoll } from '../timing/fairScheduler.ts';
import { Catalog } from '../zone/tree/catalog.ts';
import type { ServerAmbassador, ServerAmbassadorOptions } from './ambassador/serverAmbassador.ts';
import { reserveTable, startRefreshing } from './answering/answerTable.ts';
import { PolicySource } from './answering/clientPolicy.ts';
import { Dnssec } from './answering/dnssec.ts';
import { FollowedDomains } from './answering/followedDomains.ts';
import { LiveConfig } from './answering/liveConfig.ts';
import { NameTables } from './answering/nameTables.ts';
import { createOutsideCache, type OutsideCache } from './answering/outsideCache.ts';
import { SecureListeners } from './answering/secureListeners.ts';
import { monotonicMs, type SlowPath, slowPathOf, unixSeconds } from './answering/slowPath.ts';
import { openTap } from './answering/tap.ts';
import { Transfers } from './answering/transfers.ts';
import { openListeners } from './answering/udp.ts';
import { serviceFollowerOf } from './httpServer.ts';
import { liveQueryLog } from './liveQueryLog.ts';
import type { Measured } from './metricsPage.ts';
import { NearNetworks } from './nearNetworks.ts';
import { compactHeap } from './process/memory.ts';
import { createMirrorLog } from './process/mirrorReports.ts';
import { createProcessProbe } from './process/processStats.ts';

/** All parts but HTTP and the registrar. */
export interface ServerParts {
  readonly store: LeaseStore;
  readonly catalog: Catalog;
  readonly liveConfig: LiveConfig;
  readonly table: AnswerTable;
  /** Undefined with `--cache-memory 0`. */
  readonly outsideCache: OutsideCache | undefined;
  readonly dnssec: Dnssec;
  readonly publisher: Publisher;
  /** See `startRefreshing`. */
  readonly stopRefreshing: () => void;
  readonly mirror: Mirror;
  readonly nameTables: NameTables;
  /** Undefined without --ambassador. */
  readonly ambassador: ServerAmbassador | undefined;
  readonly services: ServiceFollower;
  readonly transfers: Transfers;
  readonly near: NearNetworks;
  readonly queryLog: QueryLog;
  readonly slowPath: SlowPath;
  /** Undefined without --dnstap. */
  readonly tap: Dnstap | undefined;
  readonly udp: UdpListener;
  readonly tcp: TcpListener;
  /** Undefined without --dot, --doh and --doh-plain. */
  readonly secure: SecureListeners | undefined;
  readonly measured: Measured;
  readonly faults: FaultLog;
}

/** Makes the ambassador of a server; its module is loaded only where there is one. */
export type CreateAmbassador = (
  options: Omit<ServerAmbassadorOptions, 'plane'>,
) => ServerAmbassador;

export function assemble(
  config: Config,
  store: LeaseStore,
  log: Log,
  createAmbassador: CreateAmbassador | undefined,
): ServerParts {
  const measured = {
    answers: new AnswerCounters(),
    process: createProcessProbe(),
    invalidValues: 0,
  };
  const prefix = keyPrefix(config.pathPrefix);
  const onInvalid = (key: string, reason: string): void => {
    measured.invalidValues++;
    log.warn({ key, reason }, 'value skipped');
  };
  const catalog = new Catalog({
    prefix,
    onInvalid,
    onApplied(nodes, revision) {
      publisher.onApplied(nodes);
      domains.onApplied(nodes);
      transfers.keeper.onApplied(nodes, revision);
      ambassador?.onApplied(nodes);
      services.onApplied(nodes);
      near.onApplied();
    },
  });
  const onVirtualAddresses = (): void => ambassador?.onVirtualAddresses();
  const onAliases = (ids: readonly Label[]): void => {
    const { consul } = liveConfig.settings;
    if (consul !== undefined) publisher.onNamesChanged(ids.map((id) => aliasName(id, consul)));
  };
  const nameTables = new NameTables({
    ...{ store, prefix, catalog, log, onInvalid, onVirtualAddresses, onAliases },
    zoneSerial: (apex) => transfers.zoneSerial(apex),
    vipRanges: vipRangesOf([config.ambassador?.vipRange, config.ambassador?.vipRange6]),
  });
  const faults = createFaultLog(log);
  const tap = openTap(config, { settings: () => liveConfig.settings, log, faults });
  const liveConfig = new LiveConfig(config, catalog.configKey, log, tap?.forwarder);
  const near = new NearNetworks({ liveConfig, catalog });
  const table = reserveTable(config.tableMib * 2 ** 20, config.maxUdpOctets);
  const outsideCache = createOutsideCache({
    ...{ table: table.handle, liveConfig },
    onError: (error) => faults.report(error, 'an answer could not be cached'),
  });
  const dnssec = new Dnssec({
    ...{ liveConfig, unixSeconds, monotonicMs, log },
    onError: (error) => faults.report(error, 'an answer could not be signed'),
  });
  const publisher = publisherOf({ table, catalog, liveConfig, dnssec, nameTables, faults });
  const transfers = new Transfers(config, {
    ...{ catalog, liveConfig, prefix, log, faults },
    facts: () => nameTables.facts,
    mirror: () => mirror,
    onSerial: () => publisher.refresh(),
  });
  const stopRefreshing = startRefreshing(publisher, table);
  const domains = new FollowedDomains({ root: catalog.root, prefix, liveConfig, log });
  const mirror: Mirror = mirrorOf(
    { config, store, catalog, liveConfig, transfers, log },
    (event) => {
      if (event.kind === 'loaded') domains.onLoaded();
      // The mirror reports a success just before its state becomes `synced`.
      publisher.setFreshness(event.kind === 'lost' ? mirror.state().kind : 'synced');
    },
  );
  const following = { catalog, liveConfig, mirror, nameTables };
  const ambassador =
    config.ambassador &&
    createAmbassador?.(ambassadorOptions(config.ambassador, prefix, { ...following, store, log }));
  const services = serviceFollowerOf(following, faults);
  liveConfig.onChanged(() => {
    ambassador?.onSettings();
    services.refresh();
  });
  const tableBlocks: FamilyBlock[] = [];
  const unrecorded = (): number => tableReplies(tableBlocks);
  const clocks = { nowMs: monotonicMs, unrecorded };
  const queryLog = liveQueryLog({ liveConfig, table, log, clocks });
  const answering = { table, outsideCache, dnssec, publisher, stopRefreshing };
  const core = { ...answering, ...following, transfers, measured, queryLog, faults };
  const designated = () => secure?.designated;
  const slowPath = slowPathOf(config, { ...core, designated, counters: measured.answers });
  const onError = (err: Error): void => log.warn({ err }, 'a DNS listener failed');
  const respond = tap?.client?.tapped(slowPath.respond) ?? slowPath.respond;
  const cache = outsideCache?.memory;
  const policy = new PolicySource(liveConfig);
  const listening = { ...slowPath, policy, table, cache, respond, tap, onError, log };
  const { udp, tcp } = openListeners(config, listening);
  const secure: SecureListeners | undefined = secureListenersOf(config, listening);
  tableBlocks.push(...udp.blocks, ...tcp.blocks, ...(secure?.answers ?? []));
  return { ...core, store, ambassador, services, near, slowPath, tap, udp, tcp, secure };
}

function secureListenersOf(
  config: Config,
  parts: ConstructorParameters<typeof SecureListeners>[1],
): SecureListeners | undefined {
  const addresses = [...config.dot, ...config.doh, ...config.dohPlain];
  return addresses.length === 0 ? undefined : new SecureListeners(config, parts);
}

type FollowedParts = Pick<ServerParts, 'catalog' | 'liveConfig' | 'mirror' | 'nameTables'>;

function ambassadorOptions(
  settings: AmbassadorSettings,
  prefix: string,
  parts: FollowedParts & { readonly store: LeaseStore; readonly log: Log },
): Parameters<CreateAmbassador>[0] {
  const { store, catalog, liveConfig, mirror, nameTables, log } = parts;
  return {
    settings,
    prefix,
    zone: {
      root: catalog.root,
      facts: nameTables.facts,
      settings: () => liveConfig.settings,
      isLoaded: () => mirror.state().kind !== 'loading',
    },
    virtualAddresses: nameTables.virtualAddresses,
    followVirtualAddresses: () => nameTables.followVirtualAddresses(),
    forwarder: () => liveConfig.forwarder,
    store,
    log,
    onForce: (force) => liveConfig.setAmbassador(force),
  };
}

type PublisherParts = 'table' | 'catalog' | 'liveConfig' | 'dnssec' | 'nameTables' | 'faults';

function publisherOf(parts: Pick<ServerParts, PublisherParts>): Publisher {
  const { table, catalog, liveConfig, dnssec, nameTables, faults } = parts;
  const publisher = new Publisher({
    table,
    root: catalog.root,
    settings: () => liveConfig.settings,
    facts: nameTables.facts,
    isSigned: (apex) => dnssec.isSigned(apex),
    ...{ monotonicMs, unixSeconds, random: Math.random },
    onError: (error) => faults.report(error, 'an answer could not be published'),
  });
  dnssec.onChanged(() => publisher.resign());
  liveConfig.onChanged(() => publisher.refresh());
  return publisher;
}

function mirrorOf(
  parts: Pick<ServerParts, 'store' | 'catalog' | 'liveConfig' | 'transfers'> & {
    readonly config: Config;
    readonly log: Log;
  },
  onEvent: (event: MirrorEvent) => void,
): Mirror {
  const { config, store, catalog, liveConfig, transfers, log } = parts;
  const logEvent = createMirrorLog(log);
  return new Mirror({
    store,
    prefix: keyPrefix(config.pathPrefix),
    replica: {
      apply(changes) {
        liveConfig.readChanges(changes);
        transfers.keeper.noteChanges(changes);
        catalog.apply(changes);
        liveConfig.applyNewStoreConfig();
      },
      revisions: () => catalog.revisions(),
    },
    onEvent(event) {
      logEvent(event, { services: catalog.size, invalid: catalog.invalid.size });
      if (event.kind === 'loaded') liveConfig.applyStoreConfig(); // before the mirror counts as synced and queries are answered
      onEvent(event);
      if (isBigLoad(event)) compactHeap();
    },
  });
}

/** Reads the store, and follows its changes. */
export function startMirrors({ mirror, nameTables, liveConfig, transfers }: ServerParts): void {
  const followAliases = (): void => {
    if (liveConfig.settings.consul !== undefined) nameTables.followQueryAliases();
  };
  liveConfig.onChanged(followAliases);
  followAliases();
  nameTables.start();
  mirror.start();
  void mirror.waitFor(0).then(() => transfers.start());
}

/** Answers the queries received so far, then frees everything. */
export async function closeParts(parts: ServerParts): Promise<void> {
  const { store, liveConfig, mirror, queryLog, slowPath, udp, tcp, secure } = parts;
  const { measured, faults } = parts;
  await afterNextPoll(); // reads and answers packets that the kernel already holds
  await udp.stop();
  await Promise.all([
    tcp.close(),
    secure?.close(),
    slowPath.pending.sent(DEFAULT_TCP_LIMITS.closeMs),
  ]);
  await udp.close();
  await parts.tap?.close();
  queryLog.close();
  faults.close();
  measured.process.close();
  mirror.close();
  await parts.ambassador?.close();
  parts.nameTables.close();
  parts.services.close();
  parts.near.close();
  parts.transfers.close();
  parts.stopRefreshing();
  parts.outsideCache?.close();
  parts.dnssec.close();
  await liveConfig.close();
  await store.close();
}

/** For `/readyz`. */
export function statsOf({ catalog, mirror, udp, tcp, ambassador }: ServerParts): ServerStats {
  const state = mirror.state();
  const vip = ambassador?.vip;
  return {
    services: catalog.size,
    invalid: catalog.invalid.size,
    revision: state.kind === 'loading' ? undefined : state.revision,
    mirror: mirror.counters(),
    udp: udp.counters(),
    tcp: tcp.counters(),
    ...(vip !== undefined && { vip }),
  };
}

/** A smaller load leaves too little garbage for a pause. */
const BIG_LOAD_KEYS = 20_000;

function isBigLoad(event: MirrorEvent): boolean {
  return event.kind === 'loaded' && event.keys >= BIG_LOAD_KEYS;
}
