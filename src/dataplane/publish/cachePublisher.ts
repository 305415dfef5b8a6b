/**
 * Puts other servers' answers into the cache, and reads them back for the main thread. The cache takes an answer when
 * its question is asked for the second time, so a flood of random names puts nothing into it.
 */
import { Cursor } from '../../dns/cursor.ts';
import { decodeMessage } from '../../dns/decode.ts';
import { Ede, keptSeconds, type Message, type Question, type Response } from '../../dns/message.ts';
import { equalNames, foldName, isSubdomainOf, type Name, wireName } from '../../dns/name.ts';
import { Class, Rcode } from '../../dns/rr.ts';
import { Flag, HEADER_OCTETS, QUESTION_FIELDS_OCTETS } from '../../dns/wire.ts';
import type { AnswerCache } from '../cache/answerCache.ts';
import type { CachedAnswer, CacheEntry, CacheQuestion } from '../cache/blocks.ts';
import { EXPIRED, NEVER } from '../cache/layout.ts';
import {
  AnswerField,
  CUT_WORDS,
  FOREVER,
  rcodeOf,
  sectionCounts,
  variantCountOf,
  wordsFor,
} from '../table/layout.ts';
import { rotationsOf } from './rotations.ts';
import { encodeBehindQuestion, mayBeTruncated, receivable, variantsOf } from './variants.ts';

export interface CachePublisherOptions {
  readonly cache: AnswerCache;
  /** Octets of the longest reply over UDP. */
  readonly maxUdpOctets: number;
  /** Whether answers that clients ask for are prefetched. */
  readonly mayPrefetch: () => boolean;
  /** Whether addresses come in another order in each reply, as in those about our names. */
  readonly roundRobin: () => boolean;
  /** In [0, 1). */
  readonly random: () => number;
  /** The clock of the cache's readers. */
  readonly monotonicMs: () => number;
  /** Receives the error if an answer could not be published, which is a bug. Must not throw. */
  readonly onError: (error: unknown) => void;
}

type EntryTimes = Pick<CacheEntry, 'staleUntilSecond' | 'prefetchAtSecond'> & {
  readonly untilSecond: number;
};

/** An answer of the cache as a message, with the TTLs that it had at `storedMs` of the monotonic clock. */
export interface CachedMessage {
  readonly message: Message;
  readonly storedMs: number;
  readonly expiresMs: number;
}

/**
 * How long a stale answer holds, at most. Then the next question is a miss. It is short because only the forwarder knows
 * when an upstream has replied meanwhile; the forwarder also limits how often it sends the question.
 */
const STALE_SECONDS = 1;
/** The orders of one answer's records take about so many octets at most, so that long answers displace few others. */
const ORDERS_OCTETS = 4096;
/** With fewer, clients that get a part of a long answer would never get some of its records. */
const LEAST_ORDERS = 3;
/** An answer is prefetched in the last part of its life. */
const PREFETCH_PART = 10;

export class CachePublisher {
  readonly #options: CachePublisherOptions;

  constructor(options: CachePublisherOptions) {
    this.#options = options;
  }

  /**
   * Takes the response to a question of a client if it is asked for again, or if the cache has an earlier answer, which
   * has expired. The response must be the one for every client that sets RD, and neither CD nor DO.
   */
  offer(question: Question, response: Response): void {
    const { cache, onError } = this.#options;
    try {
      const asked = this.#asked(question);
      const isAskedAgain = cache.ask(asked);
      const earlier = cache.find(asked);
      const isWanted = earlier === undefined ? isAskedAgain : !this.#isFresh(earlier);
      if (isWanted) this.#publish(question, asked, response);
    } catch (error) {
      onError(error);
    }
  }

  /** Takes the response at once, in place of an earlier one. The same conditions as for `offer`. */
  replace(question: Question, response: Response): void {
    try {
      this.#publish(question, this.#asked(question), response);
    } catch (error) {
      this.#options.onError(error);
    }
  }

