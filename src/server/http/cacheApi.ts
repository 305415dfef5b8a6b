/**
 * The cache of other servers' answers, over HTTP:
 *
 *     GET /v1/cache             its size, and its counters since the start
 *     DELETE /v1/cache          forgets every answer
 *     DELETE /v1/cache/NAME     forgets the answers about a name and the names below it
 *
 * The reply to DELETE has the number of questions to which a cache had an answer that had not expired.
 */
import { type Name, parseName } from '../../dns/name.ts';
import { type Exchange, type HttpReply, jsonReply, methodNotAllowed } from './exchange/exchange.ts';

export interface CacheSummary {
  /** Answers in the answer cache, some of which may have expired, and its memory. */
  readonly answers: number;
  readonly usedOctets: number;
  readonly capacityOctets: number;
  /** Since the start: questions answered from it or the reply cache, and answers that left it before they expired. */
  readonly hits: number;
  readonly evicted: number;
}

export interface CacheSource {
  summary(): CacheSummary;
  /** Forgets the answers about a name and the names below it, or all. Returns to how many questions an answer held. */
  flush(name: Name | undefined): number;
}

/** The reply to a request for the cache; undefined for another path. The client of a DELETE must be a writer. */
export function cacheReply(
  cache: CacheSource,
  { method, path }: Pick<Exchange, 'method' | 'path'>,
): HttpReply | undefined {
  const [matches, encoded] = /^\/v1\/cache(?:\/([^/]+))?$/.exec(path) ?? [];
  if (matches === undefined) return undefined;
  if (method === 'DELETE') return flush(cache, encoded);
  if (encoded !== undefined) return methodNotAllowed(['DELETE']);
  if (method !== 'GET' && method !== 'HEAD') return methodNotAllowed(['GET', 'HEAD', 'DELETE']);
  return jsonReply(200, cache.summary());
}

function flush(cache: CacheSource, encoded: string | undefined): HttpReply {
  if (encoded === undefined) return jsonReply(200, { flushed: cache.flush(undefined) });
  const name = nameIn(encoded);
  if (name === undefined) {
    const error = { code: 'invalid', message: 'not a domain name' };
    return jsonReply(400, { error });
  }
  return jsonReply(200, { flushed: cache.flush(name) });
}

function nameIn(encoded: string): Name | undefined {
  try {
    return parseName(decodeURIComponent(encoded));
  } catch {
    return undefined;
  }
}
