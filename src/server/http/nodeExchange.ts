/**
 * An Exchange over node:http's request and response. Holds the limits of one request: the size of its body, which is
 * never collected beyond the limit, and the patience with a client that does not read its reply.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Body, Exchange, Reply, ReplyStream } from './exchange.ts';

const SLICE_OCTETS = 256 * 1024;

export interface ExchangeLimits {
  readonly maxBodyOctets: number;
  /** How long a reply may make no progress before the connection is cut. */
  readonly slowReaderMs: number;
  /** How long the rest of a body that is not wanted is thrown away, so that the client gets to read its reply. */
  readonly lingerMs: number;
}

/** `ending` is aborted here when the client goes, and by the listener when it closes. */
export function nodeExchange(
  request: IncomingMessage,
  response: ServerResponse,
  limits: ExchangeLimits,
  ending: AbortController,
): Exchange {
  const [path = '/', query = ''] = splitTarget(request.url ?? '/');
  // Without these a connection that breaks is an uncaught exception.
  request.on('error', () => ending.abort());
  response.on('error', () => ending.abort());
  response.on('close', () => ending.abort());
  return {
    method: request.method ?? 'GET',
    path,
    query,
    headers: request.headers,
    signal: ending.signal,
    readBody: (limit = limits.maxBodyOctets) => readBody(request, response, limit),
    send: (reply) => send(request, response, reply, limits),
    stream: (headers) => startStream(response, headers, limits.slowReaderMs),
  };
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
  response: ServerResponse,
  reply: Reply,
  { slowReaderMs, lingerMs }: ExchangeLimits,
): void {
  if (response.headersSent || response.destroyed) return;
  const unread = !request.complete && hasBody(request);
  const body = Buffer.from(reply.body, 'utf8');
  response.writeHead(reply.status, {
    ...reply.headers,
    'Content-Length': body.length,
    ...(unread ? { Connection: 'close' } : {}),
  });
  if (unread) lingerThenCut(request, lingerMs);
  void writeSlices(response, body, slowReaderMs);
}

/** The body slice by slice: each that is taken shows that the client still reads. Never rejects. */
async function writeSlices(response: ServerResponse, body: Buffer, patienceMs: number) {
  let start = 0;
  for (; body.length - start > SLICE_OCTETS; start += SLICE_OCTETS) {
    const slice = body.subarray(start, start + SLICE_OCTETS);
    if (!(await writeWithin(response, slice, patienceMs))) return;
  }
  endWithin(response, body.subarray(start), patienceMs);
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

function endWithin(response: ServerResponse, last: Buffer | string, patienceMs: number): void {
  response.end(last);
  if (response.writableFinished) return;
  const timer = setTimeout(() => response.destroy(), patienceMs);
  response.once('close', () => clearTimeout(timer));
}

function startStream(
  response: ServerResponse,
  headers: Readonly<Record<string, string>>,
  patienceMs: number,
): ReplyStream {
  if (!response.headersSent && !response.destroyed) {
    response.writeHead(200, headers);
    response.flushHeaders();
  }
  return {
    write: (text) => writeWithin(response, text, patienceMs),
    end: () => endWithin(response, '', patienceMs),
  };
}

async function writeWithin(
  response: ServerResponse,
  text: string | Buffer,
  patienceMs: number,
): Promise<boolean> {
  if (response.destroyed || response.writableEnded) return false;
  if (response.write(text)) return true;
  return new Promise<boolean>((resolve) => {
    const settle = (ready: boolean) => {
      clearTimeout(timer);
      response.off('drain', onDrain);
      response.off('close', onClose);
      resolve(ready);
    };
    const onDrain = () => settle(true);
    const onClose = () => settle(false);
    const timer = setTimeout(() => {
      settle(false);
      response.destroy();
    }, patienceMs);
    response.once('drain', onDrain);
    response.once('close', onClose);
  });
}
