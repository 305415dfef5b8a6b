/**
 * A read-only proxy for an engine. Write access to Docker's socket is root access to its host, so a process with
 * network access should not have it. The proxy builds each request anew from the method, path and known parameters, and
 * reduces each answer to the members that a registrar reads. Only the engine's versions and refusals pass whole.
 */
import { once } from 'node:events';
import { chmodSync, chownSync, lstatSync, rmSync } from 'node:fs';
import {
  createServer,
  type IncomingMessage,
  type RequestOptions,
  request as requestPlain,
  type ServerResponse,
} from 'node:http';
import { request as requestTls } from 'node:https';
import { isIP, type Socket } from 'node:net';
import type { EngineEndpoint } from './endpoint.ts';
import { LineSplitter, parseEvent } from './eventLines.ts';
import { parseJson } from './json.ts';
import { type ProxyPeer, ProxyPermits } from './proxyPermits.ts';
import {
  printEvent,
  type ReadableMetadata,
  type ReducedKind,
  reduceAnswer,
} from './reducedAnswers.ts';

export interface ReadOnlyProxyOptions {
  readonly endpoint: EngineEndpoint;
  /** The path of the socket to create. */
  readonly path: string;
  /** The group whose processes may connect. Without it, every process that may enter the folder. */
  readonly groupId?: number | undefined;
  readonly metadata: ReadableMetadata;
  readonly peerOf: (socket: Socket) => ProxyPeer;
  /** Called when the engine cannot be reached. */
  readonly onUnreachable?: () => void;
  /** An event stream ends after this time without an event. */
  readonly idleMs?: number;
}

export interface ReadOnlyProxy {
  /** Closes all connections and removes the socket. */
  close(): Promise<void>;
}

const MAX_CONNECTIONS = 64;
const MAX_EVENT_STREAMS = 4;
const CONNECT_TIMEOUT_MS = 10_000;
const HEAD_TIMEOUT_MS = 10_000;
/** Long, because a registrar whose stream ends treats the engine as lost until it has reconnected. */
const IDLE_MS = 6 * 3_600_000;
/** The octets of events that a client may leave unread. */
const MAX_UNREAD_OCTETS = 4 * 1024 * 1024;
/** The inspection of a container with all ports published takes 2 MB. */
const MAX_ANSWER_OCTETS = 64 * 1024 * 1024;

/** Fulfilled when the proxy listens; rejects if it cannot. */
export async function startReadOnlyProxy(options: ReadOnlyProxyOptions): Promise<ReadOnlyProxy> {
  const { path, groupId, peerOf } = options;
  const connections = new ProxyPermits(MAX_CONNECTIONS);
  const streams = new ProxyPermits(MAX_EVENT_STREAMS);
  const times = { headersTimeout: HEAD_TIMEOUT_MS, connectionsCheckingInterval: HEAD_TIMEOUT_MS };
  const server = createServer(times, (request, response) => {
    request.resume();
    const allowed = allowedRequest(request.method, request.url);
    if (allowed === undefined)
      replyWithMessage(response, 403, 'this proxy passes only what the registrar reads');
    else if (allowed.kind !== 'events') forwardAnswer(allowed, response, options);
    else forwardEvents(allowed, request, response, options, streams);
  });
  server.on('connection', (socket: Socket) => {
    const release = connections.acquire(peerOf(socket), () => socket.destroy());
    if (release === undefined) socket.destroy();
    else socket.once('close', release);
  });
  removeStale(path);
  server.listen({ path });
  await once(server, 'listening');
  chmodSync(path, groupId === undefined ? 0o666 : 0o660);
  if (groupId !== undefined) chownSync(path, process.getuid?.() ?? 0, groupId);
  return {
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

/** Sends the request to the engine. If the engine does not answer, the client gets an error. */
function sendToEngine(
  { endpoint, onUnreachable }: ReadOnlyProxyOptions,
  { method, path }: AllowedRequest,
  response: ServerResponse,
  onAnswer: (answer: IncomingMessage) => void,
): void {
  const isTls = endpoint.kind === 'tcp' && endpoint.tls !== undefined;
  const options = { ...requestTarget(endpoint), method, path, headers: { host: 'docker' } };
  const upstream = (isTls ? requestTls : requestPlain)({ ...options, agent: false }, onAnswer);
  upstream.setTimeout(CONNECT_TIMEOUT_MS, () =>
    upstream.destroy(new Error(`no answer within ${CONNECT_TIMEOUT_MS / 1000} s`)),
  );
  upstream.on('error', (error) => {
    onUnreachable?.();
    if (response.headersSent) response.destroy();
    else replyWithMessage(response, 502, `the engine cannot be reached: ${error.message}`);
  });
  response.on('close', () => upstream.destroy());
  upstream.end();
}

function forwardAnswer(
  allowed: AllowedRequest,
  response: ServerResponse,
  options: ReadOnlyProxyOptions,
): void {
  sendToEngine(options, allowed, response, (answer) => {
    const status = answer.statusCode ?? 502;
    const isWhole = status !== 200 || allowed.method !== 'GET' || allowed.kind === 'events';
    const kind = isWhole ? 'plain' : allowed.kind;
    const pieces: Buffer[] = [];
    let octets = 0;
    answer.on('data', (piece: Buffer) => {
      pieces.push(piece);
      octets += piece.length;
      if (octets > MAX_ANSWER_OCTETS) answer.destroy(new Error('the answer is too long'));
    });
    answer.on('error', () => response.destroy());
    answer.on('end', () => {
      const text = Buffer.concat(pieces);
      if (kind === 'plain') {
        const type = answer.headers['content-type'] ?? 'application/json';
        response.writeHead(status, { 'content-type': type }).end(text);
        return;
      }
      const json = parseJson(text.toString());
      if (typeof json !== 'object' || json === null) {
        replyWithMessage(response, 502, 'the engine did not answer in JSON');
        return;
      }
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(reduceAnswer(kind, json, options.metadata)));
    });
  });
}

function forwardEvents(
  allowed: AllowedRequest,
  { socket }: IncomingMessage,
  response: ServerResponse,
  options: ReadOnlyProxyOptions,
  streams: ProxyPermits,
): void {
  const { peerOf, idleMs = IDLE_MS } = options;
  const release = streams.acquire(peerOf(socket), () => response.destroy());
  if (release === undefined) {
    replyWithMessage(response, 429, `at most ${MAX_EVENT_STREAMS} clients may follow events`);
    return;
  }
  response.once('close', release);
  sendToEngine(options, allowed, response, (answer) => {
    answer.socket.setTimeout(0);
    const type = answer.headers['content-type'] ?? 'application/json';
    response.writeHead(answer.statusCode ?? 502, { 'content-type': type });
    if (answer.statusCode !== 200) {
      answer.pipe(response);
      return;
    }
    // The client must see the status before the first event.
    response.flushHeaders();
    const idle = setTimeout(() => response.end(), idleMs);
    response.once('close', () => clearTimeout(idle));
    const lines = new LineSplitter();
    answer.on('data', (octets: Buffer) => {
      const complete = lines.push(octets);
      for (const line of complete ?? []) {
        const event = parseEvent(line);
        if (event === undefined) continue;
        response.write(printEvent(event));
        idle.refresh();
      }
      // With backpressure the engine would wait for a client that does not read.
      if (complete === undefined || response.writableLength > MAX_UNREAD_OCTETS) response.destroy();
    });
    answer.on('close', () => (answer.complete ? response.end() : response.destroy()));
    answer.on('error', () => response.destroy());
  });
}

function requestTarget(
  endpoint: EngineEndpoint,
): RequestOptions & { servername?: string; ca?: string; cert?: string; key?: string } {
  if (endpoint.kind === 'unix') return { socketPath: endpoint.path };
  const { host, port, tls } = endpoint;
  // Without a server name Node would compare the certificate with the request's Host header.
  const servername = isIP(host) === 0 ? host : '';
  return { host, port, servername, ...(tls?.ca && { ca: tls.ca }), ...tls?.client };
}

/** Replies in the form of the engine's own refusals. */
function replyWithMessage(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ message }));
}

