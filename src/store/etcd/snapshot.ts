/**
 * All keys below a prefix as they were at one revision, page by page. The first page's revision is named in the
 * requests for all others, so that writes in between change nothing; when etcd compacts it away in the meantime, the
 * snapshot fails with `compacted` and is taken anew.
 *
 * etcd (3.4) walks its whole index behind a page's first key for every page, so few large pages load faster than many
 * small ones: pages grow until they carry about `PAGE_BYTES`. The next page is under way while one is read.
 */
import type { IKeyValue, IRangeResponse } from 'etcd3';
import { type Cluster, malformed } from './cluster.ts';
import { isTooLarge } from './failure.ts';
import { historyOf } from './past.ts';
import { keyAfter, keyBytes, prefixEnd } from './translate.ts';

const FIRST_PAGE_KEYS = 500;
const MAX_PAGE_KEYS = 100_000;
const PAGE_BYTES = 8 << 20;
/** What a key costs on the wire besides key and value. */
const KEY_OVERHEAD_BYTES = 30;

export interface Page {
  readonly revision: number;
  readonly history: string;
  readonly kvs: readonly IKeyValue[];
}

interface Request {
  readonly from: Buffer;
  readonly limit: number;
  /** 0: whatever the newest is. */
  readonly revision: string;
}

/** The pages; at least one. Rejects with a StoreError. */
export async function* snapshotPages(
  cluster: Cluster,
  prefix: string,
  timeoutMs: number,
): AsyncGenerator<Page> {
  const end = prefixEnd(prefix);
  const first: Request = { from: keyBytes(prefix), limit: FIRST_PAGE_KEYS, revision: '0' };
  let coming: Promise<IRangeResponse> | undefined = readPage(cluster, first, end, timeoutMs);
  let revision = '0';
  while (coming !== undefined) {
    const page: IRangeResponse = await coming;
    if (revision === '0') revision = page.header.revision;
    const next = nextRequest(page, revision);
    coming = next && readPage(cluster, next, end, timeoutMs);
    // It may fail while the reader is busy with this page; the error is met at the top of the loop.
    coming?.catch(() => undefined);
    yield { revision: Number(revision), history: historyOf(page), kvs: page.kvs };
  }
}

function nextRequest(page: IRangeResponse, revision: string): Request | undefined {
  if (!page.more) return undefined;
  const last = page.kvs.at(-1);
  if (last === undefined) throw malformed('the keys of a page');
  return { from: keyAfter(last.key), limit: nextLimit(page.kvs), revision };
}

function nextLimit(kvs: readonly IKeyValue[]): number {
  let bytes = 0;
  for (const kv of kvs) bytes += kv.key.length + kv.value.length + KEY_OVERHEAD_BYTES;
  const keys = Math.floor((PAGE_BYTES * kvs.length) / bytes);
  return Math.min(MAX_PAGE_KEYS, Math.max(1, keys));
}

/** One page, with half the limit whenever it was too large for a gRPC message. */
async function readPage(
  cluster: Cluster,
  request: Request,
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
