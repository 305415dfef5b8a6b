/** The calls about leases, in our words. Ids stay decimal strings: they go up to 2^63. */
import type { Cluster } from './cluster.ts';
import { isNoSuchLease, malformed } from './failure.ts';
import type { LeaseLife } from './leases.ts';

/** Whether etcd could have given that id: an int64 above 0. */
export function isLeaseId(id: string): boolean {
  return /^[1-9][0-9]{0,18}$/.test(id) && BigInt(id) < 2n ** 63n;
}

/**
 * A new lease, and the TTL that etcd gave it: no less than about 1.5 election timeouts, which is 2 s by default.
 */
export async function grantLease(
  cluster: Cluster,
  ttlSeconds: number,
): Promise<{ id: string; ttlSeconds: number }> {
  const response = await cluster.call('leaseGrant', { TTL: String(ttlSeconds) });
  if (response.ID === '0') throw malformed('a lease id');
  return { id: response.ID, ttlSeconds: Number(response.TTL) };
}

/** Begins a lease's time anew; the TTL that it has, or undefined when there is no such lease. */
export async function keepLeaseAlive(cluster: Cluster, id: string): Promise<number | undefined> {
  const response = await cluster.call('leaseKeepAlive', { ID: id });
  const ttlSeconds = Number(response.TTL);
  return ttlSeconds > 0 ? ttlSeconds : undefined;
}

/** Ends a lease and the keys that carry it, if it has not ended already. */
export async function revokeLease(cluster: Cluster, id: string): Promise<void> {
  try {
    await cluster.call('leaseRevoke', { ID: id });
  } catch (error) {
    if (!isNoSuchLease(error)) throw error;
  }
}

/** Ends a lease that nobody needs. When etcd cannot be reached, its TTL does the same later. */
export async function abandonLease(cluster: Cluster, id: string): Promise<void> {
  await revokeLease(cluster, id).catch(() => undefined);
}

/** How long a lease lives yet. */
export async function lookUpLease(cluster: Cluster, id: string): Promise<LeaseLife> {
  const response = await cluster.call('leaseTimeToLive', { ID: id });
  const remainingSeconds = Number(response.TTL);
  if (remainingSeconds < 0) return { kind: 'gone' };
  return { kind: 'alive', ttlSeconds: Number(response.grantedTTL), remainingSeconds };
}
