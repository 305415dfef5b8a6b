/** All sources of metrics, with arbitrary numbers. */
import { UPDATE_BOUNDS_SECONDS } from '../../src/ambassador/nft/transactions.ts';
import { newProxyCounters } from '../../src/ambassador/proxy/proxyCounters.ts';
import type { MetricsSources } from '../../src/app/metricsPage.ts';
import { newForwardCounters } from '../../src/forward/outcome.ts';
import { AnswerCounters } from '../../src/server/answerCounters.ts';
import { ConnectionTable, DEFAULT_TCP_LIMITS } from '../../src/server/tcp/connectionTable.ts';
import { newDohCounters } from '../../src/server/tls/dohAnswers.ts';
import { newHandshakeCounters } from '../../src/server/tls/handshakes.ts';

const NO_CONNECTIONS = { open: 0, accepted: 0, refused: 0, refusedPerClient: 0, evicted: 0 };

export function allMetricsSources(): MetricsSources {
  return {
    process: {
      version: '1.2.3',
      nodeVersion: 'v20.0.0',
      cpuSeconds: 1,
      residentOctets: 1,
      openFds: 1,
      maxFds: 1,
      startUnixSeconds: 1,
      heapUsedOctets: 1,
      heapTotalOctets: 1,
      externalOctets: 1,
      eventLoopDelay: { p50Seconds: 0, p99Seconds: 0, maxSeconds: 0 },
      configReloads: { done: 1, failed: 2 },
    },
    dns: {
      answers: new AnswerCounters().blocks,
      tcp: new ConnectionTable(() => {}, DEFAULT_TCP_LIMITS, { transport: 'tcp' }).counters,
      secure: {
        connections: { dot: NO_CONNECTIONS, doh: NO_CONNECTIONS },
        handshakes: newHandshakeCounters(),
        requests: newDohCounters(),
        certificateExpiresUnixSeconds: 1,
      },
    },
    table: { names: 0, answers: 0, usedOctets: 0, capacityOctets: 0, withoutRoom: 0 },
    store: {
      state: { kind: 'synced', revision: 7, lastEventAtMs: 0 },
      counters: { events: 0, failures: 0, resyncs: 0 },
      services: 0,
      invalid: 0,
      invalidSeen: 0,
      nowMs: 0,
      unixSeconds: 0,
    },
    forward: newForwardCounters(),
    cache: {
      hits: 0,
      stale: 0,
      stats: { answers: 0, usedOctets: 0, capacityOctets: 0, published: 0, evicted: 0 },
    },
    registrar: {
      engine: { label: 'unix:///x', state: 'connected', forSeconds: 1 },
      store: { label: 'memory:', state: 'synced' },
      role: 'writing',
      findings: [],
      containers: [],
      counters: {
        containers: 0,
        published: 0,
        pending: 0,
        conflicts: 0,
        refusals: 0,
        puts: 0,
        deletes: 0,
        writeFailures: 0,
        engineReconnects: 0,
        storeFailures: 0,
      },
    },
    // A server has one of the two planes.
    ambassador: {
      plane: 'nft',
      routes: [],
      conditions: { conditionOf: () => ({ state: 'ok' }), othersOf: () => [] },
      isVipRangeFull: false,
      proxy: {
        ...newProxyCounters(),
        connections: { held: 0, waiting: 0, connecting: 0, open: 0, draining: 0 },
        octets: { toBackends: 0, toClients: 0 },
        flows: 0,
      },
      kernel: {
        counters: undefined,
        updateTimes: { counts: [...UPDATE_BOUNDS_SECONDS.map(() => 0), 0], seconds: 0 },
      },
    },
    tap: { written: 1, dropped: 1 },
    signing: { made: 1, kept: 1, refused: 1, failed: 1 },
    transfers: {
      transfers: new Map([['axfr sent', 1]]),
      notifies: new Map([['acknowledged', 1]]),
      zones: [{ zone: 'skydns.local.', serial: 1 }],
    },
  };
}
