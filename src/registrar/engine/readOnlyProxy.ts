/**
 * Read-only proxy for an engine. Write access to Docker's socket is root access to its host, so processes with network
 * access should not have it. Requests are rebuilt from method, path and known parameters; answers are reduced to the
 * members that the registrar reads. Only the engine's versions and its refusals pass whole.
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
  /** Of the socket to make. */
  readonly path: string;
  /** The group that may connect; everybody who may enter the folder if not given. */
  readonly groupId?: number | undefined;
  readonly metadata: ReadableMetadata;
  /** Who is at the other end. */
  readonly peerOf: (socket: Socket) => ProxyPeer;
  /** Called when the engine cannot be reached. */
  readonly onUnreachable?: () => void;
  /** How long an event stream may have nothing to tell. */
  readonly idleMs?: number;
}

export interface ReadOnlyProxy {
  /** Breaks what is open and removes the socket. */
  close(): Promise<void>;
}

const MAX_CONNECTIONS = 64;
const MAX_EVENT_STREAMS = 4;
const CONNECT_TIMEOUT_MS = 10_000;
const HEAD_TIMEOUT_MS = 10_000;
/** Long, as the registrar takes the end for a loss of the engine until it has connected again. */
const IDLE_MS = 6 * 3_600_000;
/** Events that a client has not read. */
const MAX_UNREAD_OCTETS = 4 * 1024 * 1024;
/** A container with all ports published is described in 2 MB. */
const MAX_ANSWER_OCTETS = 64 * 1024 * 1024;

/** Listens. Rejects when it cannot. */
export async function startReadOnlyProxy(options: ReadOnlyProxyOptions): Promise<ReadOnlyProxy> {
  const { path, groupId, peerOf } = options;
  const connections = new ProxyPermits(MAX_CONNECTIONS);
  const streams = new ProxyPermits(MAX_EVENT_STREAMS);
  const times = { headersTimeout: HEAD_TIMEOUT_MS, connectionsCheckingInterval: HEAD_TIMEOUT_MS };
  const server = createServer(times, (request, response) => {
    request.resume();
    const question = allowedRequest(request.method, request.url);
    if (question === undefined)
      replyWithMessage(response, 403, 'only what the registrar reads passes here');
    else if (question.kind !== 'events') forwardAnswer(question, response, options);
    else forwardEvents(question, request, response, options, streams);
  });
  server.on('connection', (socket: Socket) => {
    const giveBack = connections.acquire(peerOf(socket), () => socket.destroy());
    if (giveBack === undefined) socket.destroy();
    else socket.once('close', giveBack);
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

/** Asks the engine, and gives a client that waits an error instead of no answer. */
function sendToEngine(
  { endpoint, onUnreachable }: ReadOnlyProxyOptions,
  { method, path }: AllowedRequest,
  response: ServerResponse,
  onAnswer: (answer: IncomingMessage) => void,
): void {
  const isTls = endpoint.kind === 'tcp' && endpoint.tls !== undefined;
  const options = { ...requestTarget(endpoint), method, path, headers: { host: 'docker' } };
  const upstream = (isTls ? requestTls : requestPlain)({ ...options, agent: false }, onAnswer);
  upstream.setTimeout(CONNECT_TIMEOUT_MS, () => upstream.destroy(new Error('no answer in time')));
  upstream.on('error', (error) => {
    onUnreachable?.();
    if (response.headersSent) response.destroy();
    else replyWithMessage(response, 502, `the engine cannot be reached: ${error.message}`);
  });
  response.on('close', () => upstream.destroy());
  upstream.end();
}

function forwardAnswer(
  question: AllowedRequest,
  response: ServerResponse,
  options: ReadOnlyProxyOptions,
): void {
  sendToEngine(options, question, response, (answer) => {
    const status = answer.statusCode ?? 502;
    const isWhole = status !== 200 || question.method !== 'GET' || question.kind === 'events';
    const kind = isWhole ? 'plain' : question.kind;
    const pieces: Buffer[] = [];
    let octets = 0;
    answer.on('data', (piece: Buffer) => {
      pieces.push(piece);
      octets += piece.length;
      if (octets > MAX_ANSWER_OCTETS) answer.destroy(new Error('the answer has no end'));
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
  question: AllowedRequest,
  { socket }: IncomingMessage,
  response: ServerResponse,
  options: ReadOnlyProxyOptions,
  streams: ProxyPermits,
): void {
  const { peerOf, idleMs = IDLE_MS } = options;
  const giveBack = streams.acquire(peerOf(socket), () => response.destroy());
  if (giveBack === undefined) {
    replyWithMessage(response, 429, `at most ${MAX_EVENT_STREAMS} clients may follow the events`);
    return;
  }
  response.once('close', giveBack);
  sendToEngine(options, question, response, (answer) => {
    answer.socket.setTimeout(0);
    const type = answer.headers['content-type'] ?? 'application/json';
    response.writeHead(answer.statusCode ?? 502, { 'content-type': type });
    if (answer.statusCode !== 200) {
      answer.pipe(response);
      return;
    }
    // Events may be long in coming; that they will is told at once.
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
      // The engine would wait for a client that does not read.
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
  // Without a server name of its own, Node would compare the certificate with the Host header of the request.
  const servername = isIP(host) === 0 ? host : '';
  return { host, port, servername, ...(tls?.ca && { ca: tls.ca }), ...tls?.client };
}

/** In the form of the engine's own refusals. */
function replyWithMessage(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ message }));
}

/** What a process that was killed left; nothing but a socket is ever removed. */
function removeStale(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true) rmSync(path);
}

/** Which requests may pass to an engine, and in which words: only reading, and only what the registrar asks. PURE. */

export interface AllowedRequest {
  readonly method: 'GET' | 'HEAD';
  /** With the parameters that may pass. */
  readonly path: string;
  /** How its answer is reduced. `plain`: not at all, as it holds nothing but the engine's versions. */
  readonly kind: 'plain' | 'events' | ReducedKind;
}

const VERSION = String.raw`(?:\/v1\.[0-9]{1,3})?`;
const KINDS: readonly (readonly [AllowedRequest['kind'], RegExp])[] = [
  ['plain', new RegExp(`^${VERSION}/(?:_ping|version)$`)],
  ['info', new RegExp(`^${VERSION}/info$`)],
  ['bridge', new RegExp(`^${VERSION}/networks/bridge$`)],
  ['events', new RegExp(`^${VERSION}/events$`)],
  ['list', new RegExp(`^${VERSION}/containers/json$`)],
  ['inspection', new RegExp(`^${VERSION}/containers/[A-Za-z0-9][A-Za-z0-9_.-]*/json$`)],
];

const MAX_FILTERS_LENGTH = 2048;
/** Seconds since 1970, with nanoseconds. */
const INSTANT = /^[0-9]{1,12}(?:\.[0-9]{1,9})?$/;

/** `undefined`: it may not pass. Parameters that a registrar does not send are left out. */
export function allowedRequest(
  method: string | undefined,
  url: string | undefined,
): AllowedRequest | undefined {
  if (method !== 'GET' && method !== 'HEAD') return undefined;
  const [path = '', query = ''] = (url ?? '').split('?', 2);
  const kind = KINDS.find(([, pattern]) => pattern.test(path))?.[0];
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
