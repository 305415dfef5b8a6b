/** The two calls of /v1/store that answer with lines of JSON: a snapshot, and the changes of a watch. */
import type { Entry } from '../../service/change.ts';
import { entryToJson, Malformed, pastFromJson } from '../../store/http/wire.ts';
import {
  type LeaseStore,
  type SnapshotPage,
  StoreError,
  type WatchBatch,
} from '../../store/store.ts';
import { LINE_OCTETS } from './changeTexts.ts';
import type { Exchange, ReplyStream } from './exchange.ts';
import type { Shared } from './keys.ts';
import { errorLine, parseJson, prefixOf, tooManyLong } from './storeCalls.ts';

const LINES = { 'Content-Type': 'application/x-ndjson' };
/** A snapshot up to this size is free. */
const SHORT_OCTETS = 64 * 1024;
/** What an entry has in its JSON besides its key and value, roughly. */
const ENTRY_OCTETS = 150;

export async function sendSnapshot(
  store: LeaseStore,
  prefix: string,
  exchange: Exchange,
  shared: Shared,
): Promise<void> {
  const pages = store.snapshot(prefix)[Symbol.asyncIterator]();
  let leave: (() => void) | undefined;
  let stream: ReplyStream | undefined;
  try {
    // The head waits for the first pages, so that an error still has its status.
    const first = await pages.next();
    const second = isShort(first) ? await pages.next() : undefined;
    if (second?.done !== true) leave = await longReply(exchange, shared);
    stream = exchange.stream(LINES);
    if (!(await writePage(stream, first))) return;
    let next = second ?? (await pages.next());
    while (next.done !== true) {
      if (!(await writePage(stream, next))) return;
      next = await pages.next();
    }
    await stream.write('{"end":true}\n');
  } catch (error) {
    if (stream === undefined) throw error;
    await stream.write(errorLine(error));
  } finally {
    await pages.return?.();
    leave?.();
    stream?.end();
  }
}

async function longReply({ asker }: Exchange, { longReplies }: Shared): Promise<() => void> {
  const leave = await longReplies.take(asker);
  if (leave !== undefined) return leave;
  throw tooManyLong();
}

function isShort({ value, done }: IteratorResult<SnapshotPage>): boolean {
  if (done === true) return true;
  const entries: readonly Entry[] = value.entries;
  return entries.reduce((sum, entry) => sum + octetsOf(entry), 0) <= SHORT_OCTETS;
}

function octetsOf({ key, value }: Entry): number {
  return key.length + value.length + ENTRY_OCTETS;
}

async function writePage(
  stream: ReplyStream,
  { value, done }: IteratorResult<SnapshotPage>,
): Promise<boolean> {
  if (done === true) return true;
  for (const line of pageLines(value)) if (!(await stream.write(line))) return false;
  return true;
}

/** At least one line. */
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
  shared: Shared,
  heartbeatMs: number,
): Promise<void> {
  const prefix = prefixOf(query.get('prefix') ?? '');
  const fromRevision = Number(query.get('from'));
  if (!Number.isSafeInteger(fromRevision)) throw new Malformed('"from" must be a revision');
  const pastText = query.get('past');
  const past = pastText === null ? undefined : pastFromJson(parseJson(pastText));
  const leave = await shared.waits.take(exchange.asker);
  if (leave === undefined) {
    throw new StoreError(
      'unavailable',
      'too many requests are waiting, or too many of this address',
    );
  }
  const stream = exchange.stream(LINES);
  const heart = setInterval(() => void stream.write('{}\n'), heartbeatMs);
  try {
    await stream.write('{}\n');
    const batches = store.watch(prefix, fromRevision, exchange.signal, past);
    for await (const batch of batches) {
      if (!(await writeBatch(stream, batch, shared))) return;
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

async function writeBatch(
  stream: ReplyStream,
  batch: WatchBatch,
  { changeTexts, giveWay }: Shared,
): Promise<boolean> {
  for (const line of changeTexts.linesOf(batch)) {
    // All who watch are told, one in a turn, so that others have theirs in between.
    if (line.length > 1) await giveWay();
    if (!(await stream.write(line))) return false;
  }
  return true;
}
