/** The metrics of a server's answer table, forwarder, registrar and store. */
import type { CacheStats } from '../dataplane/cache/answerCache.ts';
import type { TableStats } from '../dataplane/table/table.ts';
import { FORWARD_BOUNDS_SECONDS, type ForwardCounters } from '../forward/outcome.ts';
import { counter, counters, type Family, gauge, gauges } from '../observability/metrics.ts';
import type { RegistrarStatus } from '../registrar/status.ts';
import type { MirrorCounters, MirrorState } from '../store/mirror.ts';
import type { TransferStats } from './answering/transfers.ts';

export function tableFamilies(table: TableStats): Family[] {
  return [
    gauge('soradns_table_names', 'Names in the answer table.', table.names),
    gauge('soradns_table_answers', 'Answers in the answer table.', table.answers),
    gauge('soradns_table_used_bytes', 'Memory that the answer table uses.', table.usedOctets),
    gauge(
      'soradns_table_capacity_bytes',
      'Memory that the answer table may use.',
      table.capacityOctets,
    ),
    counter(
      'soradns_table_refused_total',
      'Answers that did not fit into the answer table.',
      table.withoutRoom,
    ),
  ];
}

export interface CacheSources {
  /** Questions that readers have answered from the answer cache: within the TTL, and with stale answers. */
  readonly hits: number;
  readonly stale: number;
  /** Undefined with `--cache-memory 0`. */
  readonly stats: CacheStats | undefined;
}

const NO_CACHE: CacheSources = { hits: 0, stale: 0, stats: undefined };

export function forwardFamilies(
  forward: Readonly<ForwardCounters>,
  cache: CacheSources = NO_CACHE,
): Family[] {
  return [
    counter(
      'soradns_forward_requests_total',
      'Queries for names outside the domains.',
      forward.requests + cache.hits + cache.stale,
    ),
    counter(
      'soradns_forward_cache_hits_total',
      'Forwarded queries answered from the cache.',
      forward.cacheHits + cache.hits,
    ),
    ...(cache.stats === undefined ? [] : cacheFamilies(cache.stats)),
    counter(
      'soradns_forward_stale_total',
      'Forwarded queries answered with an expired answer.',
      forward.stale + cache.stale,
    ),
    counter(
      'soradns_forward_hedged_total',
      'Queries sent to a second upstream because the first was slower than usual.',
      forward.hedged,
    ),
    counter(
      'soradns_forward_prefetches_total',
      'Queries sent before the cached answer expired.',
      forward.prefetches,
    ),
    counter('soradns_forward_refused_total', 'Forwarded queries refused.', forward.refused),
    counters(
      'soradns_forward_failures_total',
      'Forwarded queries that no upstream answered.',
      'reason',
      Object.entries(forward.failures),
    ),
    counters(
      'soradns_forward_tls_connections_total',
      'Connections to upstreams over TLS: opened anew, opened with an earlier session, or failed.',
      'result',
      [
        ['new', forward.tls.opened - forward.tls.resumed],
        ['resumed', forward.tls.resumed],
        ['failed', forward.tls.failed],
      ],
    ),
    gauge('soradns_forward_in_flight', 'Queries that wait for an upstream.', forward.inFlight),
    {
      kind: 'histogram',
      name: 'soradns_forward_request_duration_seconds',
      help: 'Time that a query waited for an upstream.',
      histograms: [
        { bounds: FORWARD_BOUNDS_SECONDS, counts: forward.waits, sum: forward.waitSeconds },
      ],
    },
  ];
}

