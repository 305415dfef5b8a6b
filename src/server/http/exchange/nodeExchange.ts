/**
 * An `Exchange` over node:http's request and response, with the limits of one request: the size of its body, and the
 * time for which its reply may make no progress.
 */
import { IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type {
  Body,
  Caller,
  ClientConnection,
  Exchange,
  HttpReply,
  ReplyStream,
  Text,
} from './exchange.ts';
import type { Outbox } from './outbox.ts';

const SLICE_OCTETS = 256 * 1024;

export interface RequestLimits {
  readonly maxBodyOctets: number;
  /** The connection is closed after a reply has made no progress for this long. */
  readonly slowReaderMs: number;
  /** How long the rest of an unwanted body is discarded, so that the client can read its reply. */
  readonly lingerMs: number;
}

/** The listener's and the client's part of an exchange. */
export interface ExchangeContext {
  readonly limits: RequestLimits;
  readonly outbox: Outbox;
  readonly caller: Caller;
  readonly connection: ClientConnection;
}

/** Created once, because an error with a stack for each request is expensive. */
const GONE = new Error('the request is over');

/** One request's exchange, and the function with which the listener ends it. */
export interface NodeExchange {
  readonly exchange: Exchange;
  end(): void;
}

export function nodeExchange(
  request: IncomingMessage,
  response: ServerResponse,
  { limits, outbox, caller, connection }: ExchangeContext,
): NodeExchange {
  const out: ReplyOutput = { response, outbox, stallMs: limits.slowReaderMs };
  const [path = '/', query = ''] = splitTarget(request.url ?? '/');
  const ending = createEnding();
  // Without these listeners a broken connection is an uncaught exception.
  request.on('error', ending.end);
  response.on('error', ending.end);
  response.on('close', ending.end);
  const exchange: Exchange = {
    method: request.method ?? 'GET',
    path,
    query,
    headers: request.headers,
    caller,
    connection,
    keepOpen() {
      if (request.httpVersion !== '1.1') return false;
      if (response.shouldKeepAlive) return true;
      // The client requested a close. Node would close the connection as soon as the kernel has the reply; `end` lets
      // the client read the reply first.
      response.shouldKeepAlive = true;
      response.once('finish', () => request.socket.end());
      return true;
    },
    get signal() {
      return ending.signal();
    },
    readBody: (limit = limits.maxBodyOctets) => readBody(request, response, limit),
    send: (reply) => send(request, out, reply, limits.lingerMs),
    stream: (headers) => startStream(out, headers),
  };
  return { exchange, end: ending.end };
}

/** Most requests need no signal, and creating one costs more than the rest of a request. */
function createEnding(): { end(): void; signal(): AbortSignal } {
  let controller: AbortController | undefined;
  let isOver = false;
  return {
    end() {
      isOver = true;
      controller?.abort(GONE);
    },
    signal() {
      if (controller === undefined) {
        controller = new AbortController();
        if (isOver) controller.abort(GONE);
      }
      return controller.signal;
    },
  };
}

/** The target of a reply, and the time for which it may make no progress. */
interface ReplyOutput {
  readonly response: ServerResponse;
  readonly outbox: Outbox;
  readonly stallMs: number;
}

function splitTarget(target: string): [string, string] {
  const mark = target.indexOf('?');
  return mark < 0 ? [target, ''] : [target.slice(0, mark), target.slice(mark + 1)];
}

/** Keeps at most `limitOctets` of the body in memory. */
async function readBody(
  request: IncomingMessage,
  response: ServerResponse,
  limitOctets: number,
): Promise<Body> {
  const tooLarge: Body = { kind: 'too large', limitOctets };
  if (Number(request.headers['content-length'] ?? 0) > limitOctets) return tooLarge;
  if (request.headers.expect !== undefined) response.writeContinue();
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let octets = 0;
    request.on('data', (chunk: Buffer) => {
      octets += chunk.length;
      if (octets <= limitOctets) chunks.push(chunk);
      else {
        chunks.length = 0;
        request.pause();
        resolve(tooLarge);
      }
    });
    request.on('end', () => resolve({ kind: 'body', octets: Buffer.concat(chunks) }));
    request.on('close', () => resolve({ kind: 'broken' }));
  });
}

