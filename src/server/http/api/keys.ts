/**
 * server/http/api/: The keys API of etcd v2, and the API between soradns servers.
 * Imports: dns, server/http/exchange, service, store, store/embedded, store/http, timing, zone/tree.
 * Used by: app, server/http.
 *
 * This file serves /v2/keys, etcd's v2 keys API over any store: it parses the request and writes the reply.
 * keysRead.ts, keysWrite.ts and wait.ts carry the request out.
 */
import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import type { Store } from '../../../store/store.ts';
import { withDeadline } from '../../../timing/deadline.ts';
import {
  type Exchange,
  type HttpReply,
  jsonReply,
  methodNotAllowed,
  type ReplyStream,
  textReply,
} from '../exchange/exchange.ts';
import type { LingeringPermits, Permits } from '../exchange/permits.ts';
import type { YieldLoop } from '../exchange/yieldLoop.ts';
import type { ChangeTexts } from './changeTexts.ts';
import { type KeyParameters, parseKeyParameters } from './form.ts';
import { keyOfPath } from './keyPath.ts';
import { getKey, type KeysListing, type KeysOutcome } from './keysRead.ts';
import { deleteKey, postKey, putKey } from './keysWrite.ts';
import { failure, failureReply, orStoreFailure, type V2Failure } from './v2Responses.ts';
import {
  nextEvent,
  streamEvents,
  type WaitOutcome,
  type WaitRequest,
  type WaitShared,
} from './wait.ts';

/** The resources that all requests of a listener share. */
export interface SharedResources extends WaitShared {
  /** For waiting requests. */
  readonly waits: Permits;
  /** For long listings, which are in memory until they are sent. */
  readonly listings: LingeringPermits;
  /** For long replies that are read from the store piece by piece. */
  readonly longReplies: LingeringPermits;
  readonly yieldLoop: YieldLoop;
  readonly changeTexts: ChangeTexts;
}

const PIECE_CHARACTERS = 64 * 1024;
const METHODS = ['HEAD', 'GET', 'PUT', 'POST', 'DELETE'];

/** Answers a request below /v2/keys. False: the path, after cleaning, is not below /v2/keys. */
export async function serveKeys(
  store: Store,
  exchange: Exchange,
  shared: SharedResources,
): Promise<boolean> {
  const path = keyOfPath(exchange.path);
  if (path.kind === 'elsewhere') return false;
  if (path.kind === 'malformed') exchange.send(textReply(400, '400 Bad Request'));
  else if (!METHODS.includes(exchange.method)) exchange.send(methodNotAllowed(METHODS));
  else if (path.kind === 'refused') sendFailure(store, exchange, failure(209, path.cause));
  else await serveKey(store, path.key, exchange, shared);
  return true;
}

async function serveKey(store: Store, key: string, exchange: Exchange, shared: SharedResources) {
  const p = await parametersOf(exchange);
  if (p === 'broken') return;
  if (p.kind === 'failure') return sendFailure(store, exchange, p);
  if (p.wait) return serveWait(store, key, p, exchange, shared);
  const outcome = await orStoreFailure(() => carryOut(store, key, p, exchange, shared));
  if (outcome.kind === 'failure') return sendFailure(store, exchange, outcome);
  if (outcome.kind === 'listing') {
    return sendListing(store, outcome, exchange, shared.yieldLoop).finally(outcome.release);
  }
  const { status, index, event } = outcome;
  exchange.send(withIdentity(store, jsonReply(status, event, { 'X-Etcd-Index': String(index) })));
}

/** Sends a short listing in one piece, and a long one as a stream that lets the event loop run other work. */
async function sendListing(
  store: Store,
  { index, text }: KeysListing,
  exchange: Exchange,
  yieldLoop: YieldLoop,
): Promise<void> {
  const headers = okHeaders(store, index);
  let stream: ReplyStream | undefined;
  let pending = '';
  for (const piece of text) {
    pending += piece;
    if (pending.length < PIECE_CHARACTERS) continue;
    stream ??= exchange.stream(headers);
    if (!(await stream.write(pending))) return;
    await yieldLoop();
    pending = '';
  }
  if (stream === undefined) return exchange.send({ status: 200, headers, body: pending });
  await stream.write(pending);
  stream.end();
}

async function carryOut(
  store: Store,
  key: string,
  p: KeyParameters,
  exchange: Exchange,
  shared: SharedResources,
): Promise<KeysOutcome | KeysListing> {
  switch (exchange.method) {
    case 'PUT':
      return putKey(store, key, p);
    case 'POST':
      return postKey(store, key, p);
    case 'DELETE':
      return deleteKey(store, key, p);
    default:
      return getKey(store, key, p, (what) =>
        (what === 'leaf' ? shared.longReplies : shared.listings).acquire(exchange),
      );
  }
}

