/**
 * One watch on one stream: etcd's messages from a revision on, as batches. The watch ends when the stream ends; the
 * caller keeps the last batch's revision and starts the next watch.
 *
 * A batch takes its revision from events, or from a progress notice with the watch's own id: etcd sends such notices
 * through the same queue as the events, and only while the watch is up to date. Other header revisions are not used.
 * The revision of `created`, and of an answer to a progress request (before etcd 3.4.25 and 3.5.8), may be ahead of
 * events that etcd has not sent yet. So an answer to a progress request shows only that the member lives.
 */
import type { Lease } from '../../service/change.ts';
import { StoreError, type WatchBatch } from '../store.ts';
import type { WatchMessage, WatchStream } from './endpoint.ts';
import { storeErrorOf } from './failure.ts';
import { batchesOf, keyBytes, prefixEnd, type WireEvent } from './translate.ts';

/** The watch id in an answer to a progress request, which is about all watches of the stream. */
const PROGRESS_ANSWER = '-1';

export interface WatchRequest {
  readonly prefix: string;
  readonly fromRevision: number;
  /** The member's revision when the watch was opened. */
  readonly memberRevision: number;
  readonly signal: AbortSignal;
  readonly leaseOf: (id: string) => Lease;
  /** How long to wait for the first message. */
  readonly createTimeoutMs: number;
  /** After this long without a message the watch requests a sign of life. After the same time again it ends. */
  readonly silenceMs: number;
}

/** The batches of a watch. Throws StoreError, or ends silently when the signal is aborted. */
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
 * Since 3.4.25 and 3.5.8 etcd does not answer progress requests on a watch that starts at a future revision, so such a
 * watch would show no sign of life before the first event. The watch therefore starts at the member's own revision at
 * the latest, and `newBatches` drops the batches before `fromRevision`.
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
    // This batch reports that the watch is established, before any change.
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
    return new StoreError(
      'compacted',
      `etcd has compacted the revisions before ${message.compact_revision}`,
    );
  }
  const reason = message.cancel_reason || 'no reason given';
  return storeErrorOf(new Error(reason), 'etcd ended the watch');
}

/** Reads a stream and cancels it when no message arrives while the reader waits for one. */
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

  /** The stream's messages. The reader's own time for a message does not count as silence. */
  async *messages(): AsyncGenerator<WatchMessage> {
    for await (const message of this.#stream) {
      this.stop();
      // etcd before 3.4 ignores progress requests; for it only gRPC's keepalive finds a dead peer.
      if (message.created) this.#requestProgress();
      else if (message.watch_id === PROGRESS_ANSWER) this.#answersProgress = true;
      yield message;
      this.#timer = setTimeout(() => this.#onSilence(), this.#silenceMs);
    }
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #onSilence(): void {
    this.#requestProgress();
    if (!this.#answersProgress) return;
    this.#timer = setTimeout(() => this.#giveUp(), this.#silenceMs);
  }

  #requestProgress(): void {
    this.#stream.write({ progress_request: {} });
  }

  #giveUp(): void {
    this.failure = new StoreError('unavailable', 'etcd watch: no sign of life');
    this.#stream.cancel();
  }
}
