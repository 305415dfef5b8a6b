/** The login before a call, on members that answer late or not at all. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster } from '../../src/store/etcd/cluster.ts';
import type { Endpoint } from '../../src/store/etcd/endpoint.ts';
import { GRPC, GrpcFailure } from '../../src/store/etcd/failure.ts';

const KEY = Buffer.from('/a');
const LATE = new GrpcFailure(GRPC.deadlineExceeded, 'Deadline exceeded');

/** A member that answers a login after that time, and other calls at once. */
function member(loginMs: number, calls: string[] = []): Endpoint {
  const call: Endpoint['call'] = async (_service, rpc, _request, { timeoutMs }) => {
    calls.push(rpc);
    if (rpc !== 'authenticate') return {};
    await sleep(Math.min(loginMs, timeoutMs));
    if (loginMs >= timeoutMs) throw LATE;
    return { token: 'secret' };
  };
  return { address: 'member', call } as unknown as Endpoint;
}

const clusterOf = (callTimeoutMs: number, ...members: Endpoint[]): Cluster =>
  new Cluster(members, { login: { user: 'u', password: 'p' }, callTimeoutMs });

it('A call waits for a login of another call only until its own deadline', async () => {
  const cluster = clusterOf(2_000, member(Number.POSITIVE_INFINITY));
  const ended: string[] = [];
  const end = (name: string) => () => void ended.push(name);
  const long = cluster.call('range', { key: KEY }, 20_000).catch(end('long'));
  const short = cluster.call('leaseKeepAlive', { ID: '1' }, 200).catch(end('short'));
  await Promise.all([long, short]);
  assert.deepEqual(ended, ['short', 'long']);
});

it('A call that has little time left shortens no login of other calls', async () => {
  const cluster = clusterOf(5_000, member(200));
  const hurried = assert.rejects(cluster.call('range', { key: KEY }, 20));
  await cluster.call('range', { key: KEY });
  await hurried;
});

it('A write is made on another member if the login on the first one fails', async () => {
  const calls: string[] = [];
  const cluster = clusterOf(400, member(Number.POSITIVE_INFINITY), member(0, calls));
  await cluster.call('txn', { compare: [], success: [], failure: [] });
  assert.deepEqual(calls, ['authenticate', 'txn']);
});
