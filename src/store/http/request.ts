/**
 * One HTTP request with deadlines: to a whole reply, or to lines of JSON as they come. Every failure is a StoreError.
 */
import { type Agent, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { StoreError } from '../store.ts';
import { errorFromJson } from './wire.ts';

export interface Peer {
  /** `http://host:port`, for messages. */
  readonly label: string;
  readonly url: URL;
  readonly agent: Agent;
  readonly token: string | undefined;
}

export interface Call {
  readonly method: 'GET' | 'POST';
  /** Path and query. */
  readonly path: string;
  readonly body?: string;
  /** The reply's head must have come by then. */
  readonly headTimeoutMs: number;
  readonly signal: AbortSignal;
}

/** A single value and all that JSON puts around it; a line holds about 256 KiB more. */
const MAX_TEXT_OCTETS = 16 * 1024 * 1024;

/** The reply to a call that succeeded; else the error that its status and body stand for. */
export async function callPeer(peer: Peer, call: Call): Promise<IncomingMessage> {
  const response = await sendRequest(peer, call);
  if (response.statusCode === 200) return response;
  const timer = setTimeout(() => response.destroy(), call.headTimeoutMs);
  try {
    throw errorOf(peer, response.statusCode ?? 0, await readJson(peer, response));
  } finally {
    clearTimeout(timer);
  }
}

function sendRequest(peer: Peer, call: Call): Promise<IncomingMessage> {
  const { url, agent, token } = peer;
  const send = url.protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const request = send({
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

function errorOf(peer: Peer, status: number, json: unknown): StoreError {
  const named = errorFromJson(json);
  if (named !== undefined) return new StoreError(named.code, named.message);
  if (status === 401) return new StoreError('denied', `${peer.label}: the token is refused`);
  if (status === 403) return new StoreError('denied', `${peer.label}: refused`);
  return unavailable(peer, new Error(`HTTP status ${status}, so perhaps no soradns server`));
}

export function unavailable(peer: Peer, cause: unknown): StoreError {
  if (cause instanceof StoreError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new StoreError('unavailable', `${peer.label}: ${reason}`, { cause });
}

/** The whole reply as JSON; undefined when it is none. */
export async function readJson(peer: Peer, response: IncomingMessage): Promise<unknown> {
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
 * The reply's lines as `read` takes their JSON, until it ends. A peer that says nothing for `idleTimeoutMs` is taken for dead, and a line
 * that is an error is thrown. Leaving the loop closes the connection.
 */
export async function* readLines<T>(
  peer: Peer,
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
      // The consumer's time is not the peer's silence.
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
