/**
 * A door to an engine through which only questions pass, and only those that the registrar asks: whoever may write to
 * Docker's socket is root on its host, so a process that talks to networks should not have it. Requests are made anew
 * from method, path and query; nothing else that a client sends gets through.
 */
import { once } from 'node:events';
import { lstatSync, rmSync } from 'node:fs';
import {
  createServer,
  type IncomingMessage,
  type RequestOptions,
  request as requestPlain,
  type ServerResponse,
} from 'node:http';
import { request as requestTls } from 'node:https';
import type { EngineEndpoint } from './endpoint.ts';

export interface ReadOnlyProxy {
  /** Breaks what is open and removes the socket. */
  close(): Promise<void>;
}

const MAX_CONNECTIONS = 64;
const CONNECT_TIMEOUT_MS = 10_000;

const ALLOWED =
  /^(?:\/v1\.[0-9]{1,3})?\/(?:_ping|info|version|events|networks\/bridge|containers\/json|containers\/[A-Za-z0-9][A-Za-z0-9_.-]*\/json)(?:\?|$)/;

/** Whether a request may pass: it only reads, and only what containers are and what happens to them. */
export function mayPass(method: string | undefined, url: string | undefined): boolean {
  return (method === 'GET' || method === 'HEAD') && ALLOWED.test(url ?? '');
}

/** Listens on a socket at `path`, for whoever may enter its folder. Rejects when it cannot. */
export async function startReadOnlyProxy(
  endpoint: EngineEndpoint,
  path: string,
): Promise<ReadOnlyProxy> {
  const server = createServer((request, response) => {
    request.resume();
    if (mayPass(request.method, request.url)) passOn(endpoint, request, response);
    else say(response, 403, 'only what the registrar reads passes here');
  });
  server.maxConnections = MAX_CONNECTIONS;
  removeStale(path);
  server.listen({ path, readableAll: true, writableAll: true });
  await once(server, 'listening');
  return {
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

function passOn(
  endpoint: EngineEndpoint,
  { method, url }: IncomingMessage,
  response: ServerResponse,
): void {
  const isTls = endpoint.kind === 'tcp' && endpoint.tls !== undefined;
  const options = { ...targetOf(endpoint), method, path: url, headers: { host: 'docker' } };
  const upstream = (isTls ? requestTls : requestPlain)({ ...options, agent: false }, (answer) => {
    upstream.setTimeout(0);
    const type = answer.headers['content-type'] ?? 'application/json';
    response.writeHead(answer.statusCode ?? 502, { 'content-type': type });
    // Events may be long in coming; that they will is told at once.
    response.flushHeaders();
    answer.pipe(response);
    answer.on('error', () => response.destroy());
  });
  upstream.setTimeout(CONNECT_TIMEOUT_MS, () => upstream.destroy(new Error('no answer in time')));
  upstream.on('error', (error) => {
    if (response.headersSent) response.destroy();
    else say(response, 502, `the engine cannot be reached: ${error.message}`);
  });
  response.on('close', () => upstream.destroy());
  upstream.end();
}

function targetOf(
  endpoint: EngineEndpoint,
): RequestOptions & { ca?: string; cert?: string; key?: string } {
  if (endpoint.kind === 'unix') return { socketPath: endpoint.path };
  const { host, port, tls } = endpoint;
  return { host, port, ...(tls?.ca && { ca: tls.ca }), ...tls?.client };
}

/** In the form of the engine's own refusals. */
function say(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ message }));
}

/** What a process that was killed left; nothing but a socket is ever removed. */
function removeStale(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true) rmSync(path);
}
