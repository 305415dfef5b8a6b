/**
 * Finds the response to a question: from our zones, or from other servers if the client may use recursion. It is
 * synchronous unless it needs another server's answer.
 */
import {
  type DnsClient,
  Ede,
  type ExtendedError,
  type Query,
  type Question,
  type Response,
  refused,
  STALE,
  servfail,
} from '../dns/message.ts';
import { Class, Type } from '../dns/rr.ts';
import { replyLimit } from '../dns/truncate.ts';
import type { Forwarded, ForwardOptions } from '../forward/outcome.ts';
import { hasPrivateAddress } from '../forward/privateNames.ts';
import { answer, type Decision, mayBeOurs } from '../zone/answer.ts';
import { referral } from '../zone/delegation.ts';
import { foreignPart, foreignReplyOf } from '../zone/follow.ts';
import { inRandomOrder } from '../zone/rrset.ts';
import type { Basis, MissingQuestion } from '../zone/tree/lookupState.ts';
import type { External, Externals, View } from '../zone/tree/view.ts';
import { designatedAnswer, isDesignatedName } from './designated.ts';
import { externalOf, outsideResponse, staleError } from './forwarded.ts';
import { awaited, firstAlternative, LearnedExternals } from './learnedExternals.ts';
import {
  chaosAnswer,
  DEFAULT_VERSION_TEXT,
  resolverArpaAnswer,
  type ServerTexts,
} from './ownNames.ts';
import type { ResolveOptions } from './resolveOptions.ts';
import { NXNAME_REFUSAL } from './signedAnswers.ts';
import { isWildcardName, WildcardAnswers } from './wildcardAnswers.ts';

export type Resolve = (query: Query, client: DnsClient) => Response | Promise<Response>;

/** Rounds of questions to other servers for one question: an answer may lead back into our zones and out again. */
const MAX_ROUNDS = 4;

/** Successive multiples of the golden ratio fill [0, 1) evenly, and so does every second or third of them. */
const GOLDEN_RATIO = 0.618_033_988_749_894_9;

/** What the rounds of one question share. */
interface QueryContext {
  readonly query: Query;
  readonly client: DnsClient;
  readonly sampleStart: number;
  readonly mayRecurse: boolean;
}

export function createResolve(options: ResolveOptions): Resolve {
  const resolver = new Resolver(options);
  return (query, client) => resolver.resolve(query, client);
}

class Resolver {
  readonly #options: ResolveOptions;
  readonly #wildcardAnswers = new WildcardAnswers();
  #sampleStart = 0;

  constructor(options: ResolveOptions) {
    this.#options = options;
  }

  resolve(query: Query, client: DnsClient): Response | Promise<Response> {
    this.#sampleStart = (this.#sampleStart + GOLDEN_RATIO) % 1;
    const { forwarder, mayRecurse } = this.#options;
    if (query.question.qtype === Type.NXNAME) return NXNAME_REFUSAL;
    const isOffered = forwarder() !== undefined && mayRecurse(client.address);
    const context = { query, client, sampleStart: this.#sampleStart, mayRecurse: isOffered };
    const response = this.#decide(context, this.#newLearned(context), 0);
    if (!isOffered) return response;
    return response instanceof Promise ? response.then(offerRecursion) : offerRecursion(response);
  }

  #newLearned(context: QueryContext): LearnedExternals {
    return new LearnedExternals((question) => {
      const forwarder = this.#options.forwarder();
      if (forwarder === undefined) return { kind: 'unavailable' };
      const known = forwarder.peek(question, optionsOf(context));
      return known && this.#externalOf(question, known);
    });
  }

