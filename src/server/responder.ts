/**
 * The slow path, which is every path until a faster one holds the answer: packet -> accept -> resolve -> encode -> send.
 * This is the one function from a question to the octets of its answer, and the one place where an exception on the way
 * is caught: the client gets SERVFAIL, the others notice nothing.
 */
import { accept } from '../dns/accept.ts';
import { encodeResponse } from '../dns/encode.ts';
import { Ede, type Query, type Response } from '../dns/message.ts';
import type { Client, Respond } from '../dns/respond.ts';
import { servfail } from '../dns/response.ts';
import { replyLimit } from '../dns/truncate.ts';
import type { AnswerCounters } from './answerCounters.ts';
import { createResolve, type ResolveOptions } from './resolve.ts';

export interface Answered {
  readonly client: Client;
  readonly query: Query;
  readonly response: Response;
  readonly durationMs: number;
}

export interface ResponderOptions extends ResolveOptions {
  /** Called after each reply to a query; absent when nobody logs. */
  readonly onAnswered?: ((answered: Answered) => void) | undefined;
  /** Told of each answer that waits for other servers; it settles once it was sent, and never rejects. */
  readonly onPending?: ((answer: Promise<void>) => void) | undefined;
  readonly counters?: AnswerCounters | undefined;
  /** A fault of ours. Must not throw. */
  readonly onError: (error: unknown) => void;
}

/** A packet that is being answered. */
interface Arrived {
  readonly client: Client;
  readonly octets: number;
  readonly atMs: number;
}

const DROP_REASON = {
  'source-port': 'sourcePortZero',
  short: 'short',
  response: 'response',
} as const;

export function createResponder(options: ResponderOptions): Respond {
  const { monotonicMs, onAnswered, onError, counters } = options;
  const resolve = createResolve(options);

  return function respond(packet, client, send): void {
    const arrived = { client, octets: packet.length, atMs: monotonicMs() };
    const accepted = accept(packet, client.port);
    switch (accepted.kind) {
      case 'drop':
        counters?.dropped(client, DROP_REASON[accepted.reason]);
        return;
      case 'reject':
        send(accepted.reply);
        sent(arrived, undefined, accepted.rcode, accepted.reply);
        return;
      case 'query':
        reply(accepted.query, arrived, send);
    }
  };

  function reply(query: Query, arrived: Arrived, send: (reply: Uint8Array) => void): void {
    const { client } = arrived;
    const finish = (response: Response): void => {
      const octets = encoded(query, response, client);
      send(octets);
      const durationMs = sent(arrived, query, response.rcode, octets);
      report({ client, query, response, durationMs });
    };
    const fail = (error: unknown): void => {
      onError(error);
      finish(servfail(Ede.OTHER, 'internal error'));
    };
    let response: Response | Promise<Response>;
    try {
      response = resolve(query, client);
    } catch (error) {
      fail(error);
      return;
    }
    if (response instanceof Promise) {
      const answered = response.then(finish, fail).catch(onError);
      options.onPending?.(answered);
    } else finish(response);
  }

  /** The reply's octets; a response that cannot be encoded is a fault of ours. */
  function encoded(query: Query, response: Response, { transport }: Client): Uint8Array {
    const limitOctets = replyLimit(query, transport);
    try {
      return encodeResponse(query, response, limitOctets);
    } catch (error) {
      onError(error);
      return encodeResponse(query, servfail(Ede.OTHER, 'internal error'), limitOctets);
    }
  }

  /** Counts the reply; gives how long it took. */
  function sent(
    { client, octets, atMs }: Arrived,
    query: Query | undefined,
    rcode: number,
    reply: Uint8Array,
  ): number {
    const durationMs = monotonicMs() - atMs;
    counters?.answered(client, {
      packetOctets: octets,
      qtype: query?.question.qtype,
      edns: query?.edns,
      rcode,
      reply,
      durationMs,
    });
    return durationMs;
  }

  /** Whoever logs must not cost an answer. */
  function report(answered: Answered): void {
    try {
      onAnswered?.(answered);
    } catch (error) {
      onError(error);
    }
  }
}