  /** Questions whose answers clients have asked for at the end of their lives; see `AnswerCache.takeNotes`. */
  takeQuestions(most: number): Question[] {
    return this.#options.cache.takeNotes(most).map(({ name, qtype }) => {
      return { qname: new Cursor(name).name(), qtype, qclass: Class.IN };
    });
  }

  /** The answer in the cache, even if it has expired; `undefined` if nothing says when, or it is not whole. */
  find(question: Question): CachedMessage | undefined {
    const found = this.#options.cache.find(this.#asked(question));
    if (found === undefined || found.untilSecond === EXPIRED) return undefined;
    const message = messageOf(question, found);
    if (message === undefined) return undefined;
    const { ttlsAtSecond, untilSecond } = found;
    return { message, storedMs: ttlsAtSecond * 1000, expiresMs: untilSecond * 1000 };
  }

  /** Whether the cache has an answer to the question that holds. */
  has(question: Question): boolean {
    if (question.qclass !== Class.IN) return false;
    const found = this.#options.cache.find(this.#asked(question));
    return found !== undefined && this.#isFresh(found);
  }

  /** Removes the answers to questions about a name and the names below it, or all. Returns how many held. */
  flush(name: Name | undefined): number {
    const isMeant = (wire: Uint8Array): boolean =>
      name === undefined || isSubdomainOf(new Cursor(wire).name(), name);
    return this.#options.cache.flush(isMeant, this.#second());
  }

  #asked({ qname, qtype }: Question): CacheQuestion {
    return this.#options.cache.question(wireName(foldName(qname)), qtype);
  }

  #isFresh({ untilSecond }: CachedAnswer): boolean {
    return untilSecond > this.#second();
  }

  #publish(question: Question, asked: CacheQuestion, response: Response): void {
    const freshness = question.qclass === Class.IN ? freshnessOf(response) : undefined;
    if (freshness === undefined) return;
    const { cache } = this.#options;
    const second = this.#second();
    if (freshness === 'stale') {
      const staleUntilSecond = second + STALE_SECONDS;
      // The answer that the cache has says when it expired, and this one does not.
      if (cache.serveStale(asked, staleUntilSecond)) return;
      const times = { untilSecond: EXPIRED, staleUntilSecond, prefetchAtSecond: NEVER };
      this.#write(question, asked, response, times);
      return;
    }
    const life = keptSeconds(question.qtype, response);
    if (life > 0) this.#write(question, asked, response, this.#timesOf(life, second));
    else cache.remove(asked); // It would be served as the last answer when no upstream replies.
  }

  #timesOf(life: number, second: number): EntryTimes {
    const untilSecond = Math.min(second + life, FOREVER);
    const lastPart = Math.max(1, Math.floor(life / PREFETCH_PART));
    const isPrefetched = life > lastPart && this.#options.mayPrefetch();
    const prefetchAtSecond = isPrefetched ? untilSecond - lastPart : NEVER;
    return { untilSecond, staleUntilSecond: 0, prefetchAtSecond };
  }

  #write(
    question: Question,
    asked: CacheQuestion,
    response: Response,
    { untilSecond, staleUntilSecond, prefetchAtSecond }: EntryTimes,
  ): void {
    const { cache, maxUdpOctets, roundRobin, random } = this.#options;
    const qname = foldName(question.qname);
    const neutral = withQname(response, qname);
    const encode = (order: Response) =>
      encodeBehindQuestion({ ...question, qname }, order, maxUdpOctets);
    const encoded = encode(neutral);
    const mayBeCut = mayBeTruncated(encoded);
    const octets = encoded.octets.length || maxUdpOctets;
    const most = Math.max(LEAST_ORDERS, Math.floor(ORDERS_OCTETS / octets));
    const rules = { roundRobin: roundRobin(), mayBeCut, start: random(), most };
    const { rotations, isFixed } = rotationsOf(question, neutral, rules);
    const orders = receivable(
      rotations.map((order) => ({
        response: order,
        encoded: order === neutral ? encoded : encode(order),
      })),
    );
    if (orders.length === 0) {
      cache.remove(asked);
      return;
    }
    const variants = variantsOf(orders, () => true);
    const second = this.#second();
    const answer = {
      ...{ untilSecond, ttlsAtSecond: second, rcode: response.rcode, words: variants.words },
      ...{ authoritative: false, plainOnly: true, fixedOrder: isFixed, variants: variants.count },
    };
    cache.publish({ ...asked, answer, staleUntilSecond, prefetchAtSecond }, second);
  }

  #second(): number {
    return Math.floor(this.#options.monotonicMs() / 1000);
  }
}

/** The response without one client's spelling of the question: compression then repeats each client's own. */
function withQname(response: Response, qname: Name): Response {
  const answer = response.answer.map((rr) =>
    equalNames(rr.owner, qname) ? { ...rr, owner: qname } : rr,
  );
  return { ...response, answer };
}

/** `undefined` for a response that the cache does not take: an error, or one that only this client gets. */
function freshnessOf({ rcode, extendedError }: Response): 'fresh' | 'stale' | undefined {
  if (rcode !== Rcode.NOERROR && rcode !== Rcode.NXDOMAIN) return undefined;
  if (extendedError === undefined) return 'fresh';
  const { code } = extendedError;
  return code === Ede.STALE_ANSWER || code === Ede.STALE_NXDOMAIN ? 'stale' : undefined;
}

/** The reply that the cache holds, as a message with the folded qname; `undefined` if it is not whole. */
function messageOf(question: Question, found: CachedAnswer): Message | undefined {
  const { words, variant: variants, head } = found;
  // Before several variants come their addresses, relative to the answer.
  const isSingle = variantCountOf(head) === 1;
  const variant = isSingle
    ? variants
    : variants - AnswerField.VARIANTS + (words[variants] as number);
  const sizes = words[variant] as number;
  const longest = words[variant + 1] as number;
  const isTruncated = longest >>> 16 !== 0;
  if (isTruncated) return undefined;
  const length = longest & 0xffff;
  const bodyAt = variant + 1 + (sizes & 0xffff) * CUT_WORDS + (sizes >>> 16);
  const body = new Uint8Array(words.slice(bodyAt, bodyAt + wordsFor(length)).buffer, 0, length);
  const name = wireName(question.qname);
  const packet = new Uint8Array(HEADER_OCTETS + name.length + QUESTION_FIELDS_OCTETS + length);
  const counts = sectionCounts(words[variant + 2] as number);
  const flags = Flag.QR | Flag.RD | Flag.RA | rcodeOf(head);
  const view = new DataView(packet.buffer);
  [0, flags, 1, ...counts].forEach((value, i) => {
    view.setUint16(2 * i, value);
  });
  packet.set(name, HEADER_OCTETS);
  view.setUint16(HEADER_OCTETS + name.length, question.qtype);
  view.setUint16(HEADER_OCTETS + name.length + 2, question.qclass);
  packet.set(body, packet.length - length);
  return decodeMessage(packet);
}
