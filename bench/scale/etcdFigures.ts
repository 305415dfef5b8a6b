/** What an etcd has used and done so far, from its own metrics and from /proc. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Etcd } from '../../test/support/etcd.ts';
import { processSeconds } from '../cpuClock.ts';

export interface EtcdFigures {
  readonly atMs: number;
  readonly cpuSeconds: number;
  readonly ranges: number;
  readonly leaseLookups: number;
  readonly renewals: number;
  /** Octets of answers and events, without HTTP/2's framing. */
  readonly sentBytes: number;
  readonly watchers: number;
}

export async function etcdFigures({ endpoint, pid = 0 }: Etcd): Promise<EtcdFigures> {
  const response = await fetch(`http://${endpoint}/metrics`);
  const text = await response.text();
  const sum = (name: string, labels = ''): number => {
    let total = 0;
    for (const line of text.split('\n')) {
      if (!line.startsWith(name) || !/^[{ ]/.test(line.slice(name.length))) continue;
      if (line.includes(labels)) total += Number(line.slice(line.lastIndexOf(' ') + 1));
    }
    return total;
  };
  const handled = (method: string): number =>
    sum('grpc_server_handled_total', `grpc_method="${method}"`);
  return {
    atMs: performance.now(),
    cpuSeconds: processSeconds(pid) ?? sum('process_cpu_seconds_total'),
    ranges: handled('Range'),
    leaseLookups: handled('LeaseTimeToLive'),
    renewals: handled('LeaseKeepAlive'),
    sentBytes: sum('etcd_network_client_grpc_sent_bytes_total'),
    watchers: sum('etcd_debugging_mvcc_watcher_total'),
  };
}

/** The figures of the time between two readings. */
export function between(from: EtcdFigures, to: EtcdFigures): EtcdFigures {
  return {
    atMs: to.atMs - from.atMs,
    cpuSeconds: to.cpuSeconds - from.cpuSeconds,
    ranges: to.ranges - from.ranges,
    leaseLookups: to.leaseLookups - from.leaseLookups,
    renewals: to.renewals - from.renewals,
    sentBytes: to.sentBytes - from.sentBytes,
    watchers: to.watchers,
  };
}

/** The largest resident memory since the start or since `forgetPeak`. */
export function peakBytes({ pid = 0 }: Etcd): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN) * 1024;
}

export function forgetPeak({ pid = 0 }: Etcd): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}
