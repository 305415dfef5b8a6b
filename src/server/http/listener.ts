/**
 * The HTTP listener: the keys API of etcd v2 over any store, soradns's own calls for other soradns servers, and the
 * health pages. Everything is bounded: headers, bodies, connections, requests that wait, and how long anybody may take;
 * whatever a request does, it ends in a reply or a closed connection, never in an exception.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { LeaseStore } from '../../store/store.ts';
import { type Exchange, type Reply, textReply } from './exchange.ts';
import { carriesToken, isAllowedHost, isForeignOrigin, requiresToken } from './guard.ts';
import { type Figures, healthReply } from './health.ts';
import { clusterId, type Shared, serveKeys } from './keys.ts';
import { nodeExchange } from './nodeExchange.ts';
import { places } from './places.ts';
import { createGiveWay, politeStore } from './polite.ts';
import { serveStoreApi } from './storeApi.ts';
import { failure, failureReply } from './v2Errors.ts';

export interface HttpLimits {
  readonly maxHeaderOctets: number;
  readonly maxBodyOctets: number;
  /** A request, head and body, must have arrived within this time. */
  readonly requestTimeoutMs: number;
  readonly keepAliveMs: number;
  readonly slowReaderMs: number;
  readonly lingerMs: number;
  readonly maxConnections: number;
  /** Requests that wait for a change, or follow them, at the same time. */
  readonly maxWaiting: number;
  /** Listings above some 64 KiB at the same time: all of such a one is held until it was sent. */
  readonly maxLongListings: number;
  /** How often a stream of changes shows that it is alive. */
  readonly heartbeatMs: number;
}

const DEFAULT_HTTP_LIMITS: HttpLimits = {
  maxHeaderOctets: 16 * 1024,
  maxBodyOctets: 1024 * 1024,
  requestTimeoutMs: 10_000,
  keepAliveMs: 15_000,
  slowReaderMs: 10_000,
  lingerMs: 1_000,
  // A request that waits holds its connection, so there are more connections than places to wait.
  maxConnections: 1024 + 256,
  maxWaiting: 1024,
  maxLongListings: 4,
  heartbeatMs: 5_000,
};

export interface HttpListenerOptions {
  /** Without one there are only the pages. */
  readonly store?: LeaseStore | undefined;
  /** Pages besides those of every listener: the reply to a GET or HEAD, undefined for a path that is none of them. */
  readonly page?: ((exchange: Exchange) => Reply | undefined) | undefined;
  /** Reasons why the server is not ready; none: it is. */
  readonly readiness: () => readonly string[];
  /** What is wrong although the server is ready. */
  readonly warnings?: (() => readonly string[]) | undefined;
  /** For those who ask about readiness in JSON. */
  readonly figures?: (() => Figures) | undefined;
  readonly version: string;
  /** Writing needs it, on every address. Without one, writing is refused unless the address is a loopback one. */
  readonly token?: string | undefined;
  /** Names under which clients may address this server, besides `localhost` and every IP address. */
  readonly allowedHosts?: readonly string[] | undefined;
  readonly limits?: Partial<HttpLimits> | undefined;
  readonly onRequest?: ((line: HttpLogLine) => void) | undefined;
  /** A request that ended in an exception: a bug of ours, answered with 500. */
  readonly onError?:
    | ((error: unknown, line: Pick<HttpLogLine, 'method' | 'path'>) => void)
    | undefined;
  /** Told of a failure to accept connections (out of descriptors, say); the listener goes on. */
  readonly onListenerError?: ((error: Error) => void) | undefined;
}

export interface HttpLogLine {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly durationMs: number;
  readonly client: string;
}

export interface HttpListener {
  /** Rejects with node's error (`code` EADDRINUSE, EACCES …) when the address cannot be had. Port 0: any free one. */
  listen(address: string, port: number): Promise<{ address: string; port: number }>;
  /** Ends waiting requests, lets others finish for a second, and closes every connection. */
  close(): Promise<void>;
}

interface Service {
  readonly options: HttpListenerOptions;
  readonly limits: HttpLimits;
  /** Whether the request may write; nobody's may before `listen` has said where we are. */
  mayWrite: (exchange: Exchange) => boolean;
  readonly store: LeaseStore | undefined;
  readonly shared: Shared;
  /** One for each request in flight. */
  readonly live: Set<AbortController>;
  closing: boolean;
}

const CLOSE_GRACE_MS = 1_000;

