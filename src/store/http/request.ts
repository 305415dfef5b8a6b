/** One HTTP request to another soradns server, with a deadline. Every failure is a StoreError. */
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { StoreError } from '../store.ts';
import { readJson, type StorePeer, unavailable } from './response.ts';
import { errorFromJson } from './wire.ts';

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