function send(
  request: IncomingMessage,
  out: ReplyOutput,
  reply: HttpReply,
  lingerMs: number,
): void {
  const { response } = out;
  if (response.headersSent || response.destroyed) return;
  const unread = !request.complete && hasBody(request);
  const body = typeof reply.body === 'string' ? Buffer.from(reply.body, 'utf8') : reply.body;
  response.writeHead(reply.status, {
    ...reply.headers,
    'Content-Length': body.length,
    ...(unread ? { Connection: 'close' } : {}),
  });
  if (unread) discardThenClose(request, lingerMs);
  void writeSlices(out, body);
}

/** Writes the body in slices: each accepted slice shows that the client still reads. Never rejects. */
async function writeSlices(out: ReplyOutput, body: Buffer): Promise<void> {
  let start = 0;
  for (; body.length - start > SLICE_OCTETS; start += SLICE_OCTETS) {
    if (!(await writeWithin(out, [body.subarray(start, start + SLICE_OCTETS)]))) return;
  }
  endWithin(out, body.subarray(start));
}

function hasBody({ headers }: IncomingMessage): boolean {
  const length = headers['content-length'];
  return headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}

/** Closing a connection with unread octets resets it, and a reset discards the reply. */
function discardThenClose(request: IncomingMessage, lingerMs: number): void {
  request.removeAllListeners('data');
  request.resume();
  const timer = setTimeout(() => request.socket.destroy(), lingerMs);
  request.socket.once('close', () => clearTimeout(timer));
}

function endWithin({ response, outbox, stallMs }: ReplyOutput, last: Buffer): void {
  response.end(last);
  // Node has sent nearly every short reply before this callback runs.
  setImmediate(() => {
    if (response.writableFinished || response.destroyed) return;
    const timer = setTimeout(() => response.destroy(), stallMs);
    const remove = outbox.add([last], () => response.destroy());
    response.once('close', () => {
      clearTimeout(timer);
      remove();
    });
  });
}

function startStream(out: ReplyOutput, headers: Readonly<Record<string, string>>): ReplyStream {
  const { response } = out;
  if (!response.headersSent && !response.destroyed) {
    response.writeHead(200, headers);
    response.flushHeaders();
  }
  return {
    write: (text) => writeWithin(out, buffersOf(text)),
    end: () => endWithin(out, NOTHING),
  };
}

const NOTHING = Buffer.alloc(0);

function buffersOf(text: Text): readonly Buffer[] {
  if (typeof text === 'string') return [Buffer.from(text, 'utf8')];
  return Buffer.isBuffer(text) ? [text] : text;
}

async function writeWithin(out: ReplyOutput, buffers: readonly Buffer[]): Promise<boolean> {
  const { response, outbox, stallMs } = out;
  if (response.destroyed || response.writableEnded) return false;
  let isTaken = true;
  // Node sends all writes of one turn of the event loop together.
  for (const buffer of buffers) isTaken = response.write(buffer) && isTaken;
  if (isTaken) return true;
  return new Promise<boolean>((resolve) => {
    const finish = (ready: boolean) => {
      clearTimeout(timer);
      remove();
      response.off('drain', onDrain);
      response.off('close', onClose);
      resolve(ready);
    };
    const onDrain = () => finish(true);
    const onClose = () => finish(false);
    const close = () => {
      finish(false);
      response.destroy();
    };
    const timer = setTimeout(close, stallMs);
    response.once('drain', onDrain);
    response.once('close', onClose);
    // `add` may call `close` before it returns.
    let remove = (): void => undefined;
    remove = outbox.add(buffers, close);
  });
}

/**
 * The request class of one server, for the option `IncomingMessage` of `createServer`. It stops Node's parser in the
 * middle of a segment when a connection has too many unanswered requests. Otherwise Node creates an object for every
 * request in a segment before anything else runs, even after the socket is destroyed, and a segment of 64 KiB holds a
 * thousand requests.
 *
 * A request for which `mayRequest` is false reports an upgrade, because Node stops parsing a connection after an
 * upgrade. `mayRequest` must close the connection, and the server must have no listener for upgrades.
 */
export function boundedRequests(mayRequest: (socket: Socket) => boolean): typeof IncomingMessage {
  return class BoundedRequest extends IncomingMessage {
    readonly #isRefused: boolean;
    #isUpgrade: boolean | null = null;

    constructor(socket: Socket) {
      super(socket);
      this.#isRefused = !mayRequest(socket);
    }

    get upgrade(): boolean | null {
      return this.#isRefused || this.#isUpgrade;
    }

    /** Node sets it in the base constructor, before this object has its fields, and again after reading the head. */
    set upgrade(isUpgrade: boolean | null) {
      if (#isUpgrade in this) this.#isUpgrade = isUpgrade;
    }
  };
}
