/**
 * One watch on one stream, from a revision on: what etcd sends, as batches. It ends when the stream does; the caller
 * holds the cursor and starts the next one.
 *
 * The cursor moves by events seen, and by progress notices that carry our watch id: etcd sends those through the same
 * queue as the events, and only while the watch is up to date. Not by any other header revision: the one of `created`,
 * and that of an answer to our own progress request (before etcd 3.4.25 and 3.5.8), may be ahead of events still to
 * come. So the answers to our requests only show that the member lives.
 */
import type { Lease } from '../../service/change.ts';
import { StoreError, type WatchBatch } from '../store.ts';
import type { WatchMessage, WatchStream } from './endpoint.ts';
import { storeErrorOf } from './failure.ts';
import { batchesOf, keyBytes, prefixEnd, type WireEvent } from './translate.ts';

/** The watch id of the answer to a progress request: it stands for all watches of the stream. */
const PROGRESS_ANSWER = '-1';

export interface WatchRequest {
  readonly prefix: string;
  readonly fromRevision: number;
  /** What the member had reached before. */
  readonly memberRevision: number;
  readonly signal: AbortSignal;
  readonly leaseOf: (id: string) => Lease;
  /** How long to wait for the first message. */
  readonly createTimeoutMs: number;
  /** After so much silence the member is asked for a sign of life; after as much again without one it is dead. */
  readonly silenceMs: number;
}

/** The batches of a watch. Throws StoreError, or ends without a word when the signal was aborted. */
export async function* watchStream(
  stream: WatchStream,
  request: WatchRequest,
): AsyncGenerator<WatchBatch> {
  const guard = new SilenceGuard(stream, request);
  const abort = (): void => stream.cancel();
  request.signal.addEventListener('abort', abort);
  try {
    if (request.signal.aborted) return;
    stream.write({ create_request: createRequest(request) });
    yield* readBatches(request, guard);
    throw new StoreError('unavailable', 'etcd ended the watch');
  } catch (error) {
    if (request.signal.aborted) return;
    throw guard.failure ?? storeErrorOf(error, 'etcd watch');
  } finally {
    guard.stop();
    request.signal.removeEventListener('abort', abort);
    stream.cancel();
  }
}

/**
 * Since 3.4.25 and 3.5.8 etcd answers no progress request on a watch that starts in its future: it would show no sign of
 * life until something happens. The watch therefore starts at the member's own revision, and `newBatches` drops what was
 * not asked for.
 */
const createRequest = ({ prefix, fromRevision, memberRevision }: WatchRequest) => ({
  key: keyBytes(prefix),
  range_end: prefixEnd(prefix),
  start_revision: String(Math.min(fromRevision, memberRevision)),
  prev_kv: true,
  progress_notify: true,
});

async function* readBatches(
  request: WatchRequest,
  guard: SilenceGuard,
): AsyncGenerator<WatchBatch> {
  let watchId: string | undefined;
  let fragments: WireEvent[] = [];
  for await (const message of guard.messages()) {
    if (message.created && watchId === undefined) watchId = message.watch_id;
    if (message.watch_id !== watchId) continue;
    if (message.canceled) throw cancellation(message);
    // The watch stands: worth a batch, but nothing has been seen yet.
    if (message.created) yield { revision: request.fromRevision - 1, changes: [] };
    const events = fragments.concat(message.events);
    fragments = message.fragment ? events : [];
    if (message.fragment || message.created) continue;
    if (events.length > 0) yield* newBatches(events, request);
    else yield* progress(message, request.fromRevision);
  }
}

function* newBatches(
  events: readonly WireEvent[],
  { fromRevision, leaseOf }: WatchRequest,
): Generator<WatchBatch> {
  for (const batch of batchesOf(events, leaseOf)) if (batch.revision >= fromRevision) yield batch;
}

function* progress(message: WatchMessage, fromRevision: number): Generator<WatchBatch> {
  const revision = Number(message.header?.revision ?? 0);
  if (revision >= fromRevision) yield { revision, changes: [] };
}

function cancellation(message: WatchMessage): StoreError {
  if (message.compact_revision !== '0') {
    return new StoreError('compacted', `etcd forgot all before ${message.compact_revision}`);
  }
  const reason = message.cancel_reason || 'no reason given';
  return storeErrorOf(new Error(reason), 'etcd ended the watch');
}

/** Reads a stream, and cancels it when nothing comes any more while the reader waits. */
class SilenceGuard {
  failure: StoreError | undefined;
  readonly #stream: WatchStream;
  readonly #silenceMs: number;
  #timer: NodeJS.Timeout;
  #answersProgress = false;

  constructor(stream: WatchStream, options: { createTimeoutMs: number; silenceMs: number }) {
    this.#stream = stream;
    this.#silenceMs = options.silenceMs;
    this.#timer = setTimeout(() => this.#giveUp(), options.createTimeoutMs);
  }

  /** The stream's messages. The time that the reader takes for one does not count as silence. */
  async *messages(): AsyncGenerator<WatchMessage> {
    for await (const message of this.#stream) {
      this.stop();
      // etcd before 3.4 ignores progress requests: then gRPC's keepalive alone must find a dead peer.
      if (message.created) this.#ask();
      else if (message.watch_id === PROGRESS_ANSWER) this.#answersProgress = true;
      yield message;
      this.#timer = setTimeout(() => this.#onSilence(), this.#silenceMs);
    }
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #onSilence(): void {
    this.#ask();
    if (!this.#answersProgress) return;
    this.#timer = setTimeout(() => this.#giveUp(), this.#silenceMs);
  }

  #ask(): void {
    this.#stream.write({ progress_request: {} });
  }

  #giveUp(): void {
    this.failure = new StoreError('unavailable', 'etcd watch: no sign of life');
    this.#stream.cancel();
  }
}
