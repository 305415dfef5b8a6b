/**
 * One HTTP request to another soradns server, with a deadline, and its reply: JSON, or lines of JSON. Every failure is
 * a StoreError.
 */
import type { Agent, IncomingMessage } from 'node:http';
import { StoreError } from '../store.ts';
import { errorFromJson } from './wire.ts';

export interface StorePeer {
  /** `http://host:port`, for messages. */
  readonly label: string;
  readonly url: URL;
  readonly agent: Agent;
  readonly token: string | undefined;
}

export interface PeerCall {
  readonly method: 'GET' | 'POST';
  /** Path and query. */
  readonly path: string;
  readonly body?: string;
  /** The deadline of the reply's head. */
  readonly headTimeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Resolves with the reply of a successful call. Otherwise rejects with the StoreError of the reply's status and body.
 */
export async function callPeer(peer: StorePeer, call: PeerCall): Promise<IncomingMessage> {
  const response = await sendRequest(peer, call);
  if (response.statusCode === 200) return response;
  const timer = setTimeout(() => response.destroy(), call.headTimeoutMs);
  try {
    throw errorOf(peer, response.statusCode ?? 0, await readJson(peer, response));
  } finally {
    clearTimeout(timer);
  }
}

function sendRequest(peer: StorePeer, call: PeerCall): Promise<IncomingMessage> {
  const { url, agent, token } = peer;
  // An import would take 40 ms on Node 26: it also evaluates the exports of WebSockets, with a fetch client behind them.
  const http = process.getBuiltinModule(url.protocol === 'https:' ? 'node:https' : 'node:http');
  return new Promise((resolve, reject) => {
    const request = http.request({
      host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: url.port,
      agent,
      method: call.method,
      path: call.path,
      signal: call.signal,
      headers: {
        ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
        ...(call.body === undefined ? {} : bodyHeaders(call.body)),
      },
    });
    const late = () => request.destroy(new Error(`no answer within ${call.headTimeoutMs} ms`));
    const timer = setTimeout(late, call.headTimeoutMs);
    request.on('response', resolve);
    request.on('error', (cause) => reject(unavailable(peer, cause)));
    request.on('close', () => clearTimeout(timer));
    request.once('response', () => clearTimeout(timer));
    request.end(call.body);
  });
}

function bodyHeaders(body: string) {
  return { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
}

function errorOf(peer: StorePeer, status: number, json: unknown): StoreError {
  const named = errorFromJson(json);
  if (named !== undefined) return new StoreError(named.code, named.message);
  if (status === 401) return new StoreError('denied', `${peer.label}: the token is refused`);
  if (status === 403) return new StoreError('denied', `${peer.label}: refused`);
  return unavailable(
    peer,
    new Error(`HTTP status ${status}, so it is perhaps not a soradns server`),
  );
}

/** Enough for one value in base64 with its JSON. Lines without such a value have about 256 KiB. */
const MAX_TEXT_OCTETS = 16 * 1024 * 1024;

/** The whole reply as JSON; undefined if it is not JSON. */
export async function readJson(peer: StorePeer, response: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let octets = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      octets += chunk.length;
      if (octets > MAX_TEXT_OCTETS) throw new Error('the reply is too large');
      chunks.push(chunk);
    }
  } catch (cause) {
    throw unavailable(peer, cause);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    return undefined;
  }
}

/**
 * The reply's lines, parsed as JSON and passed through `read`, until the reply ends. After `idleTimeoutMs` without a
 * line the peer counts as dead. Throws the error of a line that has one. When the caller stops reading, the connection
 * closes.
 */
export async function* readLines<T>(
  peer: StorePeer,
  response: IncomingMessage,
  idleTimeoutMs: number,
  read: (json: unknown) => T,
): AsyncGenerator<T, void, undefined> {
  const dead = () => response.destroy(new Error(`silent for ${idleTimeoutMs} ms`));
  let timer = setTimeout(dead, idleTimeoutMs);
  try {
    for await (const line of splitLines(response as AsyncIterable<Buffer>)) {
      clearTimeout(timer);
      const json: unknown = JSON.parse(line);
      const error = errorFromJson(json);
      if (error !== undefined) throw new StoreError(error.code, error.message);
      yield read(json);
      // The reader's own time for a line does not count as silence.
      timer = setTimeout(dead, idleTimeoutMs);
    }
  } catch (cause) {
    throw unavailable(peer, cause);
  } finally {
    clearTimeout(timer);
    response.destroy();
  }
}

async function* splitLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let pending: Buffer[] = [];
  let octets = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      pending.push(chunk.subarray(start, end));
      yield Buffer.concat(pending).toString('utf8');
      pending = [];
      octets = 0;
      start = end + 1;
    }
    pending.push(chunk.subarray(start));
    octets += chunk.length - start;
    if (octets > MAX_TEXT_OCTETS) throw new Error('a line is too long');
  }
}

/** The StoreError `unavailable` for a cause; a StoreError stays as it is. */
export function unavailable(peer: StorePeer, cause: unknown): StoreError {
  if (cause instanceof StoreError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new StoreError('unavailable', `${peer.label}: ${reason}`, { cause });
}