export function createHttpListener(options: HttpListenerOptions): HttpListener {
  const limits = { ...DEFAULT_HTTP_LIMITS, ...options.limits };
  const giveWay = createGiveWay();
  const service: Service = {
    options,
    limits,
    mayWrite: () => false,
    store: options.store && politeStore(options.store, giveWay),
    shared: {
      takePlace: places(limits.maxWaiting),
      takeListingPlace: places(limits.maxLongListings),
      giveWay,
    },
    live: new Set(),
    closing: false,
  };
  const server = createServer(serverOptions(limits));
  server.maxConnections = limits.maxConnections;
  server.maxRequestsPerSocket = 100_000;
  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    void serve(service, request, response);
  };
  server.on('request', onRequest);
  // The body's reader sends "100 Continue", so that a body which is refused is never sent.
  server.on('checkContinue', onRequest);
  return {
    listen: (address, port) => {
      service.mayWrite = writeRule(options.token, address);
      return listen(server, address, port, options.onListenerError);
    },
    close: () => {
      service.closing = true;
      for (const exchange of service.live) exchange.abort();
      return close(server);
    },
  };
}

function serverOptions(limits: HttpLimits) {
  return {
    maxHeaderSize: limits.maxHeaderOctets,
    headersTimeout: limits.requestTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    connectionsCheckingInterval: Math.min(1_000, limits.requestTimeoutMs),
    keepAliveTimeout: limits.keepAliveMs,
    // A waiting client that vanished without a word is found by TCP.
    keepAlive: true,
    keepAliveInitialDelay: 15_000,
    noDelay: true,
  };
}

function writeRule(token: string | undefined, address: string): (exchange: Exchange) => boolean {
  if (token !== undefined) return ({ headers }) => carriesToken(headers.authorization, token);
  return requiresToken(address) ? () => false : () => true;
}

function listen(
  server: Server,
  address: string,
  port: number,
  onListenerError: (error: Error) => void = () => {},
) {
  return new Promise<{ address: string; port: number }>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: address, port }, () => {
      server.off('error', reject);
      server.on('error', onListenerError); // a failed accept
      const bound = server.address() as AddressInfo;
      resolve({ address: bound.address, port: bound.port });
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS);
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
    server.closeIdleConnections();
  });
}

async function serve(
  service: Service,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { onRequest, onError } = service.options;
  const startedMs = performance.now();
  const ending = new AbortController();
  const exchange = nodeExchange(request, response, service.limits, ending);
  const { method, path } = exchange;
  const client = request.socket.remoteAddress ?? '';
  service.live.add(ending);
  response.once('close', () => {
    service.live.delete(ending);
    const durationMs = performance.now() - startedMs;
    onRequest?.({ method, path, status: response.statusCode, durationMs, client });
  });
  if (service.closing) response.shouldKeepAlive = false;
  try {
    await route(service, exchange);
  } catch (error) {
    onError?.(error, { method, path });
    if (response.headersSent) response.destroy();
    else exchange.send(failureReply(failure(300, 'internal error')));
  }
}

async function route(service: Service, exchange: Exchange): Promise<void> {
  const { options, limits } = service;
  const refusal = refuse(service, exchange);
  if (refusal !== undefined) return exchange.send(refusal);
  const { store, shared } = service;
  const page =
    healthReply({ ...options, clusterId: store && clusterId(store) }, exchange) ??
    (isWrite(exchange) ? undefined : options.page?.(exchange));
  if (page !== undefined) return exchange.send(page);
  if (store !== undefined) {
    if (await serveKeys(store, exchange, shared)) return;
    if (await serveStoreApi(store, exchange, shared, limits.heartbeatMs)) return;
  }
  exchange.send(textReply(404, '404 page not found'));
}

function refuse({ mayWrite, options }: Service, exchange: Exchange) {
  const { headers } = exchange;
  if (!isAllowedHost(headers.host, options.allowedHosts ?? [])) {
    return textReply(
      403,
      'This Host is not served: use an IP address, localhost, or a configured name',
    );
  }
  if (!isWrite(exchange)) return undefined;
  if (isForeignOrigin(headers))
    return textReply(403, 'Writing from a page of another origin is refused');
  if (mayWrite(exchange)) return undefined;
  const reply = failureReply(failure(110, 'Insufficient credentials'));
  return { ...reply, headers: { ...reply.headers, 'WWW-Authenticate': 'Basic realm="soradns"' } };
}

function isWrite(exchange: Exchange): boolean {
  return !['GET', 'HEAD', 'OPTIONS'].includes(exchange.method);
}
