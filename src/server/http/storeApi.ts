/**
 * What the v2 API cannot carry, for soradns servers and commands that have this one as their store: one GET or POST
 * for each call of the Store interface, under /v1/store, as JSON or lines of JSON (`store/http/wire.ts`).
 *
 *     GET  /v1/store/entry?key=            {"revision","entry"}
 *     GET  /v1/store/snapshot?prefix=      lines {"revision","history","entries"}, then {"end":true}
 *     GET  /v1/store/watch?prefix=&from=   lines {"revision","changes","more"}, {} as a sign of life, {"error"} at the end;
 *                                          with &past={"history","witness"} it is refused where that does not hold
 *     POST /v1/store/put | delete | deleteTree
 *     POST /v1/store/lease/grant           {"ttlSeconds"}: {"lease"}
 *     POST /v1/store/lease/renew           {"id"}: {"renewed"}
 *     POST /v1/store/lease/revoke          {"id"}: {}
 */
import type { Change } from '../../service/change.ts';
import {
  changeToJson,
  deleteCallFromJson,
  deleteResultToJson,
  entryToJson,
  leaseToJson,
  Malformed,
  number,
  pastFromJson,
  putCallFromJson,
  putResultToJson,
  record,
  text,
} from '../../store/http/wire.ts';
import { checkPath, checkPrefixPath } from '../../store/limits.ts';
import {
  type LeaseStore,
  StoreError,
  type StoreErrorCode,
  type WatchBatch,
} from '../../store/store.ts';
import {
  type Exchange,
  jsonReply,
  methodNotAllowed,
  type Reply,
  type ReplyStream,
} from './exchange.ts';
import type { Shared } from './keys.ts';

const PREFIX = '/v1/store/';
/** A value and a value to compare it with, each up to 1 MiB, in base64. */
const MAX_BODY_OCTETS = 3 * 1024 * 1024;
/** Lines are cut after about so much text: no page of large values becomes one string. */
const LINE_CHARACTERS = 256 * 1024;
const LINES = { 'Content-Type': 'application/x-ndjson' };

const STATUS: Readonly<Record<StoreErrorCode, number>> = {
  unavailable: 503,
  compacted: 410,
  replaced: 410,
  denied: 403,
  invalid: 400,
};

/** Answers one request below /v1/store; false: the path is another. */
export async function serveStoreApi(
  store: LeaseStore,
  exchange: Exchange,
  shared: Shared,
  heartbeatMs: number,
): Promise<boolean> {
  if (!exchange.path.startsWith(PREFIX)) return false;
  const call = exchange.path.slice(PREFIX.length);
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
  shared: Shared,
  heartbeatMs: number,
): Promise<void> {
  const query = new URLSearchParams(exchange.query);
  switch (call) {
    case 'entry':
      return exchange.send(await readEntry(store, keyOf(query.get('key') ?? '')));
    case 'snapshot':
      return sendSnapshot(store, prefixOf(query.get('prefix') ?? ''), exchange);
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
  const json = parseJson(body.octets.toString('utf8'));
  exchange.send(jsonReply(200, await perform(store, call, json)));
}

async function perform(store: LeaseStore, call: string, json: unknown): Promise<unknown> {
  switch (call) {
    case 'put': {
      const { key, value, ttlSeconds, lease, condition } = putCallFromJson(json);
      const result = await store.put(keyOf(key), value, { ttlSeconds, lease, if: condition });
      return putResultToJson(result, performance.now());
    }
    case 'delete': {
      const { key, condition } = deleteCallFromJson(json);
      const result = await store.delete(keyOf(key), { if: condition });
      return deleteResultToJson(result, performance.now());
    }
    case 'lease/grant': {
      const lease = await store.grantLease(number(record(json).ttlSeconds));
      return { lease: leaseToJson(lease, performance.now()) };
    }
    case 'lease/renew':
      return { renewed: await store.renewLease(text(record(json).id)) };
    case 'lease/revoke':
      await store.revokeLease(text(record(json).id));
      return {};
    default:
      return store.deleteTree(prefixOf(text(record(json).prefix)));
  }
}

/** Refused here, whatever the store would make of it: a prefix that is none may be a range of all keys. */
function prefixOf(text: string): string {
  checkPrefixPath(text);
  return text;
}

function keyOf(text: string): string {
  checkPath(text);
  return text;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Malformed('what was sent is no JSON');
  }
}

