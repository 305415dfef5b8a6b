/**
 * The API between soradns servers, for servers and commands whose store is this server: one GET or POST for each call
 * of the Store interface, under /v1/store, as JSON or lines of JSON (`store/http/wire.ts`). The v2 API cannot express
 * these calls.
 *
 *     GET  /v1/store/entry?key=            {"revision","entry"}
 *     GET  /v1/store/locate?key=           {"revision","entry","end","endHasEntry"}
 *     GET  /v1/store/snapshot?prefix=      lines {"revision","history","entries"}, then {"end":true}
 *     GET  /v1/store/watch?prefix=&from=   lines {"revision","changes","more"}, {} as a sign of life,
 *                                          {"error"} at the end; with &past={"history","witness"} an error if the
 *                                          store has another history
 *     POST /v1/store/put | delete | deleteTree
 *     POST /v1/store/lease/grant           {"ttlSeconds"}: {"lease"}
 *     POST /v1/store/lease/renew           {"id"}: {"renewed"}
 *     POST /v1/store/lease/revoke          {"id"}: {}
 */
import { jsonNumber, jsonObject, jsonString, parseJsonText } from '../../../store/http/json.ts';
import {
  deleteCallFromJson,
  deleteResultToJson,
  entryToJson,
  leaseToJson,
  putCallFromJson,
  putResultToJson,
} from '../../../store/http/wire.ts';
import type { KeyLocation, LeaseStore } from '../../../store/store.ts';
import {
  type Exchange,
  type HttpReply,
  jsonReply,
  methodNotAllowed,
} from '../exchange/exchange.ts';
import type { SharedResources } from './keys.ts';
import {
  checkedKey,
  checkedPrefix,
  errorReply,
  sendSnapshot,
  sendWatch,
  tooManyLong,
} from './storeStreams.ts';

export const STORE_API_PREFIX = '/v1/store/';
/** Enough for a value and a value for comparison, each up to 1 MiB, in base64. */
const MAX_BODY_OCTETS = 3 * 1024 * 1024;
/** A reply with a value up to this size needs no permit. */
const SHORT_OCTETS = 64 * 1024;

/** Answers a request below /v1/store. False: the path is not one of this API. */
export async function serveStoreApi(
  store: LeaseStore,
  exchange: Exchange,
  shared: SharedResources,
  heartbeatMs: number,
): Promise<boolean> {
  if (!exchange.path.startsWith(STORE_API_PREFIX)) return false;
  const call = exchange.path.slice(STORE_API_PREFIX.length);
  const allowed = METHOD_OF.get(call);
  if (allowed === undefined) return false;
  if (allowed !== exchange.method) {
    exchange.send(methodNotAllowed([allowed]));
    return true;
  }
  try {
    await serveCall(store, call, exchange, shared, heartbeatMs);
  } catch (error) {
    exchange.send(errorReply(error));
  }
  return true;
}

const METHOD_OF: ReadonlyMap<string, string> = new Map([
  ['entry', 'GET'],
  ['locate', 'GET'],
  ['snapshot', 'GET'],
  ['watch', 'GET'],
  ['put', 'POST'],
  ['delete', 'POST'],
  ['deleteTree', 'POST'],
  ['lease/grant', 'POST'],
  ['lease/renew', 'POST'],
  ['lease/revoke', 'POST'],
]);

async function serveCall(
  store: LeaseStore,
  call: string,
  exchange: Exchange,
  shared: SharedResources,
  heartbeatMs: number,
): Promise<void> {
  const query = new URLSearchParams(exchange.query);
  switch (call) {
    case 'entry':
    case 'locate':
      return sendEntry(store, call, checkedKey(query.get('key') ?? ''), exchange, shared);
    case 'snapshot':
      return sendSnapshot(store, checkedPrefix(query.get('prefix') ?? ''), exchange, shared);
    case 'watch':
      return sendWatch(store, query, exchange, shared, heartbeatMs);
    default:
      return write(store, call, exchange);
  }
}

async function write(store: LeaseStore, call: string, exchange: Exchange): Promise<void> {
  const body = await exchange.readBody(MAX_BODY_OCTETS);
  if (body.kind === 'broken') return;
  if (body.kind === 'too large') {
    const message = `the body is larger than ${body.limitOctets} octets`;
    return exchange.send(jsonReply(413, { error: { code: 'invalid', message } }));
  }
  const json = parseJsonText(body.octets.toString('utf8'));
  exchange.send(jsonReply(200, await perform(store, call, json)));
}

async function perform(store: LeaseStore, call: string, json: unknown): Promise<unknown> {
  switch (call) {
    case 'put': {
      const { key, value, ttlSeconds, lease, condition } = putCallFromJson(json);
      const result = await store.put(checkedKey(key), value, { ttlSeconds, lease, if: condition });
      return putResultToJson(result, performance.now());
    }
    case 'delete': {
      const { key, condition } = deleteCallFromJson(json);
      const result = await store.delete(checkedKey(key), { if: condition });
      return deleteResultToJson(result, performance.now());
    }
    case 'lease/grant': {
      const lease = await store.grantLease(jsonNumber(jsonObject(json).ttlSeconds));
      return { lease: leaseToJson(lease, performance.now()) };
    }
    case 'lease/renew':
      return { renewed: await store.renewLease(jsonString(jsonObject(json).id)) };
    case 'lease/revoke':
      await store.revokeLease(jsonString(jsonObject(json).id));
      return {};
    default:
      return store.deleteTree(checkedPrefix(jsonString(jsonObject(json).prefix)));
  }
}

/** A large value takes a permit until the client has read it. */
async function sendEntry(
  store: LeaseStore,
  call: 'entry' | 'locate',
  key: string,
  exchange: Exchange,
  { longReplies }: SharedResources,
): Promise<void> {
  const found = call === 'entry' ? await store.get(key) : await store.locate(key);
  if ((found.entry?.value.length ?? 0) <= SHORT_OCTETS) return exchange.send(entryReply(found));
  const release = await longReplies.acquire(exchange);
  if (release === undefined) throw tooManyLong();
  if (exchange.signal.aborted) return release();
  exchange.signal.addEventListener('abort', () => release(), { once: true });
  exchange.send(entryReply(found));
}

function entryReply({ entry, ...rest }: Pick<KeyLocation, 'entry' | 'revision'>): HttpReply {
  return jsonReply(200, { ...rest, entry: entry && entryToJson(entry, performance.now()) });
}
