/** The metrics of an ambassador: its routes and backends, and what its plane has carried. */
import type { RouteState } from '../../ambassador/follow/routeTable.ts';
import { UPDATE_BOUNDS_SECONDS } from '../../ambassador/nft/transactions.ts';
import type { ProxyStatistics } from '../../ambassador/proxy/proxyCounters.ts';
import { counter, counters, type Family, gauge, gauges } from '../../observability/metrics.ts';
import type { BackendConditions, ReportedBackend, ReportedRoute } from './ambassadorReport.ts';
import type { KernelStatistics } from './hostPlane.ts';

export interface AmbassadorSources {
  readonly plane: 'nft' | 'proxy';
  readonly routes: readonly RouteState[];
  readonly conditions: BackendConditions;
  readonly proxy?: ProxyStatistics | undefined;
  readonly kernel?: KernelStatistics | undefined;
  /** Whether a name has no virtual address because the range is full; undefined without virtual addresses. */
  readonly isVipRangeFull?: boolean | undefined;
}

export function ambassadorFamilies(sources: AmbassadorSources): Family[] {
  const { plane, routes, conditions, proxy, kernel, isVipRangeFull } = sources;
  const counts = countStates(routes, conditions);
  return [
    {
      kind: 'gauge',
      name: 'soradns_ambassador_routes',
      help: 'Routes of the ambassador, by their state.',
      samples: Object.entries(counts.routes).map(([state, value]) => ({
        labels: { plane, state },
        value,
      })),
    },
    gauges(
      'soradns_ambassador_backends',
      'Backends of all routes, by their state.',
      'state',
      Object.entries(counts.backends),
    ),
    ...(isVipRangeFull === undefined ? [] : [exhausted(isVipRangeFull)]),
    ...(proxy === undefined ? [] : proxyFamilies(proxy)),
    ...(kernel === undefined ? [] : kernelFamilies(kernel)),
  ];
}

function exhausted(isFull: boolean): Family {
  const help = '1 if a name has no virtual address because the range is full.';
  return gauge('soradns_vip_exhausted', help, isFull ? 1 : 0);
}

/** Asks about each backend once: the proxy looks through its connections for the answer. */
function countStates(states: readonly RouteState[], conditions: BackendConditions) {
  const routes: Record<ReportedRoute['state'], number> = { ok: 0, empty: 0, waits: 0, yields: 0 };
  const backends: Record<ReportedBackend['state'], number> = {
    ...{ ok: 0, draining: 0, unreachable: 0, unused: 0 },
  };
  for (const state of states) {
    if (state.yieldsTo !== undefined) {
      routes.yields++;
      continue;
    }
    for (const other of conditions.othersOf(state)) backends[other.state]++;
    if (state.backends.kind === 'waits') {
      routes.waits++;
      continue;
    }
    const found = state.backends.backends.map(
      (backend) => conditions.conditionOf(state.route, backend).state,
    );
    for (const each of found) backends[each]++;
    routes[found.some((each) => each !== 'unused') ? 'ok' : 'empty']++;
  }
  return { routes, backends };
}

function proxyFamilies(proxy: ProxyStatistics): Family[] {
  return [
    gauges(
      'soradns_ambassador_connections',
      'Connections that the proxy carries, by their state.',
      'state',
      Object.entries(proxy.connections),
    ),
    counter('soradns_ambassador_accepted_total', 'Connections accepted.', proxy.accepted),
    counters(
      'soradns_ambassador_connect_failures_total',
      'Attempts to connect to a backend that failed.',
      'reason',
      Object.entries(proxy.connectFailures),
    ),
    counters(
      'soradns_ambassador_refused_total',
      'Connections that were reset before a backend took them.',
      'reason',
      Object.entries(proxy.refused),
    ),
    counters('soradns_ambassador_bytes_total', 'Octets carried.', 'direction', [
      ['to_backends', proxy.octets.toBackends + proxy.datagramOctets.toBackends],
      ['to_clients', proxy.octets.toClients + proxy.datagramOctets.toClients],
    ]),
    counters(
      'soradns_ambassador_datagrams_dropped_total',
      'Datagrams that the proxy did not pass on.',
      'reason',
      Object.entries(proxy.datagramsDropped),
    ),
    gauge('soradns_ambassador_flows', 'UDP clients with a backend.', proxy.flows),
  ];
}

function kernelFamilies({ counters: counted, updateTimes }: KernelStatistics): Family[] {
  const { updates = 0, failures = 0, rebuilt = 0, flowsDeleted } = counted ?? {};
  return [
    counters('soradns_ambassador_updates_total', 'Changes written to the kernel.', 'result', [
      ['ok', updates - failures],
      ['failed', failures],
    ]),
    {
      kind: 'histogram',
      name: 'soradns_ambassador_update_seconds',
      help: 'Time from a change of backends until it was in force.',
      histograms: [
        {
          bounds: UPDATE_BOUNDS_SECONDS,
          counts: updateTimes.counts,
          sum: updateTimes.seconds,
        },
      ],
    },
    counters(
      'soradns_ambassador_conntrack_deleted_total',
      'Tracked flows deleted because their backend had left.',
      'proto',
      Object.entries(flowsDeleted ?? { tcp: 0, udp: 0 }),
    ),
    counter(
      'soradns_ambassador_table_rebuilt_total',
      'Times that the tables were written anew, because another program had changed them.',
      rebuilt,
    ),
  ];
}
