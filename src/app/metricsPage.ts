/** Every metric that there is, from whatever of its sources there are. */
import type { UdpListener } from '../dataplane/listeners/udpListener.ts';
import type { AnswerTable, TableStats } from '../dataplane/table/table.ts';
import { FORWARD_BOUNDS_SECONDS, type ForwardCounters } from '../forward/counters.ts';
import {
  counter,
  counters,
  EXPOSITION_TYPE,
  exposition,
  type Family,
  gauge,
  gauges,
} from '../observability/metrics.ts';
import type { RegistrarStatus } from '../registrar/status.ts';
import type { AnswerCounters } from '../server/answerCounters.ts';
import type { Exchange, HttpReply } from '../server/http/exchange/exchange.ts';
import type { TcpListener } from '../server/tcp.ts';
import type { Mirror, MirrorCounters, MirrorState } from '../store/mirror.ts';
import { systemClock } from '../timing/clock.ts';
import type { Catalog } from '../zone/catalog.ts';
import { type DnsSources, dnsFamilies } from './dnsMetrics.ts';
import type { LiveConfig } from './liveConfig.ts';
import { type ProcessProbe, type ProcessStats, processFamilies } from './processStats.ts';
import type { ServerRegistrar } from './registrar/serverRegistrar.ts';

export interface MetricsSources {
  readonly process: ProcessStats;
  readonly dns?: DnsSources | undefined;
  readonly table?: TableStats | undefined;
  readonly store?: StoreSources | undefined;
  readonly forward?: Readonly<ForwardCounters> | undefined;
  readonly registrar?: RegistrarStatus | undefined;
}

export function allFamilies(sources: MetricsSources): Family[] {
  const { process, dns, table, store, forward, registrar } = sources;
  return [
    ...processFamilies(process),
    ...(dns === undefined ? [] : dnsFamilies(dns)),
    ...(table === undefined ? [] : tableFamilies(table)),
    ...(store === undefined ? [] : storeFamilies(store)),
    ...(forward === undefined ? [] : forwardFamilies(forward)),
    ...(registrar === undefined ? [] : registrarFamilies(registrar)),
  ];
}

/** `/metrics`, gathered anew for each request. */

export const METRICS_PATH = '/metrics';

/** The reply at its path; undefined for another one. */
export function metricsPage(
  { path }: Exchange,
  sources: () => MetricsSources,
): HttpReply | undefined {
  if (path !== METRICS_PATH) return undefined;
  const body = exposition(allFamilies(sources()));
  return { status: 200, headers: { 'Content-Type': EXPOSITION_TYPE }, body };
}

/** What a server measures, gathered from its parts at the moment that somebody asks. */

export interface MeasuredParts {
  readonly catalog: Catalog;
  readonly liveConfig: LiveConfig;
  readonly table: AnswerTable;
  readonly mirror: Mirror;
  readonly udp: UdpListener;
  readonly tcp: TcpListener;
  readonly measured: Measured;
}

/** What is counted for metrics alone. */
export interface Measured {
  readonly answers: AnswerCounters;
  readonly process: ProcessProbe;
  invalidValues: number;
}

export function metricsOf(
  parts: MeasuredParts,
  registrar: ServerRegistrar | undefined,
): MetricsSources {
  const { catalog, liveConfig, mirror, udp, tcp, measured } = parts;
  const fast = udp.blocks.map((counted) => ({ transport: 'udp' as const, ...counted }));
  const answers = [...measured.answers.blocks, ...fast];
  return {
    process: measured.process.stats(liveConfig.reloads),
    dns: { answers, tcp: tcp.counters() },
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
    registrar: registrar?.status(),
  };
}

/** The answer table that the fast path reads. */

export function tableFamilies(table: TableStats): Family[] {
  return [
    gauge('soradns_table_names', 'Names with a place in the answer table.', table.names),
    gauge('soradns_table_answers', 'Finished answers in it.', table.answers),
    gauge('soradns_table_used_bytes', 'Memory that they take.', table.usedOctets),
    gauge('soradns_table_capacity_bytes', 'Memory that there is.', table.capacityOctets),
    counter('soradns_table_refused_total', 'Answers that found no room in it.', table.withoutRoom),
  ];
}

/** Questions that others were asked. */

export function forwardFamilies(forward: Readonly<ForwardCounters>): Family[] {
  return [
    counter('soradns_forward_requests_total', 'Questions about names elsewhere.', forward.requests),
    counter(
      'soradns_forward_cache_hits_total',
      'Those that were answered from memory.',
      forward.cacheHits,
    ),
    counter('soradns_forward_refused_total', 'Those that nobody was asked for.', forward.refused),
    counters(
      'soradns_forward_failures_total',
      'Those that no upstream answered.',
      'reason',
      Object.entries(forward.failures),
    ),
    gauge('soradns_forward_in_flight', 'Those that wait for an upstream.', forward.inFlight),
    {
      kind: 'histogram',
      name: 'soradns_forward_request_duration_seconds',
      help: 'How long those waited that were not in memory.',
      histograms: [
        { bounds: FORWARD_BOUNDS_SECONDS, counts: forward.waits, sum: forward.waitSeconds },
      ],
    },
  ];
}

