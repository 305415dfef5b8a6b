/**
 * server/http/: The HTTP listener: connections, admission, routes, health pages.
 * Imports: dataplane/listeners, server, server/http/api, server/http/exchange, store.
 * Used by: app.
 *
 * The HTTP listener: the keys API of etcd v2 over any store, soradns's own calls for other soradns servers, and the
 * health pages. Everything is bounded, and most of it for each client: headers, bodies, connections, requests that wait,
 * long replies, what waits to be read, and how long anybody may take. Whatever a request does, it ends in a reply or a
 * closed connection, never in an exception.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { LeaseStore } from '../../store/store.ts';
import { Admission, DEFAULT_HTTP_LIMITS, type HttpLimits, mostGuests } from './admission.ts';
import { ChangeTexts, RecentTexts } from './api/changeTexts.ts';
import type { Shared } from './api/keys.ts';
import { failure, failureReply } from './api/v2Responses.ts';
import { clientOf } from './exchange/client.ts';
import type { Exchange, Reply } from './exchange/exchange.ts';
import { createGiveWay, createPace, type Pace } from './exchange/giveWay.ts';
import { boundedRequests, nodeExchange } from './exchange/nodeExchange.ts';
import { createOutbox, lingering, type Outbox } from './exchange/outbox.ts';
import { shares } from './exchange/shares.ts';
import { isHealthPath, type ServerStats } from './health.ts';
import { createRoutes, type Routes } from './routes.ts';

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
  readonly stats?: (() => ServerStats) | undefined;
  readonly version: string;
  /** Who shows it may write everything. */
  readonly token?: string | undefined;
  /** Where this host's users find the token, for those who are refused. */
  readonly tokenPlace?: string | undefined;
  /** Users whose processes on this host may write without it; by default root and this process's user. */
  readonly trustedUsers?: ReadonlySet<number> | undefined;
  /** The key of the configuration, which is written with the token only; undefined: it is a key like any other. */
  readonly configKey?: string | undefined;
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
  readonly admission: Admission;
  readonly outbox: Outbox;
  readonly routes: Routes;
  readonly pace: Pace;
  /** One for each request in flight; ends it. */
  readonly live: Set<() => void>;
  closing: boolean;
}

const CLOSE_GRACE_MS = 1_000;
const REQUESTS_A_TURN = 16;
/** When it is full the kernel drops new connections, whose clients try again a second later. */
const BACKLOG = 4096;

export function createHttpListener(options: HttpListenerOptions): HttpListener {
  const limits = { ...DEFAULT_HTTP_LIMITS, ...options.limits };
  const admission = new Admission(limits);
  const service: Service = {
    options,
    limits,
    admission,
    outbox: createOutbox(limits.maxUnreadOctets),
    routes: createRoutes(options, sharedBy(limits, admission), limits.heartbeatMs),
    pace: createPace(REQUESTS_A_TURN),
    live: new Set(),
    closing: false,
  };
  const server = createServer({
    ...serverOptions(limits),
    IncomingMessage: boundedRequests((socket) => admission.mayAsk(socket)),
  });
  // Guests that are being told why not come on top of silent ones.
  server.maxConnections = limits.maxConnections + 2 * mostGuests(limits.maxGuests);
  server.maxRequestsPerSocket = 100_000;
  server.on('connection', (socket) => {
    admission.opened(socket);
  });
  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    void serve(service, request, response);
  };
  server.on('request', onRequest);
  // The body's reader sends "100 Continue", so that a body which is refused is never sent.
  server.on('checkContinue', onRequest);
  return {
    listen: (address, port) => listen(server, address, port, options.onListenerError),
    close: () => {
      service.closing = true;
      for (const end of service.live) end();
      return close(server);
    },
  };
}

function sharedBy(limits: HttpLimits, admission: Admission): Shared {
  return {
    waits: shares(limits.maxWaiting, limits.maxWaitingPerClient),
    listings: lingering(
      shares(limits.maxLongListings, limits.maxLongListingsPerClient),
      limits.keepAliveMs,
    ),
    longReplies: lingering(
      shares(limits.maxLongReplies, limits.maxLongRepliesPerClient),
      limits.keepAliveMs,
    ),
    giveWay: createGiveWay(() => admission.hasNews()),
    eventLines: new RecentTexts((line) => line.length),
    changeTexts: new ChangeTexts(),
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

function listen(
  server: Server,
  address: string,
  port: number,
  onListenerError: (error: Error) => void = () => {},
) {
  return new Promise<{ address: string; port: number }>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: address, port, backlog: BACKLOG }, () => {
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
  const { options, limits, outbox, admission, routes } = service;
  const { socket } = request;
  if (!admission.began(socket)) return;
  const startedMs = performance.now();
  const client = clientOf(socket);
  const visit = routes.visit(client, request.headers);
  const asker = { share: client.share, isTrusted: visit.isTrusted };
  const surroundings = { limits, outbox, asker, connection: client };
  const { exchange, end } = nodeExchange(request, response, surroundings);
  const { method, path } = exchange;
  service.live.add(end);
  // Node tells the response that is being sent alone, not those that queue behind it on the connection.
  const forget = client.onClose(() => response.emit('close'));
  response.once('close', () => {
    forget();
    service.live.delete(end);
    admission.ended(socket);
    const durationMs = performance.now() - startedMs;
    const { address } = client;
    options.onRequest?.({ method, path, status: response.statusCode, durationMs, client: address });
  });
  const guest = admission.isGuest(socket) ? () => admission.promote(socket) : undefined;
  if (service.closing || guest !== undefined) response.shouldKeepAlive = false;
  try {
    const wait = isHealthPath(path) ? undefined : service.pace();
    if (wait !== undefined) await wait;
    await visit.serve(exchange, guest);
  } catch (error) {
    options.onError?.(error, { method, path });
    if (response.headersSent) response.destroy();
    else exchange.send(failureReply(failure(300, 'internal error')));
  }
}
