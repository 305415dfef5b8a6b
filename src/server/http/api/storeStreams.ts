/**
 * The snapshot and the watch of /v1/store, which reply with lines of JSON, and the arguments and errors of all calls of
 * /v1/store.
 */
import { Malformed, parseJsonText } from '../../../store/http/json.ts';
import { entryToJson, followedHistoryFromJson } from '../../../store/http/wire.ts';
import { checkPath, checkPrefixPath } from '../../../store/limits.ts';
import {
  type LeaseStore,
  type SnapshotPage,
  StoreError,
  type StoreErrorCode,
  type WatchBatch,
} from '../../../store/store.ts';
import {
  type Exchange,
  type HttpReply,
  jsonReply,
  type ReplyStream,
} from '../exchange/exchange.ts';
import { LINE_OCTETS } from './changeTexts.ts';
import { NeedsToken } from './guardedStore.ts';
import type { SharedResources } from './keys.ts';

const LINES = { 'Content-Type': 'application/x-ndjson' };
/** Several short snapshots of one client at once run one after another within this time, so none of them fails. */
const PERMIT_WAIT_MS = 2_000;
/** A reply up to this size frees its permit at once, because the kernel buffers it even if the client reads nothing. */
const SHORT_OCTETS = 64 * 1024;

/** The snapshot takes a permit before it reads anything, so that reads for many clients at once are bounded too. */
export async function sendSnapshot(
  store: LeaseStore,
  prefix: string,
  exchange: Exchange,
  shared: SharedResources,
): Promise<void> {
  const release = await shared.longReplies.acquire(exchange, PERMIT_WAIT_MS);
  if (release === undefined) {
    // Refusals of many clients are spread over several turns of the event loop.
    await shared.yieldLoop();
    throw tooManyLong();
  }
  let octets = 0;
  let stream: ReplyStream | undefined;
  try {
    for await (const page of store.snapshot(prefix)) {
      // The head waits for the first page, so that an early error still has its status.
      stream ??= exchange.stream(LINES);
      for (const line of pageLines(page)) {
        octets += line.length;
        if (!(await stream.write(line))) return;
      }
    }
    await stream?.write('{"end":true}\n');
  } catch (error) {
    if (stream === undefined) throw error;
    await stream.write(errorLine(error));
  } finally {
    stream?.end();
    release(octets <= SHORT_OCTETS);
  }
}

/** Yields at least one line. */
function* pageLines({ revision, history, entries }: SnapshotPage): Generator<string> {
  const head = `{"revision":${revision},"history":${JSON.stringify(history)},"entries":[`;
  let line = head;
  for (const entry of entries) {
    if (line.length > LINE_OCTETS) {
      yield `${line}]}\n`;
      line = head;
    }
    const separator = line === head ? '' : ',';
    line += separator + JSON.stringify(entryToJson(entry, performance.now()));
  }
  yield `${line}]}\n`;
}

export async function sendWatch(
  store: LeaseStore,
  query: URLSearchParams,
  exchange: Exchange,
  shared: SharedResources,
  heartbeatMs: number,
): Promise<void> {
  const prefix = checkedPrefix(query.get('prefix') ?? '');
  const fromRevision = Number(query.get('from'));
  if (!Number.isSafeInteger(fromRevision) || fromRevision < 0) {
    throw new Malformed('"from" must be a revision');
  }
  const pastText = query.get('past');
  const followed = pastText === null ? undefined : followedHistoryFromJson(parseJsonText(pastText));
  const release = await shared.waits.acquire(exchange.caller);
  if (release === undefined) {
    throw new StoreError(
      'unavailable',
      'too many requests are waiting, or too many of this address',
    );
  }
  const stream = exchange.stream(LINES);
  const heart = setInterval(() => void stream.write('{}\n'), heartbeatMs);
  try {
    await stream.write('{}\n');
    const batches = store.watch(prefix, fromRevision, exchange.signal, followed);
    for await (const batch of batches) {
      if (!(await writeBatch(stream, batch, shared))) return;
    }
    // The server is stopping. Without this line the client would wait for its deadline.
    await stream.write(errorLine(new StoreError('unavailable', 'the server is stopping')));
  } catch (error) {
    await stream.write(errorLine(error));
  } finally {
    clearInterval(heart);
    release();
    stream.end();
  }
}

async function writeBatch(
  stream: ReplyStream,
  batch: WatchBatch,
  { changeTexts, yieldLoop }: SharedResources,
): Promise<boolean> {
  for (const line of changeTexts.linesOf(batch)) {
    // A long line goes to one watcher in a turn of the event loop, so that other work runs in between.
    if (line.length > 1) await yieldLoop();
    if (!(await stream.write(line))) return false;
  }
  return true;
}

const STATUS: Readonly<Record<StoreErrorCode, number>> = {
  unavailable: 503,
  compacted: 410,
  replaced: 410,
  denied: 403,
  invalid: 400,
};

/** Throws for an invalid prefix, which some stores would take for a range of all keys. */
export function checkedPrefix(text: string): string {
  checkPrefixPath(text);
  return text;
}

export function checkedKey(text: string): string {
  checkPath(text);
  return text;
}

function errorLine(error: unknown): string {
  return `${JSON.stringify({ error: describeError(error) })}\n`;
}

export function errorReply(error: unknown): HttpReply {
  const { code, message } = describeError(error);
  const status = error instanceof NeedsToken ? 401 : STATUS[code];
  return jsonReply(status, { error: { code, message } });
}

/** The code and message of an error of the store or of the request. Rethrows any other error, because it is a bug. */
function describeError(error: unknown): { code: StoreErrorCode; message: string } {
  if (error instanceof Malformed) return { code: 'invalid', message: error.message };
  if (error instanceof StoreError) return { code: error.code, message: error.message };
  throw error;
}

export function tooManyLong(): StoreError {
  return new StoreError(
    'unavailable',
    'too many long replies at once, or too many of this address',
  );
}
