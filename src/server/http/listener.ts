/**
 * server/http/: The HTTP listener: connections, admission, routes, health pages.
 * Imports: dataplane/listeners, dns, server/http/api, server/http/exchange, server/listening, server/tcp, service,
 *   store, store/http, zone/tree.
 * Used by: app, app/answering, app/process.
 *
 * The listener serves etcd's keys API v2 over any store, the API for other soradns servers, and the health pages. Every
 * resource is bounded, and most are bounded for each client: headers, bodies, connections, waiting requests, long
 * replies, unread output, and the time for each of them. Every request ends with a reply or a closed connection, never
 * with an uncaught exception.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { ConnectionAdmission, mostSurplus } from './admission.ts';
import { ChangeTexts, TextCache } from './api/changeTexts.ts';
import type { SharedResources } from './api/keys.ts';
import { failure, failureReply } from './api/v2Responses.ts';
import { TreeDeletions } from './api/wait.ts';
import { type ConnectedClient, connectedClientOf } from './exchange/client.ts';
import type { Exchange } from './exchange/exchange.ts';
import { boundedRequests, nodeExchange } from './exchange/nodeExchange.ts';
import { Outbox } from './exchange/outbox.ts';
import { LingeringPermits, Permits } from './exchange/permits.ts';
import { createPace, createYieldLoop } from './exchange/yieldLoop.ts';
import { isHealthPath } from './health.ts';
import { DEFAULT_HTTP_LIMITS, type HttpLimits } from './limits.ts';
import { Routes, type RoutesOptions } from './routes.ts';

export interface HttpListenerOptions extends RoutesOptions {
  readonly limits?: Partial<HttpLimits> | undefined;
  readonly onRequest?: ((line: HttpLogLine) => void) | undefined;
  /** Receives the exception of a request: a bug, answered with 500. */
  readonly onError?:
    | ((error: unknown, line: Pick<HttpLogLine, 'method' | 'path'>) => void)
    | undefined;
  /** Receives a failure to accept a connection, for example because no descriptor is free. The listener continues. */
  readonly onListenerError?: ((error: Error) => void) | undefined;
}

export interface HttpLogLine {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly durationMs: number;
  readonly client: string;
}

const CLOSE_GRACE_MS = 1_000;
const REQUESTS_PER_TURN = 16;
/** When the backlog is full, the kernel drops new connections; their clients try again after a second. */
const BACKLOG = 4096;

export class HttpListener {
  readonly #options: HttpListenerOptions;
  readonly #limits: HttpLimits;
  readonly #admission: ConnectionAdmission;
  readonly #outbox: Outbox;
  readonly #routes: Routes;
  readonly #pace = createPace(REQUESTS_PER_TURN);
  readonly #server: Server;
  /** For each request in progress the function that ends it. */
  readonly #endRequest = new Set<() => void>();
  #isClosing = false;

  constructor(options: HttpListenerOptions) {
    const limits = { ...DEFAULT_HTTP_LIMITS, ...options.limits };
    const admission = new ConnectionAdmission(limits);
    this.#options = options;
    this.#limits = limits;
    this.#admission = admission;
    this.#outbox = new Outbox(limits.maxUnreadOctets);
    this.#routes = new Routes(options, sharedBy(limits, admission), limits.heartbeatMs);
    this.#server = createServer({
      ...serverOptions(limits),
      IncomingMessage: boundedRequests((socket) => admission.mayRequest(socket)),
    });
    // Besides silent surplus connections, some are open only until their refusal is sent.
    this.#server.maxConnections = limits.maxConnections + 2 * mostSurplus(limits.maxSurplus);
    this.#server.maxRequestsPerSocket = 100_000;
    this.#server.on('connection', (socket) => admission.opened(socket));
    const onRequest = (request: IncomingMessage, response: ServerResponse) => {
      void this.#serve(request, response);
    };
    this.#server.on('request', onRequest);
    // `readBody` sends "100 Continue", so a client that waits for it never sends a body that the server refuses.
    this.#server.on('checkContinue', onRequest);
  }

  /** Rejects with Node's error (`code` EADDRINUSE, EACCES …) when it cannot listen. Port 0: any free port. */
  listen(address: string, port: number): Promise<{ address: string; port: number }> {
    return listen(this.#server, address, port, this.#options.onListenerError);
  }

  /** Ends waiting requests, gives other requests a second to finish, and closes every connection. */
  close(): Promise<void> {
    this.#isClosing = true;
    for (const end of this.#endRequest) end();
    return closeServer(this.#server);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request;
    const admission = this.#admission;
    if (!admission.began(socket)) return;
    const client = connectedClientOf(socket);
    const routed = this.#routes.begin(client, request.headers);
    const caller = { share: client.share, isTrusted: routed.isTrusted };
    const context = { limits: this.#limits, outbox: this.#outbox, caller, connection: client };
    const { exchange, end } = nodeExchange(request, response, context);
    const { method, path } = exchange;
    this.#followToEnd(client, socket, response, exchange, end);
    const admit = admission.isSurplus(socket) ? () => admission.admit(socket) : undefined;
    if (this.#isClosing || admit !== undefined) response.shouldKeepAlive = false;
    try {
      const wait = isHealthPath(path) ? undefined : this.#pace();
      if (wait !== undefined) await wait;
      await routed.serve(exchange, admit);
    } catch (error) {
      this.#options.onError?.(error, { method, path });
      if (response.headersSent) response.destroy();
      else exchange.send(failureReply(failure(300, 'internal error')));
    }
  }

  /** Counts and logs the request when its response has closed, complete or not. */
  #followToEnd(
    client: ConnectedClient,
    socket: Socket,
    response: ServerResponse,
    { method, path }: Exchange,
    end: () => void,
  ): void {
    const startedMs = performance.now();
    this.#endRequest.add(end);
    // When a connection closes, Node reports it only to the current response, not to the responses queued after it.
    const removeCallback = client.onClose(() => response.emit('close'));
    response.once('close', () => {
      removeCallback();
      this.#endRequest.delete(end);
      this.#admission.ended(socket);
      this.#options.onRequest?.({
        method,
        path,
        status: response.statusCode,
        durationMs: performance.now() - startedMs,
        client: client.address,
      });
    });
  }
}

function sharedBy(limits: HttpLimits, admission: ConnectionAdmission): SharedResources {
  return {
    waits: new Permits(limits.maxWaiting, limits.maxWaitingPerClient),
    listings: new LingeringPermits(
      new Permits(limits.maxLongListings, limits.maxLongListingsPerClient),
      limits.keepAliveMs,
    ),
    longReplies: new LingeringPermits(
      new Permits(limits.maxLongReplies, limits.maxLongRepliesPerClient),
      limits.keepAliveMs,
    ),
    yieldLoop: createYieldLoop(() => admission.hasOpened()),
    eventLines: new TextCache((line) => line.length),
    treeDeletions: new TreeDeletions(),
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
    // TCP's keepalive finds a waiting client that has vanished.
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

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
  });
}
