/**
 * Whether an etcd holds the history that a watcher has followed so far. etcd gives histories no names: a cluster's id
 * comes from its members' addresses and token, so one that was wiped and started anew has the same, and its revisions
 * come to the old numbers soon. So an entry that the watcher saw is looked for at the revision at which it was seen.
 */
import type { IRangeResponse } from 'etcd3';
import { type Past, StoreError, type Witness } from '../store.ts';
import { isWitnessed } from '../witness.ts';
import type { ReadRange } from './cluster.ts';
import { malformed } from './failure.ts';
import { entryOf, keyBytes, prefixEnd } from './translate.ts';

/** The name that etcd's answer gives its history: the cluster's id. */
export function historyOf({ header }: Pick<IRangeResponse, 'header'>): string {
  if (!header) throw malformed('a header');
  return header.cluster_id;
}

/**
 * Gives the member's own revision. Rejects with `replaced` when the history is another one, or cannot be told from
 * another one any more. Without a past it is only asked what there is now. `seenRevision` is the last one that the
 * watcher saw.
 */
export async function checkPast(
  read: ReadRange,
  prefix: string,
  seenRevision: number,
  past: Past | undefined,
): Promise<number> {
  const now = await read({ key: keyBytes(prefix) });
  const history = historyOf(now);
  const revision = Number(now.header.revision);
  if (past === undefined) return revision;
  const isSame =
    history === past.history &&
    revision >= seenRevision &&
    (past.witness === undefined
      ? await wasEmpty(read, prefix, seenRevision)
      : await isThere(read, past.witness));
  if (!isSame) throw new StoreError('replaced', 'etcd is not the one that was watched before');
  return revision;
}

async function wasEmpty(read: ReadRange, prefix: string, revision: number): Promise<boolean> {
  const range = { key: keyBytes(prefix), range_end: prefixEnd(prefix), limit: 1, keys_only: true };
  const found = await unlessForgotten(read({ ...range, revision: String(revision) }));
  return found?.kvs.length === 0;
}

async function isThere(read: ReadRange, witness: Witness): Promise<boolean> {
  const key = keyBytes(witness.key);
  const then = await unlessForgotten(read({ key, revision: String(witness.revision) }));
  // What was compacted away may still be what there is.
  const { kvs } = then ?? (await read({ key }));
  const [kv] = kvs;
  return kv !== undefined && isWitnessed(witness, entryOf(kv, namedLease));
}

async function unlessForgotten(
  answer: Promise<IRangeResponse>,
): Promise<IRangeResponse | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof StoreError && error.code === 'compacted') return undefined;
    throw error;
  }
}

/** Only its id is asked for. */
const namedLease = (id: string) => ({ id, ttlSeconds: 0, expiresAtMs: 0 });