function cacheFamilies(stats: CacheStats): Family[] {
  return [
    gauge('soradns_cache_answers', "Other servers' answers in the workers' cache.", stats.answers),
    gauge('soradns_cache_used_bytes', 'Memory that this cache uses.', stats.usedOctets),
    gauge('soradns_cache_capacity_bytes', 'Memory that it may use.', stats.capacityOctets),
    counter('soradns_cache_published_total', 'Answers put into it.', stats.published),
    counter(
      'soradns_cache_evicted_total',
      'Answers that left it before they expired, for lack of memory.',
      stats.evicted,
    ),
  ];
}

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
      '1 if Docker is connected.',
      engine.state === 'connected' ? 1 : 0,
    ),
    gauges(
      'soradns_registrar_role',
      'The role of this registrar: 1 for its role, 0 for the others.',
      'role',
      ROLES.map((one): [string, number] => [one, one === role ? 1 : 0]),
    ),
    gauges(
      'soradns_registrar_findings',
      'Other engines with the id of this engine, and other registrars of this engine with overlapping zones.',
      'kind',
      FINDINGS.map((kind): [string, number] => [kind, countOf(findings, kind)]),
    ),
    gauge('soradns_registrar_containers', 'Containers of the engine.', counts.containers),
    gauges(
      'soradns_registrar_records',
      'Records of the containers, by state.',
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
      'Failed writes, and lost connections to the engine and the store.',
      'kind',
      Object.entries(errors),
    ),
  ];
}

function countOf(findings: RegistrarStatus['findings'], kind: (typeof FINDINGS)[number]): number {
  return findings.filter((finding) => finding.kind === kind).length;
}

export interface StoreSources {
  readonly state: MirrorState;
  readonly counters: MirrorCounters;
  /** Services held. */
  readonly services: number;
  /** Held values that are not services, and how many have been seen since the start. */
  readonly invalid: number;
  readonly invalidSeen: number;
  /** On the mirror's clock. */
  readonly nowMs: number;
  readonly unixSeconds: number;
}

export function storeFamilies(sources: StoreSources): Family[] {
  const { state, counters, services, invalid, invalidSeen } = sources;
  return [
    gauge(
      'soradns_store_synced',
      '1 if answers are up to date with the store.',
      state.kind === 'synced' ? 1 : 0,
    ),
    gauge(
      'soradns_store_loaded',
      '1 once the store has been read.',
      state.kind === 'loading' ? 0 : 1,
    ),
    gauge(
      'soradns_store_revision',
      'Revision of the store that answers come from.',
      state.kind === 'loading' ? 0 : state.revision,
    ),
    gauge(
      'soradns_store_last_event_timestamp_seconds',
      'Time of the last message from the store; 0 before the first.',
      lastEventUnixSeconds(sources),
    ),
    gauge(
      'soradns_store_stale_seconds',
      'Time since answers went stale; 0 while they are up to date.',
      state.kind === 'stale' ? secondsSince(state.sinceMs, sources) : 0,
    ),
    gauge('soradns_store_keys', 'Services held.', services),
    gauge('soradns_store_invalid_values', 'Values held that are not services.', invalid),
    counter('soradns_store_invalid_values_total', 'Invalid values seen.', invalidSeen),
    counter('soradns_store_events_total', 'Changes received by the watch.', counters.events),
    counter(
      'soradns_store_failures_total',
      'Failed watches, loads and relists.',
      counters.failures,
    ),
    counter(
      'soradns_store_resyncs_total',
      'Complete reads of the store after the first.',
      counters.resyncs,
    ),
  ];
}

/** A stale mirror received its last event when it went stale. */
function lastEventUnixSeconds(sources: StoreSources): number {
  const { state, unixSeconds } = sources;
  if (state.kind === 'loading') return 0;
  const atMs = state.kind === 'stale' ? state.sinceMs : state.lastEventAtMs;
  return unixSeconds - secondsSince(atMs, sources);
}

function secondsSince(atMs: number, { nowMs }: StoreSources): number {
  return Math.max(0, nowMs - atMs) / 1000;
}

/** Nothing while no option asks for secondaries. */
export function transferFamilies({ transfers, notifies, zones }: TransferStats): Family[] {
  if (zones.length === 0 && transfers.size === 0) return [];
  const samples = [...transfers].map(([key, value]) => {
    const [kind = '', result = ''] = key.split(' ');
    return { labels: { kind, result }, value };
  });
  return [
    {
      kind: 'counter',
      name: 'soradns_transfers_total',
      help: 'Questions of secondaries for a domain.',
      samples,
    },
    counters('soradns_notifies_total', 'Notifications of secondaries.', 'result', notifies),
    gauges(
      'soradns_zone_serial',
      'SOA serial of a domain.',
      'zone',
      zones.map(({ zone, serial }) => [zone, serial] as const),
    ),
  ];
}
