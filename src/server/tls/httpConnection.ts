/**
 * What HTTP/1.1 and HTTP/2 have in common: a connection with requests under way, and its limits in time. A client that
 * sends nothing, sends a request slowly, or does not read its reply, loses its connection.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import type { DnsClient } from '../../dns/message.ts';
import type { DohAnswers, DohReply } from './dohAnswers.ts';
import { BAD_REQUEST, PostBody, readHead } from './dohMessage.ts';

export interface DohLimits {
  /** The longest time without a request. */
  readonly idleMs: number;
  /** From the head of a request until the client has its reply. */
  readonly requestMs: number;
  /** Requests under way on one connection. */
  readonly streams: number;
}

export interface HttpContext {
  readonly answers: DohAnswers;
  /** The path that is served. */
  readonly path: string;
  readonly limits: DohLimits;
  /** The client of a request on a connection of `peer`; undefined if the request names none that can be known. */
  readonly clientOf: (peer: DnsClient, forwardedFor: string | undefined) => DnsClient | undefined;
  readonly nowMs: () => number;
}

/** How a version of HTTP ends a connection. */
export interface HttpEnds {
  /** Lets the requests under way finish. */
  finish(): void;
  destroy(): void;
}

/** The requests of one connection, and since when they are under way. */
export class HttpConnection {
  readonly peer: DnsClient;
  readonly #ends: HttpEnds;
  readonly #limits: DohLimits;
  readonly #nowMs: () => number;
  readonly #requests = new Map<object, number>();
  #activeMs: number;

  constructor(peer: DnsClient, context: HttpContext, ends: HttpEnds) {
    this.peer = peer;
    this.#ends = ends;
    this.#limits = context.limits;
    this.#nowMs = context.nowMs;
    this.#activeMs = context.nowMs();
  }

  /** The number of requests under way. */
  get underWay(): number {
    return this.#requests.size;
  }

  /** Undefined while a request is under way. */
  get idleSinceMs(): number | undefined {
    return this.#requests.size > 0 ? undefined : this.#activeMs;
  }

  begin(request: object): void {
    this.#activeMs = this.#nowMs();
    this.#requests.set(request, this.#activeMs);
  }

  /** The client has the reply, or has gone. */
  end(request: object): void {
    this.#activeMs = this.#nowMs();
    this.#requests.delete(request);
  }

  checkTimes(): void {
    const now = this.#nowMs();
    const [oldestMs = now] = this.#requests.values();
    if (now - oldestMs > this.#limits.requestMs) this.#ends.destroy();
    else if (now - (this.idleSinceMs ?? now) > this.#limits.idleMs) this.#ends.finish();
    // A peer may ignore the end of the connection.
    if (now - (this.idleSinceMs ?? now) > 2 * this.#limits.idleMs) this.#ends.destroy();
  }

  finish(): void {
    this.#ends.finish();
  }

  destroy(): void {
    this.#ends.destroy();
  }
}

export interface HttpRequest {
  readonly method: string | undefined;
  /** Path and query. */
  readonly target: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readable;
}

/** Answers or refuses the request. Calls `send` at most once. */
export function serveRequest(
  { method, target, headers, body: input }: HttpRequest,
  peer: DnsClient,
  { answers, path, clientOf }: HttpContext,
  send: (reply: DohReply) => void,
): void {
  const fields = {
    contentType: headers['content-type'],
    contentLength: headers['content-length'],
  };
  const read = readHead({ method, target, ...fields }, path);
  if (read.kind === 'refused') {
    send(answers.refuse(read.status));
    return;
  }
  // Node joins the lines of this header, although its type allows a list.
  const client = clientOf(peer, headers['x-forwarded-for']?.toString());
  if (client === undefined) {
    send(answers.refuse(BAD_REQUEST.status));
    return;
  }
  if (read.kind === 'query') {
    answers.answer(read.query, client, send);
    return;
  }
  const body = new PostBody();
  input.on('data', (chunk: Buffer) => {
    if (body.isTooLong) return;
    body.push(chunk);
    if (body.isTooLong) send(answers.refuse(413));
  });
  input.on('end', () => {
    if (!body.isTooLong) answers.answer(body.octets, client, send);
  });
}