async function readEntry(store: LeaseStore, key: string): Promise<Reply> {
  const { entry, revision } = await store.get(key);
  return jsonReply(200, { revision, entry: entry && entryToJson(entry, performance.now()) });
}

async function sendSnapshot(store: LeaseStore, prefix: string, exchange: Exchange): Promise<void> {
  let stream: ReplyStream | undefined;
  try {
    for await (const { revision, history, entries } of store.snapshot(prefix)) {
      // The head waits for the first page, so that an error still has its status.
      stream ??= exchange.stream(LINES);
      const all = entries.map((entry) => JSON.stringify(entryToJson(entry, performance.now())));
      const head = `"revision":${revision},"history":${JSON.stringify(history)}`;
      for (const lines of cut(all)) {
        if (!(await stream.write(`{${head},"entries":[${lines.join()}]}\n`))) return;
      }
    }
    await stream?.write('{"end":true}\n');
  } catch (error) {
    if (stream === undefined) throw error;
    await stream.write(errorLine(error));
  } finally {
    stream?.end();
  }
}

/** Groups texts so that a group has about LINE_CHARACTERS; at least one group. */
function cut(texts: readonly string[]): string[][] {
  let group: string[] = [];
  const groups = [group];
  let characters = 0;
  for (const one of texts) {
    if (characters > LINE_CHARACTERS) {
      group = [];
      groups.push(group);
      characters = 0;
    }
    group.push(one);
    characters += one.length;
  }
  return groups;
}

async function sendWatch(
  store: LeaseStore,
  query: URLSearchParams,
  exchange: Exchange,
  shared: Shared,
  heartbeatMs: number,
): Promise<void> {
  const prefix = prefixOf(query.get('prefix') ?? '');
  const fromRevision = Number(query.get('from'));
  if (!Number.isSafeInteger(fromRevision)) throw new Malformed('"from" must be a revision');
  const pastText = query.get('past');
  const past = pastText === null ? undefined : pastFromJson(parseJson(pastText));
  const leave = shared.takePlace();
  if (leave === undefined) throw new StoreError('unavailable', 'too many requests are waiting');
  const stream = exchange.stream(LINES);
  const heart = setInterval(() => void stream.write('{}\n'), heartbeatMs);
  try {
    await stream.write('{}\n');
    const batches = store.watch(prefix, fromRevision, exchange.signal, past);
    for await (const batch of batches) {
      if (!(await writeBatch(stream, batch))) return;
    }
    // The server stops: without this line the other side would have to wait for its deadline.
    await stream.write(errorLine(new StoreError('unavailable', 'the server stops')));
  } catch (error) {
    await stream.write(errorLine(error));
  } finally {
    clearInterval(heart);
    leave();
    stream.end();
  }
}

async function writeBatch(stream: ReplyStream, { revision, changes }: WatchBatch) {
  const groups = cut(changes.map(changeText));
  for (const [index, group] of groups.entries()) {
    const more = index < groups.length - 1;
    const line = `{"revision":${revision},"changes":[${group.join()}],"more":${more}}\n`;
    if (!(await stream.write(line))) return false;
  }
  return true;
}

function changeText(change: Change): string {
  return JSON.stringify(changeToJson(change, performance.now()));
}

function errorLine(error: unknown): string {
  return `${JSON.stringify({ error: describe(error) })}\n`;
}

function errorReply(error: unknown): Reply {
  const { code, message } = describe(error);
  return jsonReply(STATUS[code], { error: { code, message } });
}

/** Errors of the store and of the request, as their sender is told them; any other is a bug and goes on up. */
function describe(error: unknown): { code: StoreErrorCode; message: string } {
  if (error instanceof Malformed) return { code: 'invalid', message: error.message };
  if (error instanceof StoreError) return { code: error.code, message: error.message };
  throw error;
}