/** Removes the socket that a killed process left. Never removes any other kind of file. */
function removeStale(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true) rmSync(path);
}

/** A request that may pass to the engine: it only reads, and a registrar sends it. */
export interface AllowedRequest {
  readonly method: 'GET' | 'HEAD';
  /** With the allowed parameters. */
  readonly path: string;
  /** How to reduce the answer. A `plain` answer passes whole, because it contains only the engine's versions. */
  readonly kind: 'plain' | 'events' | ReducedKind;
}

const VERSION = String.raw`(?:\/v1\.[0-9]{1,3})?`;
const ALLOWED: readonly (readonly [AllowedRequest['kind'], RegExp])[] = [
  ['plain', new RegExp(`^${VERSION}/(?:_ping|version)$`)],
  ['info', new RegExp(`^${VERSION}/info$`)],
  ['network', new RegExp(`^${VERSION}/networks/[A-Za-z0-9][A-Za-z0-9_.-]*$`)],
  ['events', new RegExp(`^${VERSION}/events$`)],
  ['list', new RegExp(`^${VERSION}/containers/json$`)],
  ['inspection', new RegExp(`^${VERSION}/containers/[A-Za-z0-9][A-Za-z0-9_.-]*/json$`)],
];

const MAX_FILTERS_LENGTH = 2048;
/** Seconds since 1970, with up to nanoseconds. */
const INSTANT = /^[0-9]{1,12}(?:\.[0-9]{1,9})?$/;

/** Returns the request to send; `undefined` if it may not pass. Leaves out parameters that a registrar never sends. */
export function allowedRequest(
  method: string | undefined,
  url: string | undefined,
): AllowedRequest | undefined {
  if (method !== 'GET' && method !== 'HEAD') return undefined;
  const [path = '', query = ''] = (url ?? '').split('?', 2);
  const kind = ALLOWED.find(([, pattern]) => pattern.test(path))?.[0];
  if (kind === undefined) return undefined;
  const parameters = kind === 'events' ? eventParameters(new URLSearchParams(query)) : '';
  return { method, path: `${path}${parameters}`, kind };
}

function eventParameters(query: URLSearchParams): string {
  const passed = new URLSearchParams();
  const filters = query.get('filters');
  for (const name of ['since', 'until']) {
    const instant = query.get(name);
    if (instant !== null && INSTANT.test(instant)) passed.set(name, instant);
  }
  if (filters !== null && filters.length <= MAX_FILTERS_LENGTH) passed.set('filters', filters);
  return passed.size === 0 ? '' : `?${passed}`;
}
