/** The three calls about leases, in our words. Ids stay decimal strings: they go up to 2^63. */
import { type Cluster, malformed } from './cluster.ts';
import type { LeaseLife } from './leases.ts';

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

/** Ends a lease and the keys that carry it. When etcd cannot be reached, its TTL does the same later. */
export async function revokeLease(cluster: Cluster, id: string): Promise<void> {
  await cluster.call('leaseRevoke', { ID: id }).catch(() => undefined);
}

/** How long a lease lives yet. */
export async function lookUpLease(cluster: Cluster, id: string): Promise<LeaseLife> {
  const response = await cluster.call('leaseTimeToLive', { ID: id });
  const remainingSeconds = Number(response.TTL);
  if (remainingSeconds < 0) return { kind: 'gone' };
  return { kind: 'alive', ttlSeconds: Number(response.grantedTTL), remainingSeconds };
}