/** What the registrar has done and what it has not. */

const ROLES = ['starting', 'writing', 'standby', 'dry-run'] as const;
const FINDINGS = ['duplicate', 'overlapping'] as const;

export function registrarFamilies(status: RegistrarStatus): Family[] {
  const { engine, role, findings, counters: counts } = status;
  const { published, pending, conflicts, refusals } = counts;
  const errors = {
    write: counts.writeFailures,
    engine: counts.engineReconnects,
    store: counts.storeFailures,
  };
  return [
    gauge(
      'soradns_registrar_engine_connected',
      'Whether Docker is heard.',
      engine.state === 'connected' ? 1 : 0,
    ),
    gauges(
      'soradns_registrar_role',
      'What this registrar is: one of them is 1.',
      'role',
      ROLES.map((one): [string, number] => [one, one === role ? 1 : 0]),
    ),
    gauges(
      'soradns_registrar_findings',
      'Engines that have the id of this one, and registrars of it that share some of the zones.',
      'kind',
      FINDINGS.map((kind): [string, number] => [kind, countOf(findings, kind)]),
    ),
    gauge('soradns_registrar_containers', 'Containers seen.', counts.containers),
    gauges(
      'soradns_registrar_records',
      'Records of those containers.',
      'state',
      Object.entries({ published, pending, conflict: conflicts, refused: refusals }),
    ),
    counters(
      'soradns_registrar_writes_total',
      'Writes to the store.',
      'kind',
      Object.entries({ put: counts.puts, delete: counts.deletes }),
    ),
    counters(
      'soradns_registrar_errors_total',
      'Failed writes, and losses of the engine and the store.',
      'kind',
      Object.entries(errors),
    ),
  ];
}

function countOf(findings: RegistrarStatus['findings'], kind: (typeof FINDINGS)[number]): number {
  return findings.filter((finding) => finding.kind === kind).length;
}

/** How true what is answered is: the mirror of the store, and what it holds. */

export interface StoreSources {
  readonly state: MirrorState;
  readonly counters: MirrorCounters;
  /** Services held. */
  readonly services: number;
  /** Values held that are no services, and how often one was told of. */
  readonly invalid: number;
  readonly invalidSeen: number;
  /** On the clock of the mirror's times. */
  readonly nowMs: number;
  readonly unixSeconds: number;
}

export function storeFamilies(sources: StoreSources): Family[] {
  const { state, counters, services, invalid, invalidSeen } = sources;
  return [
    gauge(
      'soradns_store_synced',
      'Whether the last known state is the present one.',
      state.kind === 'synced' ? 1 : 0,
    ),
    gauge('soradns_store_loaded', 'Whether the store was read.', state.kind === 'loading' ? 0 : 1),
    gauge(
      'soradns_store_revision',
      'Revision of the store that is answered from.',
      state.kind === 'loading' ? 0 : state.revision,
    ),
    gauge(
      'soradns_store_last_event_timestamp_seconds',
      'When the store was last heard of; 0 is never.',
      lastEventUnixSeconds(sources),
    ),
    gauge(
      'soradns_store_stale_seconds',
      'For how long answers have been the last known ones.',
      state.kind === 'stale' ? secondsSince(state.sinceMs, sources) : 0,
    ),
    gauge('soradns_store_keys', 'Services held.', services),
    gauge('soradns_store_invalid_values', 'Values held that are no services.', invalid),
    counter('soradns_store_invalid_values_total', 'Invalid values that were seen.', invalidSeen),
    counter('soradns_store_events_total', 'Changes that came through the watch.', counters.events),
    counter(
      'soradns_store_failures_total',
      'Watches, loads and relists that failed.',
      counters.failures,
    ),
    counter('soradns_store_resyncs_total', 'Complete lists after the first.', counters.resyncs),
  ];
}

/** A stale mirror heard of its store until then. */
function lastEventUnixSeconds(sources: StoreSources): number {
  const { state, unixSeconds } = sources;
  if (state.kind === 'loading') return 0;
  const atMs = state.kind === 'stale' ? state.sinceMs : state.lastEventAtMs;
  return unixSeconds - secondsSince(atMs, sources);
}

function secondsSince(atMs: number, { nowMs }: StoreSources): number {
  return Math.max(0, nowMs - atMs) / 1000;
}
