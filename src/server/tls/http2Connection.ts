/** DNS over HTTP/2 (RFC 9113): one connection with many requests at the same time. */
import type { Http2Session, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { DnsClient } from '../../dns/message.ts';
import type { DohReply } from './dohAnswers.ts';
import { HttpConnection, type HttpContext, serveRequest } from './httpConnection.ts';

/** A GET with a query of 64 KiB needs 86 KiB; other requests of RFC 8484 need less. */
const MAX_HEADER_OCTETS = 100 * 1024;
/** In MiB, the least that Node takes. It holds 100 replies of 10 KiB that the client does not read. */
const SESSION_MIB = 1;

/** Serves the connection from now on. */
export function serveHttp2(socket: Socket, peer: DnsClient, context: HttpContext): HttpConnection {
  const { performServerHandshake } = process.getBuiltinModule('node:http2');
  const session = performServerHandshake(socket, {
    maxSessionMemory: SESSION_MIB,
    settings: {
      enablePush: false,
      maxConcurrentStreams: context.limits.streams,
      maxHeaderListSize: MAX_HEADER_OCTETS,
    },
  });
  const connection = new HttpConnection(peer, context, {
    finish: () => session.close(), // GOAWAY, and the end of the connection after the last stream
    destroy() {
      session.destroy();
      socket.destroy();
    },
  });
  session.on('error', () => {}); // 'close' follows
  session.on('stream', (stream, headers) => onStream(stream, headers, connection, context));
  endWithSocket(session, socket);
  return connection;
}

function endWithSocket(session: Http2Session, socket: Socket): void {
  session.on('close', () => socket.destroySoon());
}

function onStream(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  connection: HttpConnection,
  context: HttpContext,
): void {
  connection.begin(stream);
  stream.on('error', () => {}); // 'close' follows
  stream.on('close', () => connection.end(stream));
  const { ':method': method, ':path': target } = headers;
  const request = { method, target, headers, body: stream };
  serveRequest(request, connection.peer, context, (reply) => sendOn(stream, reply));
}

function sendOn(stream: ServerHttp2Stream, { status, headers, body }: DohReply): void {
  if (stream.destroyed || stream.closed || stream.headersSent) return;
  stream.respond({ ':status': status, ...headers }, { endStream: body === undefined });
  if (body !== undefined) stream.end(body);
  // RFC 9113 §8.1 would allow to reset the stream, and curl then loses the reply. `requestMs` bounds what comes.
  else stream.resume();
}
