/**
 * The slow path, which is every path until a faster one holds the answer: packet -> accept -> zone or forwarder ->
 * encode -> send. This is the one function from a question to the octets of its answer, and the one place where an
 * exception on the way is caught: the client gets SERVFAIL, the others notice nothing.
 */
import { accept } from '../dns/accept.ts';
import { encodeResponse } from '../dns/encode.ts';
import { Ede, type Query, type Response } from '../dns/message.ts';
import type { Client, Respond } from '../dns/respond.ts';
import { Rcode } from '../dns/rr.ts';
import { replyLimit } from '../dns/truncate.ts';
import type { Forwarded, Forwarder } from '../forward/forwarder.ts';
import { answer, empty, failed } from '../zone/answer.ts';
import type { Node } from '../zone/tree.ts';
import { apexOf, type External, externalKey, type View, type ZoneSettings } from '../zone/view.ts';

/** How true the zones' data is. */
export type Freshness =
  /** The store was never read to its end: a name that seems missing may only not be there yet. */
  | 'loading'
  | 'current'
  /** The store is out of reach; what is held is the last that was known. */
  | 'stale';

export interface Answered {
  readonly client: Client;
  readonly query: Query;
  readonly response: Response;
  readonly replyOctets: number;
  readonly durationMs: number;
}

export interface ResponderOptions {
  readonly root: Node;
  readonly settings: ZoneSettings;
  readonly freshness: () => Freshness;
  /** `undefined`: nobody is asked, whoever the client. */
  readonly forwarder: Forwarder | undefined;
  /** Whether names outside our zones are looked up for this client address. */
  readonly mayRecurse: (address: string) => boolean;
  readonly monotonicMs: () => number;
  readonly unixSeconds: () => number;
  readonly random: () => number;
  /** Called after each reply to a query; absent when nobody logs. */
  readonly onAnswered?: ((answered: Answered) => void) | undefined;
  readonly onError: (error: unknown) => void;
}

/** Rounds of asking elsewhere for one question; each may uncover further names (a CNAME back into our zones and out). */
const MAX_ROUNDS = 4;

type Externals = ReadonlyMap<string, External>;
const NO_EXTERNALS: Externals = new Map();

export function createResponder(options: ResponderOptions): Respond {
  const { settings, forwarder } = options;
  let turn = 0;

  return function respond(packet, client, send): void {
    const accepted = accept(packet, client.port);
    if (accepted.kind === 'drop') return;
    if (accepted.kind === 'reject') {
      send(accepted.reply);
      return;
    }
    const { query } = accepted;
    const startedMs = options.monotonicMs();
    turn = (turn + 1) % 0x7fffffff;
    const finish = (response: Response): void => {
      const reply = encodeResponse(query, response, replyLimit(query, client.transport));
      send(reply);
      options.onAnswered?.({
        client,
        query,
        response,
        replyOctets: reply.length,
        durationMs: options.monotonicMs() - startedMs,
      });
    };
    const fail = (error: unknown): void => {
      options.onError(error);
      finish(failed(Ede.OTHER, 'internal error'));
    };
    try {
      const decided = decide(query, client, turn);
      if (decided instanceof Promise) decided.then(finish).catch(fail);
      else finish(decided);
    } catch (error) {
      fail(error);
    }
  };

  /** The response, at once whenever no other server has to be asked. */
  function decide(query: Query, client: Client, ownTurn: number): Response | Promise<Response> {
    const recursionAvailable = forwarder !== undefined && options.mayRecurse(client.address);
    const response = answerFromZones(query, client, ownTurn, NO_EXTERNALS, MAX_ROUNDS);
    const withRecursion = (decided: Response): Response =>
      recursionAvailable ? { ...decided, recursionAvailable } : decided;
    return response instanceof Promise ? response.then(withRecursion) : withRecursion(response);
  }

  function answerFromZones(
    query: Query,
    client: Client,
    ownTurn: number,
    externals: Externals,
    rounds: number,
  ): Response | Promise<Response> {
    const freshness = options.freshness();
    if (freshness === 'loading' && apexOf(settings, query.question.qname) !== undefined) {
      return empty(Rcode.SERVFAIL, Ede.NOT_READY, 'the store was not read yet');
    }
    const decided = answer(view(ownTurn, externals), query.question);
    switch (decided.kind) {
      case 'response':
        return freshness === 'stale' ? markStale(decided.response) : decided.response;
      case 'elsewhere':
        return answerFromElsewhere(query, client);
      case 'incomplete':
        if (rounds === 0) return failed(Ede.OTHER, 'names lead on for too long');
        return askElsewhere(decided.missing, query, externals).then((known) =>
          answerFromZones(query, client, ownTurn, known, rounds - 1),
        );
    }
  }

  function view(ownTurn: number, externals: Externals): View {
    return {
      root: options.root,
      settings,
      nowMs: options.monotonicMs(),
      unixSeconds: options.unixSeconds(),
      turn: ownTurn,
      random: options.random,
      externals,
    };
  }

  /** The answers to what `answer` found missing, added to what was known before. */
  async function askElsewhere(
    missing: readonly Query['question'][],
    query: Query,
    known: Externals,
  ): Promise<Externals> {
    const asked = missing.map(async (question): Promise<[string, External]> => {
      const key = externalKey(question.qname, question.qtype);
      if (forwarder === undefined) return [key, { kind: 'unavailable' }];
      return [key, externalOf(await forwarder.resolve(question, optionsOf(query)))];
    });
    return new Map([...known, ...(await Promise.all(asked))]);
  }

  async function answerFromElsewhere(query: Query, client: Client): Promise<Response> {
    if (forwarder === undefined || !options.mayRecurse(client.address)) {
      return empty(Rcode.REFUSED, Ede.NOT_AUTHORITATIVE, 'not one of our zones');
    }
    if (!query.recursionDesired) {
      return empty(Rcode.REFUSED, Ede.NOT_AUTHORITATIVE, 'not one of our zones, and RD is not set');
    }
    return responseOf(await forwarder.resolve(query.question, optionsOf(query)));
  }
}

function optionsOf(query: Query): { checkingDisabled: boolean; dnssecOk: boolean } {
  return {
    checkingDisabled: query.checkingDisabled,
    dnssecOk: query.edns?.dnssecOk === true,
  };
}

function externalOf(forwarded: Forwarded): External {
  switch (forwarded.kind) {
    case 'answered': {
      const { rcode, answer: records } = forwarded.message;
      return { kind: 'records', rcode, records };
    }
    case 'failed':
      return { kind: 'failed' };
    case 'refused':
      return { kind: 'unavailable' };
  }
}

function responseOf(forwarded: Forwarded): Response {
  switch (forwarded.kind) {
    case 'answered': {
      const { rcode, answer: records, authority, additional } = forwarded.message;
      return {
        rcode,
        authoritative: false,
        recursionAvailable: true,
        answer: records,
        authority,
        additional,
      };
    }
    case 'failed':
      return failed(
        forwarded.reason === 'servfail' ? Ede.NO_REACHABLE_AUTHORITY : Ede.NETWORK_ERROR,
        forwarded.text,
      );
    case 'refused':
      return empty(Rcode.REFUSED, Ede.NOT_AUTHORITATIVE, forwarded.text);
  }
}

function markStale(response: Response): Response {
  if (response.extendedError !== undefined) return response;
  return {
    ...response,
    extendedError: { code: Ede.STALE_ANSWER, text: 'the store is out of reach' },
  };
}
