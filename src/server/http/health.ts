/**
 * The pages about the server itself: /version, /livez, /readyz, /healthz, and the pages that `etcdctl` requests first,
 * /v2/members and /health.
 */
import type { UdpCounters } from '../../dataplane/listeners/udpListener.ts';
import type { MirrorCounters } from '../../store/mirror.ts';
import type { TcpCounters } from '../tcp/connectionTable.ts';
import {
  type Exchange,
  type HttpReply,
  jsonReply,
  methodNotAllowed,
  textReply,
} from './exchange/exchange.ts';

/** The size and revision of the server's data, and its counters since the start. */
export interface ServerStats {
  readonly services: number;
  /** Values in the store that are not services. */
  readonly invalid: number;
  /** The revision up to which the server has read the store; undefined before the first load. */
  readonly revision: number | undefined;
  readonly mirror: MirrorCounters;
  readonly udp: Readonly<UdpCounters>;
  readonly tcp: Readonly<TcpCounters>;
  /** Which addresses are answered for names with a virtual one; only with `--vip`. */
  readonly vip?: 'ok' | 'real addresses';
}

export interface Health {
  /** Reasons why this server is not ready; empty if it is ready. */
  readonly readiness: () => readonly string[];
  /**
   * Problems that do not affect readiness, because an orchestrator must not take the server out of service for them.
   */
  readonly warnings?: (() => readonly string[]) | undefined;
  /** Added to the readiness page in JSON. */
  readonly stats?: (() => ServerStats) | undefined;
  readonly version: string;
  /** Undefined for a listener without the keys API, which serves no etcd clients. */
  readonly clusterId: string | undefined;
}

/** The last etcd version whose only API was v2, which is the API here. */
const ETCD_LIKE = { etcdserver: '2.3.8', etcdcluster: '2.3.0' };
const METHODS = ['GET', 'HEAD'];

type HealthPage = (health: Health, exchange: Exchange) => HttpReply;

const PAGES: ReadonlyMap<string, HealthPage> = new Map<string, HealthPage>([
  ['/version', versionPage],
  ['/livez', () => textReply(200, 'ok')],
  ['/readyz', readyz],
  ['/healthz', readyz],
  ['/health', etcdHealth],
]);

const ETCD_PAGES: ReadonlyMap<string, HealthPage> = new Map<string, HealthPage>([
  ['/v2/machines', (_, exchange) => textReply(200, clientUrl(exchange))],
  ['/v2/members', (health, exchange) => members(health, { members: [member(health, exchange)] })],
  ['/v2/members/leader', (health, exchange) => members(health, member(health, exchange))],
]);

/** Whether the path is a page with which orchestrators check the server. */
export function isHealthPath(path: string): boolean {
  return PAGES.has(path);
}

/** The reply to a request for one of these pages; undefined for another path. */
export function healthReply(health: Health, exchange: Exchange): HttpReply | undefined {
  const etcdPage = health.clusterId === undefined ? undefined : ETCD_PAGES.get(exchange.path);
  const page = PAGES.get(exchange.path) ?? etcdPage;
  if (page === undefined) return undefined;
  return METHODS.includes(exchange.method) ? page(health, exchange) : methodNotAllowed(METHODS);
}

function versionPage({ version, clusterId }: Health): HttpReply {
  return jsonReply(200, { ...(clusterId === undefined ? {} : ETCD_LIKE), soradns: version });
}

function readyz({ readiness, warnings, stats }: Health, { headers }: Exchange): HttpReply {
  const reasons = readiness();
  const warned = warnings?.() ?? [];
  const ready = reasons.length === 0;
  const status = ready ? 200 : 503;
  if (headers.accept?.includes('application/json') === true) {
    const also = warned.length === 0 ? {} : { warnings: warned };
    return jsonReply(status, { ready, reasons, ...also, ...stats?.() });
  }
  const lines = [...(ready ? ['ok'] : reasons), ...warned.map((text) => `warning: ${text}`)];
  return textReply(status, lines.join('\n'));
}

function etcdHealth({ readiness }: Health): HttpReply {
  const healthy = readiness().length === 0;
  return jsonReply(healthy ? 200 : 503, { health: String(healthy) });
}

function members({ clusterId = '' }: Health, body: unknown): HttpReply {
  return jsonReply(200, body, { 'X-Etcd-Cluster-Id': clusterId });
}

/** This server as a cluster with one member, at the address that the client used. */
function member({ clusterId }: Health, exchange: Exchange) {
  return { id: clusterId, name: 'soradns', peerURLs: [], clientURLs: [clientUrl(exchange)] };
}

function clientUrl({ headers }: Exchange): string {
  return `http://${headers.host ?? 'localhost'}`;
}
