/**
 * server/: Answers packets on the main thread, and serves DNS over TCP.
 * Imports: dataplane/reply, dataplane/sockets, dataplane/table, dns, dns/presentation, forward, sign, timing, zone,
 *   zone/tree.
 * Used by: app, app/ambassador, app/answering.
 *
 * The slow path, for every packet that the answer table cannot answer: packet -> accept -> resolve -> encode -> send.
 * It catches every exception of a query: the client gets SERVFAIL if answering failed, and no reply if reading or
 * sending failed; other queries are not affected.
 */
import { accept } from '../dns/accept.ts';
import { encodeResponse } from '../dns/encode.ts';
import {
  authoritative,
  type DnsClient,
  Ede,
  type Query,
  type Respond,
  type Response,
  refused,
  servfail,
  unknownKey,
} from '../dns/message.ts';
import { Rcode } from '../dns/rr.ts';
import { replyLimit } from '../dns/truncate.ts';
import { withDeadline } from '../timing/deadline.ts';
import type { AnswerCounters } from './answerCounters.ts';
import { type ClientGate, cookieResponse, type Passage } from './clientGate.ts';
import { createResolve, type Resolve } from './resolve.ts';
import type { ResolveOptions } from './resolveOptions.ts';

export interface Answered {
  readonly client: DnsClient;
  readonly query: Query;
  readonly response: Response;
  readonly durationMs: number;
}

export interface ResponderOptions extends ResolveOptions {
  /** Absent: every client gets the answer and nothing else. */
  readonly gate?: ClientGate | undefined;
  /** Called after each reply to a query; absent if queries are not logged. */
  readonly onAnswered?: ((answered: Answered) => void) | undefined;
  /** Receives each answer that waits for other servers. It resolves when the reply was sent, and never rejects. */
  readonly onOutstanding?: ((answer: Promise<void>) => void) | undefined;
  readonly counters?: AnswerCounters | undefined;
  /** Receives errors that are bugs. Must not throw. */
  readonly onError: (error: unknown) => void;
}

/** A packet that is being answered, and where its reply goes. */
interface ReceivedPacket {
  readonly client: DnsClient;
  readonly send: (reply: Uint8Array) => void;
  readonly octets: number;
  readonly atMs: number;
}

interface PassedPacket extends ReceivedPacket {
  /** Absent without a gate. */
  readonly passage: Passage | undefined;
}

const DROP_REASON = {
  'source-port': 'sourcePortZero',
  short: 'short',
  response: 'response',
} as const;

/** The response to a query that is not answered; `undefined` for any other. */
function denialOf(passage: Passage | undefined): Response | undefined {
  if (passage?.kind === 'notAllowed') return refused('this server does not answer your address');
  if (passage?.kind !== 'malformed') return undefined;
  return { ...authoritative(Rcode.FORMERR, []), authoritative: false };
}

export function createResponder(options: ResponderOptions): Respond {
  const responder = new Responder(options);
  return (packet, client, send) => responder.respond(packet, client, send);
}

/** Sends one reply for each packet that is not dropped, and never two. */
class Responder {
  readonly #options: ResponderOptions;
  readonly #resolve: Resolve;

  constructor(options: ResponderOptions) {
    this.#options = options;
    this.#resolve = createResolve(options);
  }

  respond(packet: Uint8Array, client: DnsClient, send: (reply: Uint8Array) => void): void {
    const { monotonicMs, onError } = this.#options;
    try {
      this.#take(packet, { client, send, octets: packet.length, atMs: monotonicMs() });
    } catch (error) {
      onError(error);
    }
  }

  #take(packet: Uint8Array, arrived: ReceivedPacket): void {
    const { client } = arrived;
    const accepted = accept(packet, client.port);
    switch (accepted.kind) {
      case 'drop':
        this.#options.counters?.dropped(client, DROP_REASON[accepted.reason]);
        return;
      case 'reject':
        if (accepted.cookieQuery !== undefined && this.#options.gate?.hasCookies === true)
          this.#reply(arrived, accepted.cookieQuery);
        else this.#reject(arrived, accepted.rcode, accepted.reply);
        return;
      case 'query':
        this.#reply(arrived, accepted.query);
    }
  }

