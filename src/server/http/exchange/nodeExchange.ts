/**
 * An Exchange over node:http's request and response. Holds the limits of one request: the size of its body, which is
 * never collected beyond the limit, and the patience with a client that does not read its reply.
 */
import { IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Body, ClientConnection, Exchange, HttpReply, ReplyStream, Text } from './exchange.ts';
import type { Outbox } from './outbox.ts';
import type { Caller } from './permits.ts';

const SLICE_OCTETS = 256 * 1024;

export interface RequestLimits {
  readonly maxBodyOctets: number;
  /** How long a reply may make no progress before the connection is cut. */
  readonly slowReaderMs: number;
  /** How long the rest of a body that is not wanted is thrown away, so that the client gets to read its reply. */
  readonly lingerMs: number;
}

/** What a request has besides itself. */
export interface ExchangeContext {
  readonly limits: RequestLimits;
  readonly outbox: Outbox;
  readonly caller: Caller;
  readonly connection: ClientConnection;
}

/** Made once, as one with a stack for each request is dear. */
const GONE = new Error('the request is over');

/** One request's exchange, and how the listener ends it when it closes. */
export interface NodeExchange {
  readonly exchange: Exchange;
  end(): void;
}

export function nodeExchange(
  request: IncomingMessage,
  response: ServerResponse,
  { limits, outbox, caller, connection }: ExchangeContext,
): NodeExchange {
  const out: ReplyOutput = { response, outbox, patienceMs: limits.slowReaderMs };
  const [path = '/', query = ''] = splitTarget(request.url ?? '/');
  const ending = createEnding();
  // Without these a connection that breaks is an uncaught exception.
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
      // Node would close the connection as soon as the kernel has the reply. The client asked for an end, and gets it.
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

/** Most requests need no signal, and one costs more than all else about them. */
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

/** Where a reply goes, and how long it may make no progress. */
interface ReplyOutput {
  readonly response: ServerResponse;
  readonly outbox: Outbox;
  readonly patienceMs: number;
}

function splitTarget(target: string): [string, string] {
  const mark = target.indexOf('?');
  return mark < 0 ? [target, ''] : [target.slice(0, mark), target.slice(mark + 1)];
}

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
  if (unread) lingerThenCut(request, lingerMs);
  void writeSlices(out, body);
}

/** The body slice by slice: each that is taken shows that the client still reads. Never rejects. */
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

/** Closing with unread octets resets the connection, and a reset takes the reply with it. */
function lingerThenCut(request: IncomingMessage, lingerMs: number): void {
  request.removeAllListeners('data');
  request.resume();
  const timer = setTimeout(() => request.socket.destroy(), lingerMs);
  request.socket.once('close', () => clearTimeout(timer));
}

function endWithin({ response, outbox, patienceMs }: ReplyOutput, last: Buffer): void {
  response.end(last);
  // Nearly all that is short has gone by then.
  setImmediate(() => {
    if (response.writableFinished || response.destroyed) return;
    const timer = setTimeout(() => response.destroy(), patienceMs);
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
  const { response, outbox, patienceMs } = out;
  if (response.destroyed || response.writableEnded) return false;
  let isTaken = true;
  // Node sends together what is written in one turn.
  for (const buffer of buffers) isTaken = response.write(buffer) && isTaken;
  if (isTaken) return true;
  return new Promise<boolean>((resolve) => {
    const settle = (ready: boolean) => {
      clearTimeout(timer);
      remove();
      response.off('drain', onDrain);
      response.off('close', onClose);
      resolve(ready);
    };
    const onDrain = () => settle(true);
    const onClose = () => settle(false);
    const cut = () => {
      settle(false);
      response.destroy();
    };
    const timer = setTimeout(cut, patienceMs);
    response.once('drain', onDrain);
    response.once('close', onClose);
    // It may cut this very client.
    let remove = (): void => undefined;
    remove = outbox.add(buffers, cut);
  });
}

/**
 * Stops the parser in the middle of a segment when a connection has too many unanswered requests. Node makes a request
 * object of every request in a segment before anything else runs, also once the socket is destroyed; a segment of 64 KiB
 * holds a thousand of them.
 */

/**
 * The class of the requests of one server, for the option `IncomingMessage` of `createServer`. A request for which
 * `mayAsk` is false reports an upgrade: Node parses nothing of the connection after an upgrade. `mayAsk` has to close the
 * connection, and the server must listen to no upgrades.
 */
export function boundedRequests(mayAsk: (socket: Socket) => boolean): typeof IncomingMessage {
  return class BoundedRequest extends IncomingMessage {
    readonly #isRefused: boolean;
    #isUpgrade: boolean | null = null;

    constructor(socket: Socket) {
      super(socket);
      this.#isRefused = !mayAsk(socket);
    }

    get upgrade(): boolean | null {
      return this.#isRefused || this.#isUpgrade;
    }

    /** Node sets it in the base constructor, before this object has fields, and when it has read the head. */
    set upgrade(isUpgrade: boolean | null) {
      if (#isUpgrade in this) this.#isUpgrade = isUpgrade;
    }
  };
}
