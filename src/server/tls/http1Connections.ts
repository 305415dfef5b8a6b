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
  readonly #connections = new WeakMap<Socket, Http1Connection>();

  constructor(context: HttpContext) {
    this.#context = context;
    const { createServer } = process.getBuiltinModule('node:http');
    this.#server = createServer({ maxHeaderSize: MAX_HEADER_OCTETS }, (request, response) => {
      const connection = this.#connections.get(request.socket);
      if (connection === undefined) request.socket.destroy();
      else connection.take(request, response);
    });
    this.#server.keepAliveTimeout = 0; // `HttpConnection` has the limits in time
    this.#server.timeout = 0;
  }

  /** Serves the connection from now on. */
  serve(socket: Socket, peer: DnsClient): HttpConnection {
    const connection = new Http1Connection(socket, peer, this.#context);
    this.#connections.set(socket, connection);
    // As Node documents, a server takes a connection that it did not accept by this event.
    this.#server.emit('connection', socket);
    connection.beginReading();
    return connection.requests;
  }
}

/**
 * One connection, whose client may send requests without waiting for the replies (pipelining). Node sends the replies in
 * the order of the requests (RFC 9112 §9.3.2), however they become ready.
 *
 * At most `limits.streams` requests are under way; the next ones wait, and the socket pauses while any waits. So no more
 * wait than one read from the socket contains.
 */
class Http1Connection {
  readonly requests: HttpConnection;
  readonly #socket: Socket;
  readonly #context: HttpContext;
  /** The oldest first. */
  readonly #waiting: (readonly [IncomingMessage, ServerResponse])[] = [];
  #newest: IncomingMessage | undefined;
  /** The connection ends with the reply to the newest request. */
  #isEnding = false;

  constructor(socket: Socket, peer: DnsClient, context: HttpContext) {
    this.#socket = socket;
    this.#context = context;
    this.requests = new HttpConnection(peer, context, {
      finish: () => this.#finish(),
      destroy: () => socket.destroy(),
    });
  }

  /** Call this once Node has its own listeners on the socket. */
  beginReading(): void {
    // Node resumes the socket after each request.
    this.#socket.on('resume', () => {
      if (this.#waiting.length > 0) this.#socket.pause();
    });
    // With this listener the octets come through the stream, which keeps them while it pauses. Without it Node's parser
    // gets them past the stream, also the rest of several TLS records after a pause, which then count as malformed.
    this.#socket.on('data', () => {});
  }

  take(request: IncomingMessage, response: ServerResponse): void {
    if (this.#isEnding) return;
    this.#newest = request;
    if (this.requests.underWay < this.#context.limits.streams) {
      this.#serve(request, response);
      return;
    }
    this.#waiting.push([request, response]);
    this.#socket.pause();
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    this.requests.begin(request);
    response.on('close', () => this.#onClosed(request));
    const { method, url: target, headers } = request;
    const read = { method, target, headers, body: request };
    serveRequest(read, this.requests.peer, this.#context, (reply) =>
      this.#send(request, response, reply),
    );
  }

  #onClosed(request: IncomingMessage): void {
    this.requests.end(request);
    if (this.#socket.destroyed) return;
    const next = this.#waiting.shift();
    if (next !== undefined) {
      this.#serve(...next);
      if (this.#waiting.length === 0) this.#socket.resume();
    }
    this.#endIfDone();
  }

  #finish(): void {
    this.#isEnding = true;
    this.#endIfDone();
  }

  #endIfDone(): void {
    if (this.#isEnding && this.requests.underWay === 0) this.#socket.end();
  }

  #send(
    request: IncomingMessage,
    response: ServerResponse,
    { status, headers, body }: DohReply,
  ): void {
    if (response.destroyed || response.headersSent) return;
    // The rest of a body that is too long, or of a refused request, is not read.
    const isCut = hasBody(request) && !request.complete;
    const isLast = isCut || (this.#isEnding && request === this.#newest);
    response.writeHead(status, { ...headers, ...(isLast && { connection: 'close' }) });
    response.end(body);
  }
}
