/** DNS over HTTP/1.1 (RFC 9112), which reverse proxies and simple clients speak. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { DnsClient } from '../../dns/message.ts';
import type { DohReply } from './dohAnswers.ts';
import { HttpConnection, type HttpContext, serveRequest } from './httpConnection.ts';

function hasBody({ headers }: IncomingMessage): boolean {
  const length = headers['content-length'] ?? '0';
  return length !== '0' || headers['transfer-encoding'] !== undefined;
}

/** A query of 64 KiB in GET is longer than Node's limit. */
const MAX_HEADER_OCTETS = 100 * 1024;

/** One HTTP server for all connections; it does not listen itself. */
export class Http1Connections {
  readonly #context: HttpContext;
  readonly #server: Server;
  readonly #connections = new WeakMap<Socket, HttpConnection>();
  /** Connections that end with their next reply. */
  readonly #ending = new WeakSet<Socket>();

  constructor(context: HttpContext) {
    this.#context = context;
    const { createServer } = process.getBuiltinModule('node:http');
    this.#server = createServer({ maxHeaderSize: MAX_HEADER_OCTETS }, (request, response) =>
      this.#onRequest(request, response),
    );
    this.#server.keepAliveTimeout = 0; // `HttpConnection` has the limits in time
    this.#server.timeout = 0;
  }

  /** Serves the connection from now on. */
  serve(socket: Socket, peer: DnsClient): HttpConnection {
    const connection: HttpConnection = new HttpConnection(peer, this.#context, {
      finish: () => {
        this.#ending.add(socket);
        if (connection.idleSinceMs !== undefined) socket.end();
      },
      destroy: () => socket.destroy(),
    });
    this.#connections.set(socket, connection);
    // As Node documents, a server takes a connection that it did not accept by this event.
    this.#server.emit('connection', socket);
    return connection;
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    const connection = this.#connections.get(request.socket);
    if (connection === undefined) return void request.socket.destroy();
    connection.begin(request);
    response.on('close', () => {
      connection.end(request);
      if (this.#ending.has(request.socket)) request.socket.end();
    });
    const { method, url: target, headers } = request;
    const read = { method, target, headers, body: request };
    serveRequest(read, connection.peer, this.#context, (reply) =>
      this.#send(request, response, reply),
    );
  }

  #send(
    request: IncomingMessage,
    response: ServerResponse,
    { status, headers, body }: DohReply,
  ): void {
    if (response.destroyed || response.headersSent) return;
    // The rest of a body that is too long, or of a refused request, is not read.
    const isLast = this.#ending.has(request.socket) || (hasBody(request) && !request.complete);
    response.writeHead(status, { ...headers, ...(isLast && { connection: 'close' }) });
    response.end(body);
  }
}
