/**
 * A bidirectional gRPC stream over one stream of `node:http2`. It delivers the messages that arrive in one turn of the
 * event loop together, as octets. grpc-js would take about as much CPU time for each message as all other work on a
 * change.
 */
import {
  type ClientHttp2Stream,
  constants,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
} from 'node:http2';
import { GRPC, GrpcFailure, malformed } from './failure.ts';

/** Octets before each message: one for compression, four with the length. */
const HEAD_OCTETS = 5;
/** etcd sends no longer message (gRPC's limit in Go). */
const MAX_MESSAGE_OCTETS = 2 ** 31 - 1;
/** With this much that the reader has not taken, the stream stops reading, and soon etcd stops sending. */
const MAX_WAITING_OCTETS = 1 << 20;
const OK = 200;

export class GrpcStream {
  readonly #stream: ClientHttp2Stream;
  readonly #onEnded: (stream: GrpcStream) => void;
  readonly #cutter = new MessageCutter();
  /** Messages that the reader has not taken. */
  #waiting: Buffer[] = [];
  #waitingOctets = 0;
  #isTurnPending = false;
  #wakeReader: (() => void) | undefined;
  /** The status that etcd sent. */
  #status: GrpcFailure | 'ok' | undefined;
  #hasEnded = false;
  #failure: Error | undefined;

  /** `onEnded` is called once, when the stream carries no more messages. */
  constructor(stream: ClientHttp2Stream, onEnded: (stream: GrpcStream) => void) {
    this.#stream = stream;
    this.#onEnded = onEnded;
    stream.on('response', (headers) => this.#onResponse(headers));
    stream.on('data', (chunk: Buffer) => this.#onData(chunk));
    stream.on('trailers', (headers) => this.#readStatus(headers));
    stream.on('error', (error) => this.#end(unavailable(reasonOf(error))));
    // etcd may end its side only.
    stream.on('end', () => this.#onEnd());
    stream.on('close', () => this.#onEnd());
  }

  write(message: Buffer): void {
    if (this.#hasEnded) return;
    const head = Buffer.alloc(HEAD_OCTETS);
    head.writeUInt32BE(message.length, 1);
    this.#stream.write(Buffer.concat([head, message]));
  }

  /** Ends the stream. A reader gets an error. */
  cancel(): void {
    this.#end(new GrpcFailure(GRPC.cancelled, 'the stream was cancelled'));
  }

  /**
   * The messages of one turn after the other. The iteration ends with the stream, and throws unless etcd sent the
   * status 0.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<readonly Buffer[], void, undefined> {
    for (;;) {
      const messages = this.#take();
      if (messages.length > 0) yield messages;
      else if (this.#failure !== undefined) throw this.#failure;
      else if (this.#hasEnded) return;
      else await new Promise<void>((resolve) => this.#setReader(resolve));
    }
  }

  #setReader(wake: () => void): void {
    this.#wakeReader = wake;
  }

  #take(): readonly Buffer[] {
    if (this.#isTurnPending) return [];
    const messages = this.#waiting;
    this.#waiting = [];
    this.#waitingOctets = 0;
    if (this.#stream.isPaused()) this.#stream.resume();
    return messages;
  }

  #onData(chunk: Buffer): void {
    if (this.#hasEnded) return;
    const known = this.#waiting.length;
    if (!this.#cutter.cut(chunk, this.#waiting)) {
      this.#end(malformed('a readable message'));
      return;
    }
    for (let i = known; i < this.#waiting.length; i++)
      this.#waitingOctets += (this.#waiting[i] as Buffer).length;
    if (this.#waitingOctets > MAX_WAITING_OCTETS) this.#stream.pause();
    if (this.#isTurnPending || this.#waiting.length === 0) return;
    this.#isTurnPending = true;
    // Node calls this function for each frame. The next phase of the event loop begins when all frames that have
    // arrived are read.
    setImmediate(() => {
      this.#isTurnPending = false;
      this.#wake();
    });
  }

  #wake(): void {
    const wake = this.#wakeReader;
    this.#wakeReader = undefined;
    wake?.();
  }

  #onResponse(headers: IncomingHttpHeaders & IncomingHttpStatusHeader): void {
    if (headers[':status'] !== OK) this.#end(unavailable(`HTTP status ${headers[':status']}`));
    else this.#readStatus(headers);
  }

  /** A response without messages has the status in its headers, any other in its trailers. */
  #readStatus(headers: IncomingHttpHeaders): void {
    const code = headers['grpc-status'];
    if (code === undefined) return;
    const text = percentDecoded(String(headers['grpc-message'] ?? ''));
    this.#status = code === '0' ? 'ok' : new GrpcFailure(Number(code), text);
  }

  #onEnd(): void {
    const status = this.#status;
    if (status === 'ok') this.#end(undefined);
    else this.#end(status ?? unavailable('the connection was closed'));
  }

  #end(failure: Error | undefined): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#failure = failure;
    // A stream without a connection would only close after it has connected.
    if (this.#stream.pending) this.#stream.destroy();
    else if (!this.#stream.closed) this.#stream.close(constants.NGHTTP2_CANCEL);
    this.#onEnded(this);
    if (!this.#isTurnPending) this.#wake();
  }
}

/** Cuts the octets of a gRPC stream into messages. */
export class MessageCutter {
  /** The beginning of a message, and the number of octets without which no more of it can be read. */
  #parts: Buffer[] = [];
  #octets = 0;
  #needed = 0;

  /** Appends the messages that this chunk completes. False: the stream is not gRPC, or has a compressed message. */
  cut(chunk: Buffer, messages: Buffer[]): boolean {
    this.#parts.push(chunk);
    this.#octets += chunk.length;
    if (this.#octets < this.#needed) return true;
    const octets = this.#parts.length === 1 ? chunk : Buffer.concat(this.#parts, this.#octets);
    let at = 0;
    let end = HEAD_OCTETS;
    for (; end <= octets.length; end = at + HEAD_OCTETS) {
      const length = octets.readUInt32BE(at + 1);
      if (octets[at] !== 0 || length > MAX_MESSAGE_OCTETS) return false;
      end += length;
      if (end > octets.length) break;
      messages.push(octets.subarray(end - length, end));
      at = end;
    }
    this.#parts = at === octets.length ? [] : [octets.subarray(at)];
    this.#octets = octets.length - at;
    this.#needed = end - at;
    return true;
  }
}

function unavailable(reason: string): GrpcFailure {
  return new GrpcFailure(GRPC.unavailable, reason);
}

/** `node:http2` gives the reason of a failed connection as the cause of the stream's error. */
function reasonOf(error: Error): string {
  return error.cause instanceof Error ? error.cause.message : error.message;
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
