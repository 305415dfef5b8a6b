/** `/metrics`: gathers the stats of a server's or a registrar's parts at each request. */
import { sumOf, type UdpListener } from '../dataplane/listeners/udpListener.ts';
import { Single } from '../dataplane/table/counters.ts';
import type { AnswerTable, TableStats } from '../dataplane/table/table.ts';
import type { Dnstap, TapCounters } from '../dnstap/dnstap.ts';
import type { ForwardCounters } from '../forward/outcome.ts';
import { counters, EXPOSITION_TYPE, exposition, type Family } from '../observability/metrics.ts';
import type { RegistrarStatus } from '../registrar/status.ts';
import type { AnswerCounters } from '../server/answerCounters.ts';
import type { Exchange, HttpReply } from '../server/http/exchange/exchange.ts';
import type { SigningCounts } from '../server/signer.ts';
import type { TcpListener } from '../server/tcp/tcp.ts';
import type { Mirror } from '../store/mirror.ts';
import { systemClock } from '../timing/clock.ts';
import type { Catalog } from '../zone/tree/catalog.ts';
import { type AmbassadorSources, ambassadorFamilies } from './ambassador/ambassadorMetrics.ts';
import type { Dnssec } from './answering/dnssec.ts';
import type { LiveConfig } from './answering/liveConfig.ts';
import type { OutsideCache } from './answering/outsideCache.ts';
import type { SecureListeners } from './answering/secureListeners.ts';
import { tapFamily } from './answering/tap.ts';
import type { TransferStats } from './answering/transfers.ts';
import { type DnsSources, dnsFamilies } from './dnsMetrics.ts';
import { type ProcessProbe, type ProcessStats, processFamilies } from './process/processStats.ts';
import type { ServerRegistrar } from './registrar/serverRegistrar.ts';
import {
  type CacheSources,
  forwardFamilies,
  registrarFamilies,
  type StoreSources,
  storeFamilies,
  tableFamilies,
  transferFamilies,
} from './serverMetrics.ts';

/** Where the metrics come from. A registrar's own process has only `process` and `registrar`. */
export interface MetricsSources {
  readonly process: ProcessStats;
  readonly dns?: DnsSources | undefined;
  readonly table?: TableStats | undefined;
  readonly store?: StoreSources | undefined;
  readonly forward?: Readonly<ForwardCounters> | undefined;
  readonly cache?: CacheSources;
  /** Undefined if no domain has keys. */
  readonly signing?: SigningCounts | undefined;
  readonly registrar?: RegistrarStatus | undefined;
  readonly ambassador?: AmbassadorSources | undefined;
  readonly transfers?: TransferStats | undefined;
  readonly tap?: TapCounters | undefined;
}

export function allFamilies(sources: MetricsSources): Family[] {
  const { process, dns, table, store, forward, cache, signing } = sources;
  const { registrar, ambassador, transfers, tap } = sources;
  return [
    ...processFamilies(process),
    ...(dns === undefined ? [] : dnsFamilies(dns)),
    ...(table === undefined ? [] : tableFamilies(table)),
    ...(store === undefined ? [] : storeFamilies(store)),
    ...(forward === undefined ? [] : forwardFamilies(forward, cache)),
    ...(signing === undefined ? [] : [signatureFamily(signing)]),
    ...(registrar === undefined ? [] : registrarFamilies(registrar)),
    ...(ambassador === undefined ? [] : ambassadorFamilies(ambassador)),
    ...(transfers === undefined ? [] : transferFamilies(transfers)),
    ...(tap === undefined ? [] : [tapFamily(tap)]),
  ];
}

function signatureFamily(counts: SigningCounts): Family {
  const help =
    'Signatures for clients with DO, made, found, refused because of the rate, and failed.';
  return counters('soradns_dnssec_signatures_total', help, 'result', Object.entries(counts));
}

export const METRICS_PATH = '/metrics';

/** The reply to a request for `METRICS_PATH`; undefined for another path. */
export function metricsPage(
  { path }: Exchange,
  sources: () => MetricsSources,
): HttpReply | undefined {
  if (path !== METRICS_PATH) return undefined;
  const body = exposition(allFamilies(sources()));
  return { status: 200, headers: { 'Content-Type': EXPOSITION_TYPE }, body };
}

export interface MeasuredParts {
  readonly catalog: Catalog;
  readonly liveConfig: LiveConfig;
  readonly ambassador: { metrics(): AmbassadorSources | undefined } | undefined;
  readonly table: AnswerTable;
  readonly outsideCache: OutsideCache | undefined;
  readonly tap: Pick<Dnstap, 'counters'> | undefined;
  readonly dnssec: Dnssec;
  readonly mirror: Mirror;
  readonly udp: UdpListener;
  readonly tcp: TcpListener;
  readonly secure: SecureListeners | undefined;
  readonly measured: Measured;
  readonly transfers: { stats(): TransferStats };
}

/** Counted for metrics alone. */
export interface Measured {
  readonly answers: AnswerCounters;
  readonly process: ProcessProbe;
  invalidValues: number;
}

export function metricsOf(
  parts: MeasuredParts,
  registrar: ServerRegistrar | undefined,
): MetricsSources {
  const { catalog, liveConfig, mirror, udp, tcp, secure, measured } = parts;
  const fast = udp.blocks.map((counted) => ({ transport: 'udp' as const, ...counted }));
  const streams = tcp.blocks.map((counted) => ({ transport: 'tcp' as const, ...counted }));
  const byReaders = [...fast, ...streams, ...(secure?.answers ?? [])];
  const answers = [...measured.answers.blocks, ...byReaders];
  return {
    process: measured.process.stats(liveConfig.reloads),
    dns: { answers, tcp: tcp.counters(), secure: secure?.metrics() },
    table: parts.table.stats,
    store: {
      state: mirror.state(),
      counters: mirror.counters(),
      services: catalog.size,
      invalid: catalog.invalid.size,
      invalidSeen: measured.invalidValues,
      nowMs: systemClock.monotonicMs(),
      unixSeconds: Date.now() / 1000,
    },
    forward: liveConfig.forwardCounters,
    cache: {
      hits: sumOf(byReaders, Single.cacheHits),
      stale: sumOf(byReaders, Single.cacheStale),
      stats: parts.outsideCache?.stats,
    },
    signing: parts.dnssec.isIdle ? undefined : parts.dnssec.signer.counts,
    registrar: registrar?.status(),
    ambassador: parts.ambassador?.metrics(),
    transfers: parts.transfers.stats(),
    tap: parts.tap?.counters(),
  };
}