async function parametersOf(exchange: Exchange): Promise<KeyParameters | V2Failure | 'broken'> {
  const { method, query } = exchange;
  if (method !== 'PUT' && method !== 'POST')
    return parseKeyParameters(readingMethod(method), query, '');
  const body = await exchange.readBody();
  switch (body.kind) {
    case 'broken':
      return 'broken';
    case 'too large':
      return failure(210, `the body is larger than ${body.limitOctets} octets`, 0, 413);
    case 'body':
      return parseBody(exchange, body.octets);
  }
}

/** HEAD is a GET without a body in the reply. */
function readingMethod(method: string): string {
  return method === 'HEAD' ? 'GET' : method;
}

function parseBody({ method, query, headers }: Exchange, octets: Buffer) {
  const type = headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  // etcd ignores another body and sets an empty value; an error helps the client more.
  if (octets.length > 0 && type !== undefined && type !== 'application/x-www-form-urlencoded') {
    const cause = `the body is ${JSON.stringify(type)}, not application/x-www-form-urlencoded`;
    return failure(210, cause);
  }
  // curl -d sends raw UTF-8; other clients percent-encode it.
  if (!isUtf8(octets)) return failure(209, 'the form holds octets that are not UTF-8');
  return parseKeyParameters(method, query, octets.toString('utf8'));
}

async function serveWait(
  store: Store,
  key: string,
  p: KeyParameters,
  exchange: Exchange,
  shared: SharedResources,
): Promise<void> {
  const release = await shared.waits.acquire(exchange.caller);
  if (release === undefined) {
    return sendFailure(store, exchange, failure(300, 'too many requests are waiting', 0, 503));
  }
  try {
    const current = await orStoreFailure(() => store.get(key));
    if ('kind' in current) return sendFailure(store, exchange, current);
    const { revision } = current;
    const fromRevision = p.waitIndex > 0 ? p.waitIndex : revision + 1;
    const hasWaitIndex = p.waitIndex > 0;
    const what: WaitRequest = { key, recursive: p.recursive, fromRevision, hasWaitIndex };
    await (p.stream ? reportAll : reportNext)(store, what, revision, exchange, shared);
  } finally {
    release();
  }
}

async function reportNext(
  store: Store,
  what: WaitRequest,
  revision: number,
  exchange: Exchange,
  shared: SharedResources,
): Promise<void> {
  const headers = okHeaders(store, revision);
  const waiting = nextEvent(store, what, exchange.signal, shared);
  const early = await withDeadline(waiting, HEAD_DELAY_MS, () => undefined);
  if (early !== undefined) return sendWaited(store, exchange, early, headers, revision);
  // The event may come late. A client with a deadline for the reply's head gets the head first.
  const stream = exchange.stream(headers);
  const waited = await waiting;
  if (waited.kind === 'event') await stream.write(waited.line);
  stream.end();
}

async function reportAll(
  store: Store,
  what: WaitRequest,
  revision: number,
  exchange: Exchange,
  shared: SharedResources,
): Promise<void> {
  const stream = exchange.stream(okHeaders(store, revision));
  await streamEvents(store, what, exchange.signal, shared, async (line) => {
    if (line.length > PIECE_CHARACTERS) await shared.yieldLoop();
    return stream.write(line);
  });
  stream.end();
}

/** Errors of a wait (a cleared index) occur at once. After this time the reply's head is sent as a success. */
const HEAD_DELAY_MS = 500;

function sendWaited(
  store: Store,
  exchange: Exchange,
  waited: WaitOutcome,
  headers: Readonly<Record<string, string>>,
  revision: number,
): void {
  if (waited.kind === 'event') {
    exchange.send({ status: 200, headers, body: waited.line });
  } else if (waited.kind === 'aborted') {
    sendFailure(store, exchange, failure(400, 'the server is stopping', revision));
  } else sendFailure(store, exchange, { ...waited, index: revision });
}

function okHeaders(store: Store, revision: number): Record<string, string> {
  return {
    'Content-Type': 'application/json',
    'X-Etcd-Index': String(revision),
    'X-Etcd-Cluster-Id': clusterId(store),
  };
}

function sendFailure(store: Store, exchange: Exchange, what: V2Failure): void {
  exchange.send(withIdentity(store, failureReply(what)));
}

function withIdentity(store: Store, reply: HttpReply): HttpReply {
  return { ...reply, headers: { ...reply.headers, 'X-Etcd-Cluster-Id': clusterId(store) } };
}

/** The same for the same store, because clients complain when it changes. */
export function clusterId({ label }: Store): string {
  const known = clusterIds.get(label);
  if (known !== undefined) return known;
  const id = createHash('sha256').update(label).digest('hex').slice(0, 16);
  clusterIds.set(label, id);
  return id;
}

/** A process has few stores. */
const clusterIds = new Map<string, string>();
