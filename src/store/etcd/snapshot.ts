/**
 * All keys below a prefix at one revision, page by page, and the check that an etcd still has the history of a watcher.
 * The requests for later pages name the first page's revision, so writes in between have no effect. If etcd compacts
 * that revision, the snapshot fails with `compacted`, and the caller takes a new one.
 *
 * For every page etcd (3.4) walks its whole index after the page's first key, so a few large pages load faster than
 * many small ones. Each page's size sets the next page's number of keys, so that pages approach a number of octets
 * (pagePace.ts). A bulk reader gets large pages unless etcd is busy, and the store fetches the next page while the
 * reader handles one. Any other reader gets a small page first, and later pages that decode in little time.
 */
import { setTimeout as sleep } from 'node:timers/promises';
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
import { BULK, ON_DEMAND, PagePace } from './pagePace.ts';
import { entryOfKv, keyAfter, keyBytes, prefixEnd } from './translate.ts';

const MAX_PAGE_KEYS = 100_000;
/** Octets on the wire for a pair besides its key and value. */
const KEY_OVERHEAD_BYTES = 30;

export interface KvPage {
  readonly revision: number;
  readonly history: string;
  readonly kvs: readonly IKeyValue[];
}

interface PageRequest {
  readonly from: Buffer;
  readonly limit: number;
  /** 0: the newest. */
  readonly revision: string;
}

/** Yields at least one page. Rejects with a StoreError. */
export async function* etcdSnapshot(
  cluster: Cluster,
  prefix: string,
  { timeoutMs, bulk = false }: SnapshotOptions & { readonly timeoutMs: number },
): AsyncGenerator<KvPage> {
  const paging = bulk ? BULK : ON_DEMAND;
  const pace = new PagePace(paging);
  const end = prefixEnd(prefix);
  const read = async (request: PageRequest): Promise<IRangeResponse> => {
    const pauseMs = pace.pauseMs();
    if (pauseMs > 0) await sleep(pauseMs);
    const sentAtMs = performance.now();
    const page = await readPage(cluster, request, end, timeoutMs);
    pace.noteAnswer(performance.now() - sentAtMs);
    return page;
  };
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
    next = nextRequest(page, revision, pace.bytes);
    coming = pace.ahead && next !== undefined ? read(next) : undefined;
    // The request may fail while the reader handles this page; the next iteration throws that error.
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

/** One page. Halves the limit while the page is too large for a gRPC message. */
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
 * etcd's name for its history: the cluster's id, which comes from its members' addresses and token. An etcd that was
 * wiped and started again keeps the id, and its revisions soon reach the old numbers.
 */
function historyOf({ header }: Pick<IRangeResponse, 'header'>): string {
  if (!header) throw malformed('a header');
  return header.cluster_id;
}

/**
 * Returns the member's revision. Rejects with `replaced` when etcd has another history than `followed`, or can no
 * longer show that it has the same. `seenRevision` is the last revision that the watcher received. The check looks for
 * the fingerprint's entry at the fingerprint's revision.
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
      : await hadEntry(read, followed.fingerprint));
  if (!isSame) throw new StoreError('replaced', 'etcd is not the one that was watched before');
  return revision;
}

async function wasEmpty(read: ReadRange, prefix: string, revision: number): Promise<boolean> {
  const range = { key: keyBytes(prefix), range_end: prefixEnd(prefix), limit: 1, keys_only: true };
  const found = await unlessForgotten(read({ ...range, revision: String(revision) }));
  return found?.kvs.length === 0;
}

async function hadEntry(read: ReadRange, fingerprint: EntryFingerprint): Promise<boolean> {
  const key = keyBytes(fingerprint.key);
  const then = await unlessForgotten(read({ key, revision: String(fingerprint.revision) }));
  // After a compaction the key may still have the entry.
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

/** The fingerprint needs only the id. */
const namedLease = (id: string) => ({ id, ttlSeconds: 0, expiresAtMs: 0 });
