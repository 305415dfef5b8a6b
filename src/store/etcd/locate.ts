/**
 * `locate` on etcd: one transaction of small ranges for a key of up to twelve components, and two for a longer key. If
 * the path ends above the key, one range more. The number of keys in etcd makes no difference.
 */
import type { IKeyValue, IRangeRequest } from 'etcd3';
import { directoryPrefix, pathTo, searchFirstFalse } from '../../service/keyTree.ts';
import { StoreError } from '../store.ts';
import type { Cluster } from './cluster.ts';
import { keyBytes, prefixEnd } from './translate.ts';

/** Keys of the path that one transaction probes. */
const AT_ONCE = 12;

export interface LocatedKey {
  readonly revision: number;
  readonly kv: IKeyValue | undefined;
  readonly end: string | undefined;
  readonly endHasEntry: boolean;
}

/** The entry of the key, and for each of several keys whether it has keys below it. */
interface KeyProbe {
  readonly revision: number;
  readonly kv: IKeyValue | undefined;
  readonly hasBelow: readonly boolean[];
}

export async function locateKey(cluster: Cluster, key: string): Promise<LocatedKey> {
  const path = pathTo(key);
  let first: KeyProbe | undefined;
  const search = searchFirstFalse(path.length, AT_ONCE);
  let step = search.next();
  while (!step.done) {
    const keys = step.value.map((n) => path[n] ?? key);
    const probed = await probe(cluster, key, keys);
    first ??= probed;
    step = search.next(probed.hasBelow);
  }
  const end = path[step.value];
  const { revision = 0, kv } = first ?? {};
  const endHasEntry = end === key ? kv !== undefined : await hasEntry(cluster, end);
  return { revision, kv, end, endHasEntry };
}

async function probe(cluster: Cluster, key: string, below: readonly string[]): Promise<KeyProbe> {
  try {
    return await probeAtOnce(cluster, key, below);
  } catch (error) {
    if (!isDenied(error)) throw error;
    return probeOneByOne(cluster, key, below);
  }
}

async function probeAtOnce(
  cluster: Cluster,
  key: string,
  below: readonly string[],
): Promise<KeyProbe> {
  const ranges: readonly IRangeRequest[] = [{ key: keyBytes(key) }, ...below.map(anyBelow)];
  const success = ranges.map((request_range) => ({ request_range }));
  const { header, responses } = await cluster.call('readTxn', { success });
  const [own, ...found] = responses.map(({ response_range }) => response_range?.kvs ?? []);
  const hasBelow = found.map((kvs) => kvs.length > 0);
  return { revision: Number(header.revision), kv: own?.[0], hasBelow };
}

/**
 * For a user whose role does not cover every key of the path. A directory that the user may not read counts as
 * existing.
 */
async function probeOneByOne(
  cluster: Cluster,
  key: string,
  below: readonly string[],
): Promise<KeyProbe> {
  const { header, kvs } = await cluster.call('range', { key: keyBytes(key) });
  const hasBelow = await Promise.all(
    below.map((one) =>
      cluster.call('range', anyBelow(one)).then(
        (found) => found.kvs.length > 0,
        (error) => {
          if (isDenied(error)) return true;
          throw error;
        },
      ),
    ),
  );
  return { revision: Number(header.revision), kv: kvs[0], hasBelow };
}

/** Keys only, because a value may be large. */
function anyBelow(key: string): IRangeRequest {
  const prefix = directoryPrefix(key);
  return { key: keyBytes(prefix), range_end: prefixEnd(prefix), limit: 1, keys_only: true };
}

async function hasEntry(cluster: Cluster, key: string | undefined): Promise<boolean> {
  if (key === undefined) return false;
  try {
    const { kvs } = await cluster.call('range', { key: keyBytes(key), keys_only: true });
    return kvs.length > 0;
  } catch (error) {
    // The user may have permission to read only below the prefix. An entry that it cannot read does not block a path.
    if (isDenied(error)) return false;
    throw error;
  }
}

function isDenied(error: unknown): boolean {
  return error instanceof StoreError && error.code === 'denied';
}
