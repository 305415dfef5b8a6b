/**
 * One watch on one stream: etcd's messages from a revision on, as batches. The watch ends when the stream ends; the
 * caller keeps the last batch's revision and starts the next watch.
 *
 * A batch takes its revision from events, or from a progress notice with the watch's own id: etcd sends such notices
 * through the same queue as the events, and only while the watch is up to date. Other header revisions are not used.
 * The revision of `created`, and of an answer to a progress request (before etcd 3.4.25 and 3.5.8), may be ahead of
 * events that etcd has not sent yet. So an answer to a progress request gives no revision.
 *
 * Such an answer reports that the watch is established: later versions answer only once all events up to then are sent,
 * and earlier ones are asked only after a pause in which they would have sent more.
 */
import { type Change, type Lease, revisionOf } from '../../service/change.ts';
import { StoreError, type WatchBatch } from '../store.ts';
import { malformed, storeErrorOf } from './failure.ts';
import type { GrpcStream } from './grpcStream.ts';
import { batchesOf, changesOf, keyBytes, prefixEnd } from './translate.ts';
import {
  decodeWatchMessage,
  encodeCreateRequest,
  PROGRESS_REQUEST,
  type WatchEvent,
  type WatchMessage,
} from './watchCodec.ts';

/** The watch id in an answer to a progress request, which is about all watches of the stream. */
const PROGRESS_ANSWER = -1;
/**
 * How long the process reads its sockets before it gives a silent member up. Timers run before sockets are read, so after
 * a time in which the process was busy, the message that a timer waits for may have arrived without being read.
 */
const LAST_LOOK_MS = 100;
/** The pause before the first progress request. etcd looks for earlier events every 100 ms. */
const QUIET_MS = 200;

export interface WatchRequest {
  readonly prefix: string;
  readonly fromRevision: number;
  /** The member's revision when the watch was opened. */
  readonly memberRevision: number;
  readonly signal: AbortSignal;
  readonly leaseOf: (id: string) => Lease;
  /** See `Store.watchMerged`. */
  readonly isMerged: boolean;
  /** How long to wait for the first message. */
  readonly createTimeoutMs: number;
  /** After this long without a message the watch requests a sign of life. After the same time again it ends. */
  readonly silenceMs: number;
}