  #decide(
    context: QueryContext,
    learned: LearnedExternals,
    round: number,
  ): Response | Promise<Response> {
    const { question } = context.query;
    if (question.qclass === Class.CH)
      return chaosAnswer(question, this.#options.texts?.() ?? DEFAULT_TEXTS);
    const freshness = this.#options.freshness();
    const { settings, hasStubZones } = this.#options;
    if (freshness === 'loading' && (hasStubZones?.() || mayBeOurs(settings(), question))) {
      return servfail(Ede.NOT_READY, 'the store has not been read yet');
    }
    const isWildcard = isWildcardName(this.#options.settings(), question.qname);
    const view = this.#view(context, learned, isWildcard);
    const decided = isWildcard ? this.#answerWildcard(view, question) : answer(view, question);
    switch (decided.kind) {
      case 'response':
        return this.#respond(context, view, decided, learned.isStale);
      case 'delegated': {
        const isAsked = context.mayRecurse && context.query.recursionDesired;
        if (isAsked && this.#options.asksDelegated?.()) return this.#forward(context, round);
        const dnssecOk = context.query.edns?.dnssecOk === true;
        const response = referral(view, decided.cut, dnssecOk);
        return this.#respond(context, view, { kind: 'response', response }, false);
      }
      case 'notOurs': {
        const own = this.#designated(context) ?? resolverArpaAnswer(question);
        if (own !== undefined) return own;
        return context.mayRecurse
          ? this.#forward(context, round)
          : refused(NOT_OURS, Ede.NOT_AUTHORITATIVE);
      }
      case 'incomplete':
        if (round === MAX_ROUNDS) return servfail(Ede.OTHER, 'the chain of names is too long');
        return this.#learn(context, decided.missing, learned).then(() =>
          this.#decide(context, learned, round + 1),
        );
    }
  }

  /** The response made of a decision: signed, if the client wants signatures; `isStale`: other servers' stale answers. */
  #respond(
    { query, client }: QueryContext,
    view: View,
    decided: Extract<Decision, { kind: 'response' }>,
    isStale: boolean,
  ): Response | Promise<Response> {
    const { signedAnswers, onDecided, onSigning, freshness, random } = this.#options;
    const { question } = query;
    const { basis } = decided;
    const response =
      signedAnswers?.ownResponse(view, question, decided.response) ?? decided.response;
    // The answer table has no place for the extended error of a stale answer.
    const isForTable = !isStale && response === decided.response && basis && isForAll(query, basis);
    const published = isForTable ? { question, view, response, basis } : undefined;
    if (published !== undefined) onDecided?.(published);
    const isStoreStale = freshness() === 'stale';
    const finished = (made: Response): Response => {
      const limitedAs = basis?.synthesis?.wildcard ?? made.limitedAs;
      const ordered = { ...inRandomOrder(question, made, view.settings, random), limitedAs };
      if (isStale) return marked(ordered, staleError(ordered.rcode));
      return isStoreStale ? marked(ordered, STALE) : ordered;
    };
    if (signedAnswers === undefined || query.edns?.dnssecOk !== true) return finished(response);
    const request = {
      ...{ query, view, question, response, basis },
      canWait: client.transport !== 'udp',
    };
    return signedAnswers.respond(request, finished, published && onSigning?.(published));
  }

  #designated({ query, client }: QueryContext): Response | undefined {
    const { question } = query;
    if (!isDesignatedName(question.qname)) return undefined;
    const designated = this.#options.designated?.();
    return designated && designatedAnswer(question, designated, client);
  }

  #answerWildcard(view: View, question: Question): Decision {
    const version = this.#options.version();
    const known = this.#wildcardAnswers.get(question, view, version);
    if (known !== undefined) return { kind: 'response', response: known };
    const decided = answer(view, question);
    if (decided.kind !== 'response' || decided.basis === undefined) return decided;
    const { leadsOutside, isPersonal } = decided.basis;
    if (!leadsOutside && !isPersonal) this.#wildcardAnswers.put(question, view, decided.response);
    return decided;
  }

  /**
   * Over UDP a decision is made for the largest reply, because the answer table holds it for all clients. Encoding cuts
   * it for a client that can receive less. A wildcard's answer is not published, so its look-up stops at the size that
   * this client can receive.
   */
  #view(
    { query, client, sampleStart }: QueryContext,
    externals: Externals,
    isWildcard: boolean,
  ): View {
    const { root, facts, settings, maxUdpOctets, onError } = this.#options;
    const mostOctets = isWildcard ? replyLimit(query, client, maxUdpOctets) : maxUdpOctets;
    return {
      root,
      settings: settings(),
      nowMs: this.#options.monotonicMs(),
      unixSeconds: this.#options.unixSeconds(),
      sampleStart,
      externals,
      facts,
      localAddress: client.localAddress,
      recursionDesired: query.recursionDesired,
      roomOctets: client.transport === 'udp' ? mostOctets : undefined,
      onFault: onError,
    };
  }

  /** Sends the missing questions to other servers, and adds their answers. */
  async #learn(
    context: QueryContext,
    missing: readonly MissingQuestion[],
    learned: LearnedExternals,
  ): Promise<void> {
    learned.sent += missing.length;
    const asking = missing.map((one) => ({
      ...one,
      answered: this.#askAbout(context, one.question),
    }));
    const isEnough = firstAlternative(asking);
    await Promise.all(
      asking.map(async (one) => learned.add(one.question, await awaited(one, isEnough))),
    );
  }

  async #askAbout(context: QueryContext, question: Question): Promise<External> {
    const forwarder = this.#options.forwarder();
    if (forwarder === undefined) return { kind: 'unavailable' };
    return this.#externalOf(question, await forwarder.resolve(question, optionsOf(context)));
  }

  /** The other server's answer as our names use it: without records if rebind protection withholds them. */
  #externalOf(question: Question, forwarded: Forwarded): External {
    const external = externalOf(forwarded);
    const hasRrs = external.kind === 'found' || external.kind === 'nxdomain';
    if (!hasRrs || this.#options.mayRebind(question.qname)) return external;
    const reply = foreignReplyOf(external);
    const { rrs, leadsInside } = foreignPart(this.#options.settings(), reply, question);
    return leadsInside || hasPrivateAddress(rrs) ? { ...external, rrs: [] } : external;
  }

  async #forward(context: QueryContext, round: number): Promise<Response> {
    const { query } = context;
    const forwarder = this.#options.forwarder();
    if (forwarder === undefined) return refused(NOT_OURS, Ede.NOT_AUTHORITATIVE);
    if (!query.recursionDesired) {
      return refused(`${NOT_OURS}, and RD is not set`, Ede.NOT_AUTHORITATIVE);
    }
    const { question } = query;
    const forwarded = await forwarder.resolve(question, optionsOf(context));
    const { response, back } = outsideResponse(question, forwarded, this.#options);
    const isFlushed = forwarded.kind === 'answered' && forwarded.flushed === true;
    // Another configuration may have come meanwhile, with other upstreams.
    const isCurrent = forwarder === this.#options.forwarder() && !isFlushed;
    if (back === undefined && isCurrent && isPlain(query))
      this.#options.onForwarded?.(question, response);
    if (back === undefined || round === MAX_ROUNDS) {
      const { settings, random } = this.#options;
      return inRandomOrder(question, response, settings(), random);
    }
    // The server has no authority over the rest of the chain, or does not know it.
    const onward = {
      ...context,
      query: { ...query, question: { ...question, qname: back } },
    };
    const rest = await this.#decide(onward, this.#newLearned(onward), round + 1);
    const { extendedError = rest.extendedError } = response;
    return {
      ...rest,
      authoritative: false,
      answer: [...response.answer, ...rest.answer],
      extendedError,
    };
  }
}

