/** From the query of a request to the reply: out of the answer table, or from the slow path. */
import type { DnsClient, Respond } from '../../dns/message.ts';
import type { ConnectionOffer } from '../tcp/replyOptions.ts';
import { replyOptionsFor, withReplyOptions } from '../tcp/replyOptions.ts';
import type { StreamTable } from '../tcp/streamTable.ts';
import { BAD_REQUEST, cacheControlOf, DNS_MESSAGE, isQuery } from './dohMessage.ts';

/** A reply to a request, for both versions of HTTP. */
export interface DohReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body: Uint8Array | undefined;
}

/** Counted over all listeners. */
export interface DohCounters {
  /** Requests that got the reply to a DNS query, whatever it says. */
  answered: number;
  /** Requests that do not follow RFC 8484. */
  refused: number;
}

export function newDohCounters(): DohCounters {
  return { answered: 0, refused: 0 };
}

/** A reply without a DNS message. */
function refusal(status: number): DohReply {
  const allow = status === 405 ? { allow: 'GET, POST' } : {};
  return { status, headers: { ...allow, 'content-length': 0 }, body: undefined };
}

export class DohAnswers {
  readonly #respond: Respond;
  readonly #table: StreamTable | undefined;
  readonly #offer: ConnectionOffer;
  readonly #counters: DohCounters;

  /** `isEncrypted`: the client pads its queries so that others cannot tell them apart by their length. */
  constructor(
    respond: Respond,
    table: StreamTable | undefined,
    isEncrypted: boolean,
    counters: DohCounters,
  ) {
    this.#respond = respond;
    this.#table = table;
    this.#offer = { isEncrypted };
    this.#counters = counters;
  }

  /** Calls `send` at most once, at once if no other server needs to be asked. */
  answer(query: Uint8Array, client: DnsClient, send: (reply: DohReply) => void): void {
    if (!isQuery(query)) {
      send(this.refuse(BAD_REQUEST.status));
      return;
    }
    const ready = this.#table?.answerMessage(query, client, this.#offer);
    if (ready !== undefined) {
      send(this.#replyWith(ready));
      return;
    }
    const options = replyOptionsFor(query, this.#offer);
    this.#respond(query, client, (reply) =>
      send(this.#replyWith(withReplyOptions(reply, options))),
    );
  }

  refuse(status: number): DohReply {
    this.#counters.refused++;
    return refusal(status);
  }

  #replyWith(message: Uint8Array): DohReply {
    this.#counters.answered++;
    const headers = {
      'content-type': DNS_MESSAGE,
      'content-length': message.length,
      'cache-control': cacheControlOf(message),
    };
    return { status: 200, headers, body: message };
  }
}