/** The batches of a watch. Throws StoreError, or ends silently when the signal is aborted. */
export async function* watchStream(
  stream: GrpcStream,
  request: WatchRequest,
): AsyncGenerator<WatchBatch> {
  const guard = new SilenceGuard(stream, request);
  const abort = (): void => stream.cancel();
  request.signal.addEventListener('abort', abort);
  try {
    if (request.signal.aborted) return;
    stream.write(createRequest(request));
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
function createRequest({ prefix, fromRevision, memberRevision, isMerged }: WatchRequest): Buffer {
  return encodeCreateRequest({
    key: keyBytes(prefix),
    rangeEnd: prefixEnd(prefix),
    startRevision: Math.min(fromRevision, memberRevision),
    withPrevious: !isMerged,
  });
}

async function* readBatches(
  request: WatchRequest,
  guard: SilenceGuard,
): AsyncGenerator<WatchBatch> {
  const { fromRevision, memberRevision } = request;
  let reached = fromRevision - 1;
  let isEstablished = false;
  let watchId: number | undefined;
  let fragments: readonly WatchEvent[] = [];
  for await (const messages of guard.messages()) {
    const changes: Change[] = [];
    let revision = 0;
    let isAnswered = false;
    let end: StoreError | undefined;
    for (const message of messages) {
      if (message.created && watchId === undefined) watchId = message.watchId;
      if (message.watchId === PROGRESS_ANSWER) isAnswered = true;
      if (message.watchId !== watchId) continue;
      if (message.canceled) {
        end = cancellation(message);
        break;
      }
      const events = fragments.length === 0 ? message.events : fragments.concat(message.events);
      fragments = message.fragment ? events : [];
      if (message.fragment || message.created) continue;
      if (events.length === 0) revision = message.revision;
      else addChanges(changes, events, request);
    }
    for (const batch of newBatches(changes, revision, request)) {
      reached = batch.revision;
      yield batch;
    }
    const isReached = watchId !== undefined && reached >= memberRevision;
    if (!isEstablished && end === undefined && (isAnswered || isReached)) {
      isEstablished = true;
      yield { revision: reached, changes: [] };
    }
    if (end !== undefined) throw end;
  }
}

function addChanges(
  changes: Change[],
  events: readonly WatchEvent[],
  { fromRevision, leaseOf }: WatchRequest,
): void {
  for (const change of changesOf(events, leaseOf))
    if (revisionOf(change) >= fromRevision) changes.push(change);
}

/** Batches with the changes of one turn. `progress` is the revision of a notice of progress; 0 without one. */
function* newBatches(
  changes: readonly Change[],
  progress: number,
  { fromRevision, isMerged }: WatchRequest,
): Generator<WatchBatch> {
  const last = changes.at(-1);
  const changed = last === undefined ? 0 : revisionOf(last);
  if (isMerged) {
    const revision = Math.max(changed, progress);
    if (revision >= fromRevision) yield { revision, changes };
    return;
  }
  yield* batchesOf(changes);
  if (progress >= fromRevision && progress > changed) yield { revision: progress, changes: [] };
}

function cancellation(message: WatchMessage): StoreError {
  if (message.compactRevision !== 0) {
    return new StoreError(
      'compacted',
      `etcd has compacted the revisions before ${message.compactRevision}`,
    );
  }
  const reason = message.cancelReason || 'no reason given';
  return storeErrorOf(new Error(reason), 'etcd ended the watch');
}

/** Reads a stream and cancels it when no message arrives while the reader waits for one. */
class SilenceGuard {
  failure: StoreError | undefined;
  readonly #stream: GrpcStream;
  readonly #silenceMs: number;
  #timer: NodeJS.Timeout;
  #answersProgress = false;
  #pauseMs: number;

  constructor(stream: GrpcStream, options: { createTimeoutMs: number; silenceMs: number }) {
    this.#stream = stream;
    this.#silenceMs = options.silenceMs;
    this.#pauseMs = Math.min(QUIET_MS, options.silenceMs);
    this.#timer = setTimeout(() => this.#lookOnce(), options.createTimeoutMs);
  }

  /** The stream's messages, those of one turn together. The reader's own time for them does not count as silence. */
  async *messages(): AsyncGenerator<readonly WatchMessage[]> {
    for await (const turn of this.#stream) {
      this.stop();
      const messages = turn.map(readMessage);
      for (const message of messages)
        if (message.watchId === PROGRESS_ANSWER) {
          this.#answersProgress = true;
          this.#pauseMs = this.#silenceMs;
        }
      yield messages;
      this.#timer = setTimeout(() => this.#onSilence(), this.#pauseMs);
    }
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #onSilence(): void {
    this.#stream.write(PROGRESS_REQUEST);
    if (this.#answersProgress) {
      this.#timer = setTimeout(() => this.#lookOnce(), this.#silenceMs);
      return;
    }
    // Until etcd has sent the earlier events it gives no answer, and only HTTP/2's pings find a dead peer.
    this.#pauseMs = Math.min(this.#pauseMs * 2, this.#silenceMs);
    this.#timer = setTimeout(() => this.#onSilence(), this.#pauseMs);
  }

  #lookOnce(): void {
    this.#timer = setTimeout(() => this.#giveUp(), LAST_LOOK_MS);
  }

  #giveUp(): void {
    this.failure = new StoreError('unavailable', 'etcd watch: no sign of life');
    this.#stream.cancel();
  }
}

function readMessage(octets: Buffer): WatchMessage {
  const message = decodeWatchMessage(octets);
  if (message === undefined) throw malformed('a readable message');
  return message;
}
