/**
 * server/http/exchange/: One HTTP request and its reply, and the limits of each client.
 * Imports: dns, forward, server, store.
 * Used by: app, app/registrar, server/http, server/http/api.
 *
 * One request and its reply, as the route handlers see them: no sockets and no node:http objects. The listener makes
 * one for each request; a handler ends it with exactly one `send` or one `stream`.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Caller } from './permits.ts';

export interface HttpReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
}

export type Body =
  | { readonly kind: 'body'; readonly octets: Buffer }
  | { readonly kind: 'too large'; readonly limitOctets: number }
  /** The client went away, or sent too slowly, before the body was whole. */
  | { readonly kind: 'broken' };

/** A piece of a reply. A Buffer, or each of several, may be shared with other replies. */
export type Text = string | Buffer | readonly Buffer[];

/** A reply that is written piece by piece. */
export interface ReplyStream {
  /** Resolves when more may be written; false: the client is gone or reads too slowly, stop. */
  write(text: Text): Promise<boolean>;
  end(): void;
}

export interface ClientConnection {
  isOpen(): boolean;
  /** Calls it once the connection is closed, by either side; gives back what takes the callback away again. */
  onClose(callback: () => void): () => void;
}

export interface Exchange {
  readonly method: string;
  /** The request target up to `?`, still percent-encoded. */
  readonly path: string;
  /** What follows `?`, still encoded; empty without one. */
  readonly query: string;
  readonly headers: IncomingHttpHeaders;
  /** For places that clients share; trusted is who may write. */
  readonly caller: Caller;
  /** The same for all requests of a connection. */
  readonly connection: ClientConnection;
  /**
   * Has the connection stay open after the reply, so that its end shows that the client has it all; false: the client is
   * too old for that.
   */
  keepOpen(): boolean;
  /** Aborted when the client is gone or the listener closes. */
  readonly signal: AbortSignal;
  /** Without a limit: the listener's. */
  readBody(limitOctets?: number): Promise<Body>;
  send(reply: HttpReply): void;
  stream(headers: Readonly<Record<string, string>>): ReplyStream;
}

/** A reply of one line of plain text. */
export function textReply(
  status: number,
  line: string,
  headers: Readonly<Record<string, string>> = {},
): HttpReply {
  return {
    status,
    headers: { 'Content-Type': 'text/plain; charset=utf-8', ...headers },
    body: `${line}\n`,
  };
}

export function jsonReply(
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): HttpReply {
  return {
    status,
    headers: { 'Content-Type': 'application/json', ...headers },
    body: `${JSON.stringify(value)}\n`,
  };
}

/** 405 with the methods that the path knows. */
export function methodNotAllowed(allow: readonly string[]): HttpReply {
  return textReply(405, 'Method Not Allowed', { Allow: allow.join(', ') });
}