const DEFAULT_TEXTS: ServerTexts = { identity: undefined, version: DEFAULT_VERSION_TEXT };

const NOT_OURS = 'not one of our zones';

/**
 * Whether the decision holds for every client: not if it depends on the address that received the question. With CD or
 * DO other servers may answer differently (unchecked, or with signatures), and without RD they are not asked.
 */
function isForAll(query: Query, { leadsOutside, isPersonal }: Basis): boolean {
  return !isPersonal && (isPlain(query) || !leadsOutside);
}

/** Other servers' answers depend on these flags. */
function isPlain({ recursionDesired, checkingDisabled, edns }: Query): boolean {
  return recursionDesired && !checkingDisabled && edns?.dnssecOk !== true;
}

function offerRecursion(response: Response): Response {
  return { ...response, recursionAvailable: true };
}

function optionsOf({ query, client }: QueryContext): ForwardOptions {
  const { checkingDisabled, edns } = query;
  const { address } = client;
  return {
    checkingDisabled,
    dnssecOk: edns?.dnssecOk === true,
    client: address,
    path: edns?.path,
    isStubMarked: edns?.isStubMarked,
  };
}

/** RFC 8767 §4, RFC 8914 §4.4. */
function marked(response: Response, extendedError: ExtendedError): Response {
  return response.extendedError === undefined ? { ...response, extendedError } : response;
}