  #reject(arrived: ReceivedPacket, rcode: number, reply: Uint8Array): void {
    const limited = this.#options.gate?.limitError(arrived.client);
    if (limited === undefined) this.#send(arrived, undefined, rcode, reply);
    else this.#options.counters?.countIn(arrived.client, limited.slot);
  }

  #reply(received: ReceivedPacket, query: Query): void {
    const passage = this.#options.gate?.pass(query, received.client);
    const arrived = { ...received, passage };
    const response = denialOf(passage) ?? this.#resolved(arrived, query);
    if (!(response instanceof Promise)) {
      this.#finish(arrived, query, response);
      return;
    }
    const { onOutstanding, onError } = this.#options;
    const answered = response
      .then(
        (resolved) => this.#finish(arrived, query, resolved),
        (error) => this.#finish(arrived, query, this.#fault(error)),
      )
      .catch(onError);
    onOutstanding?.(answered);
  }

  #resolved({ client, passage }: PassedPacket, query: Query): Response | Promise<Response> {
    if (query.isQuestionless === true) return cookieResponse(passage);
    if (query.tsig !== undefined) return unknownKey(query.tsig);
    try {
      return this.#resolve(query, client);
    } catch (error) {
      return this.#fault(error);
    }
  }

  #finish(arrived: PassedPacket, query: Query, answer: Response): void {
    const { client, passage } = arrived;
    const { gate, counters } = this.#options;
    if (passage?.cookieSlot !== undefined) counters?.countIn(client, passage.cookieSlot);
    const limited = gate?.limit(passage, query, answer, client);
    if (limited !== undefined) counters?.countIn(client, limited.slot);
    if (limited?.response === null) return;
    const response = { ...(limited?.response ?? answer), options: passage?.options };
    const reply = this.#encode(query, response, client);
    const durationMs = this.#send(arrived, query, response.rcode, reply);
    this.#report(client, query, response, durationMs);
  }

  /** Encodes the reply; if that fails, a SERVFAIL. */
  #encode(query: Query, response: Response, client: DnsClient): Uint8Array {
    const { maxUdpOctets, random } = this.#options;
    const limitOctets = replyLimit(query, client, maxUdpOctets);
    try {
      return encodeResponse(query, response, limitOctets, random());
    } catch (error) {
      return encodeResponse(query, this.#fault(error), limitOctets);
    }
  }

  /** Sends the reply, and counts it. Returns the milliseconds since the packet arrived. */
  #send(
    { client, send, octets, atMs }: ReceivedPacket,
    query: Query | undefined,
    rcode: number,
    reply: Uint8Array,
  ): number {
    send(reply);
    const { monotonicMs, counters } = this.#options;
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

  /** An error of the query log must not fail the query. */
  #report(client: DnsClient, query: Query, response: Response, durationMs: number): void {
    const { onAnswered, onError } = this.#options;
    try {
      onAnswered?.({ client, query, response, durationMs });
    } catch (error) {
      onError(error);
    }
  }

  /** Reports an error, and returns the response for the client. */
  #fault(error: unknown): Response {
    this.#options.onError(error);
    return servfail(Ede.OTHER, 'internal error');
  }
}

/** Answers that wait for other servers. A stopping server sends them before it ends. */
export class OutstandingAnswers {
  readonly #answers = new Set<Promise<unknown>>();

  /** `answer` resolves when its reply was sent, and never rejects. */
  add(answer: Promise<unknown>): void {
    this.#answers.add(answer);
    void answer.then(() => this.#answers.delete(answer));
  }

  /** Resolves when all answers were sent, including those that were added meanwhile; after `limitMs` at the latest. */
  async sent(limitMs: number): Promise<void> {
    let isOver = false;
    const allSent = async (): Promise<void> => {
      while (this.#answers.size > 0 && !isOver) await Promise.all(this.#answers);
    };
    await withDeadline(allSent(), limitMs, () => {
      isOver = true;
    });
  }
}
