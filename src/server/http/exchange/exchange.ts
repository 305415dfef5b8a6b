/**
 * server/http/exchange/: One HTTP request and its reply, and the limits of each client.
 * Imports: dns, forward, server/listening, store.
 * Used by: app, app/ambassador, app/registrar, server/http, server/http/api.
 *
 * An `Exchange` is one request and its reply without sockets and node:http objects. The listener makes one for each
 * request, and the handler ends it with exactly one `send` or one `stream`.
 */
import type { IncomingHttpHeaders } from 'node:http';

export interface HttpReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
}

export type Body =
  | { readonly kind: 'body'; readonly octets: Buffer }
  | { readonly kind: 'too large'; readonly limitOctets: number }
  /** The client closed the connection, or sent too slowly, before the body was complete. */
  | { readonly kind: 'broken' };

/** A piece of a reply. Several replies may share its Buffers. */
export type Text = string | Buffer | readonly Buffer[];

/** A reply that the handler writes piece by piece. */
export interface ReplyStream {
  /**
   * Resolves when the handler may write more. False: the client has closed the connection or reads too slowly, and the
   * handler must stop.
   */
  write(text: Text): Promise<boolean>;
  end(): void;
}

export interface ClientConnection {
  isOpen(): boolean;
  /** Runs the callback when either side closes the connection. Returns a function that removes the callback. */
  onClose(callback: () => void): () => void;
}

export interface Exchange {
  readonly method: string;
  /** The request target up to `?`, percent-encoded. */
  readonly path: string;
  /** The part after `?`, percent-encoded; empty without one. */
  readonly query: string;
  readonly headers: IncomingHttpHeaders;
  /** The client, for limits. */
  readonly caller: Caller;
  /** The same object for all requests of a connection. */
  readonly connection: ClientConnection;
  /**
   * Keeps the connection open after the reply, so that the client's close shows that it has read everything. False: the
   * client's HTTP version does not allow that.
   */
  keepOpen(): boolean;
  /** Aborted when the connection or the listener closes. */
  readonly signal: AbortSignal;
  /** Default limit: the listener's. */
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

/** 405 with the allowed methods. */
export function methodNotAllowed(allow: readonly string[]): HttpReply {
  return textReply(405, 'Method Not Allowed', { Allow: allow.join(', ') });
}

/** The client that requests a permit. */
export interface Caller {
  readonly share: string;
  /** Whether the client may write. Called only when the client's share is used up. */
  isTrusted(): Promise<boolean>;
}
