/**
 * All keys below a prefix as they were at one revision, page by page. The first page's revision is named in the
 * requests for all others, so that writes in between change nothing; when etcd compacts it away in the meantime, the
 * snapshot fails with `compacted` and is taken anew.
 *
 * etcd (3.4) walks its whole index behind a page's first key for every page, so few large pages load faster than many
 * small ones: pages grow to a number of octets. Who reads in bulk gets large pages, the next one under way while one is
 * read. Who may have enough with a look gets a small page first, and then pages whose decoding holds nobody up.
 */
import type { IKeyValue, IRangeResponse } from 'etcd3';
import { hasFingerprint } from '../fingerprint.ts';
import {
  type EntryFingerprint,
  type FollowedHistory,
  type SnapshotOptions,
  StoreError,
} from '../store.ts';
import type { Cluster, ReadRange } from './cluster.ts';
import { isTooLarge, malformed } from './failure.ts';
import { entryOfKv, keyAfter, keyBytes, prefixEnd } from './translate.ts';

interface Paging {
  readonly firstKeys: number;
  readonly pageBytes: number;
  /** Whether the next page is asked for before the reader wants it. */
  readonly ahead: boolean;
}

const BULK: Paging = { firstKeys: 500, pageBytes: 8 << 20, ahead: true };
const BY_AND_BY: Paging = { firstKeys: 256, pageBytes: 512 << 10, ahead: false };
const MAX_PAGE_KEYS = 100_000;
/** What a key costs on the wire besides key and value. */
const KEY_OVERHEAD_BYTES = 30;

export interface KvPage {
  readonly revision: number;
  readonly history: string;
  readonly kvs: readonly IKeyValue[];
}

interface PageRequest {
  readonly from: Buffer;
  readonly limit: number;
  /** 0: whatever the newest is. */
  readonly revision: string;
}

/** The pages; at least one. Rejects with a StoreError. */
export async function* etcdSnapshot(
  cluster: Cluster,
  prefix: string,
  { timeoutMs, bulk = false }: SnapshotOptions & { readonly timeoutMs: number },
): AsyncGenerator<KvPage> {
  const paging = bulk ? BULK : BY_AND_BY;
  const end = prefixEnd(prefix);
  const read = (request: PageRequest) => readPage(cluster, request, end, timeoutMs);
  let next: PageRequest | undefined = {
    from: keyBytes(prefix),
    limit: paging.firstKeys,
    revision: '0',
  };
  let revision = '0';
  let coming: Promise<IRangeResponse> | undefined;
  while (next !== undefined) {
    const page: IRangeResponse = await (coming ?? read(next));
    if (revision === '0') revision = page.header.revision;
    next = nextRequest(page, revision, paging.pageBytes);
    coming = paging.ahead && next !== undefined ? read(next) : undefined;
    // It may fail while the reader is busy with this page; the error is met at the top of the loop.
    coming?.catch(() => undefined);
    yield { revision: Number(revision), history: historyOf(page), kvs: page.kvs };
  }
}

function nextRequest(
  page: IRangeResponse,
  revision: string,
  pageBytes: number,
): PageRequest | undefined {
  if (!page.more) return undefined;
  const last = page.kvs.at(-1);
  if (last === undefined) throw malformed('the keys of a page');
  return { from: keyAfter(last.key), limit: nextLimit(page.kvs, pageBytes), revision };
}

function nextLimit(kvs: readonly IKeyValue[], pageBytes: number): number {
  let bytes = 0;
  for (const kv of kvs) bytes += kv.key.length + kv.value.length + KEY_OVERHEAD_BYTES;
  const keys = Math.floor((pageBytes * kvs.length) / bytes);
  return Math.min(MAX_PAGE_KEYS, Math.max(1, keys));
}

/** One page, with half the limit whenever it was too large for a gRPC message. */
async function readPage(
  cluster: Cluster,
  request: PageRequest,
  range_end: Buffer,
  timeoutMs: number,
): Promise<IRangeResponse> {
  const { from: key, revision } = request;
  for (let limit = request.limit; ; limit = Math.floor(limit / 2)) {
    try {
      return await cluster.call('range', { key, range_end, limit, revision }, timeoutMs);
    } catch (error) {
      const cause = error instanceof Error ? error.cause : undefined;
      if (limit <= 1 || !isTooLarge(cause)) throw error;
    }
  }
}

/**
 * Whether an etcd holds the history that a watcher has followed so far. etcd gives histories no names: a cluster's id
 * comes from its members' addresses and token, so one that was wiped and started anew has the same, and its revisions
 * come to the old numbers soon. So an entry that the watcher saw is looked for at the revision at which it was seen.
 */

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
export async function checkEtcdHistory(
  read: ReadRange,
  prefix: string,
  seenRevision: number,
  followed: FollowedHistory | undefined,
): Promise<number> {
  const now = await read({ key: keyBytes(prefix) });
  const history = historyOf(now);
  const revision = Number(now.header.revision);
  if (followed === undefined) return revision;
  const isSame =
    history === followed.history &&
    revision >= seenRevision &&
    (followed.fingerprint === undefined
      ? await wasEmpty(read, prefix, seenRevision)
      : await isThere(read, followed.fingerprint));
  if (!isSame) throw new StoreError('replaced', 'etcd is not the one that was watched before');
  return revision;
}

async function wasEmpty(read: ReadRange, prefix: string, revision: number): Promise<boolean> {
  const range = { key: keyBytes(prefix), range_end: prefixEnd(prefix), limit: 1, keys_only: true };
  const found = await unlessForgotten(read({ ...range, revision: String(revision) }));
  return found?.kvs.length === 0;
}

async function isThere(read: ReadRange, fingerprint: EntryFingerprint): Promise<boolean> {
  const key = keyBytes(fingerprint.key);
  const then = await unlessForgotten(read({ key, revision: String(fingerprint.revision) }));
  // What was compacted away may still be what there is.
  const { kvs } = then ?? (await read({ key }));
  const [kv] = kvs;
  return kv !== undefined && hasFingerprint(fingerprint, entryOfKv(kv, namedLease));
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
