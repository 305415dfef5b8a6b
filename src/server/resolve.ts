/**
 * From a question to its response: out of our zones, or from others if the client may have us ask them. At once whenever
 * nobody else has to be asked.
 */
import { Ede, type Query, type Question, type Response, STALE } from '../dns/message.ts';
import type { Client } from '../dns/respond.ts';
import { refused, servfail } from '../dns/response.ts';
import { Rcode } from '../dns/rr.ts';
import type { Forwarded, Forwarder, ForwardOptions } from '../forward/forwarder.ts';
import { answer, mayBeOurs } from '../zone/answer.ts';
import { foreignPart } from '../zone/elsewhere.ts';
import { type External, externalKey } from '../zone/external.ts';
import type { Node } from '../zone/tree.ts';
import type { View, ZoneSettings } from '../zone/view.ts';
import type { MissingQuestion } from '../zone/work.ts';

/** How true the zones' data is, as `MirrorState` has it. */
export type Freshness =
  /** The store was never read to its end: a name that seems missing may only not be there yet. */
  | 'loading'
  | 'synced'
  /** The store is out of reach; what is held is the last that was known. */
  | 'stale';

export interface ResolveOptions {
  readonly root: Node;
  readonly settings: () => ZoneSettings;
  readonly freshness: () => Freshness;
  /** `undefined`: nobody is asked, whoever the client. */
  readonly forwarder: () => Forwarder | undefined;
  /** Whether names outside our zones are looked up for this client address. */
  readonly mayRecurse: (address: string) => boolean;
  readonly monotonicMs: () => number;
  readonly unixSeconds: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  /** Told of each question that was answered out of our names for anybody, and of what others said to it. */
  readonly onOurs?: ((question: Question, externals: Externals) => void) | undefined;
}

export type Resolve = (query: Query, client: Client) => Response | Promise<Response>;

/** How long an answer that is complete enough waits for what others might add. */
const OPTIONAL_WAIT_MS = 300;

/** Rounds of asking elsewhere for one question: an answer may lead back into our zones and out again. */
const MAX_ROUNDS = 4;

type Externals = ReadonlyMap<string, External>;
const NO_EXTERNALS: Externals = new Map();

/** Successive multiples of the golden ratio fill [0, 1) evenly, also every second or third of them. */
const GOLDEN_RATIO = 0.618_033_988_749_894_9;

/** What stays the same through the rounds of one question. */
interface Asked {
  readonly query: Query;
  readonly turn: number;
  readonly mayRecurse: boolean;
}

export function createResolve(options: ResolveOptions): Resolve {
  const resolver = new Resolver(options);
  return (query, client) => resolver.resolve(query, client);
}

class Resolver {
  readonly #options: ResolveOptions;
  #turn = 0;

  constructor(options: ResolveOptions) {
    this.#options = options;
  }

  resolve(query: Query, client: Client): Response | Promise<Response> {
    this.#turn = (this.#turn + GOLDEN_RATIO) % 1;
    const { forwarder, mayRecurse } = this.#options;
    const isOffered = forwarder() !== undefined && mayRecurse(client.address);
    const asked = { query, turn: this.#turn, mayRecurse: isOffered };
    const response = this.#decide(asked, NO_EXTERNALS, 0);
    if (!isOffered) return response;
    return response instanceof Promise ? response.then(offerRecursion) : offerRecursion(response);
  }

  #decide(asked: Asked, externals: Externals, round: number): Response | Promise<Response> {
    const { question } = asked.query;
    const freshness = this.#options.freshness();
    if (freshness === 'loading' && mayBeOurs(this.#options.settings(), question)) {
      return servfail(Ede.NOT_READY, 'the store was not read yet');
    }
    const decided = answer(this.#view(asked.turn, externals), question);
    switch (decided.kind) {
      case 'response':
        if (decided.basis !== undefined && isForAll(asked.query, externals)) {
          this.#options.onOurs?.(question, externals);
        }
        return freshness === 'stale' ? markStale(decided.response) : decided.response;
      case 'elsewhere':
        return asked.mayRecurse
          ? this.#forward(asked, round)
          : refused(NOT_OURS, Ede.NOT_AUTHORITATIVE);
      case 'incomplete':
        if (round === MAX_ROUNDS) return servfail(Ede.OTHER, 'names lead on for too long');
        return this.#learn(asked.query, decided.missing, externals).then((known) =>
          this.#decide(asked, known, round + 1),
        );
    }
  }

  #view(turn: number, externals: Externals): View {
    const { root, settings, monotonicMs, unixSeconds, random } = this.#options;
    return {
      root,
      settings: settings(),
      nowMs: monotonicMs(),
      unixSeconds: unixSeconds(),
      turn,
      random,
      externals,
    };
  }

  /** What was known before, and the answers to what `answer` found missing. */
  async #learn(
    query: Query,
    missing: readonly MissingQuestion[],
    known: Externals,
  ): Promise<Externals> {
    const learned = missing.map(async ({ question, isOptional }): Promise<[string, External]> => {
      const answered = this.#askAbout(query, question);
      const key = externalKey(question.qname, question.qtype);
      return [key, await (isOptional ? orFailed(answered, OPTIONAL_WAIT_MS) : answered)];
    });
    return new Map([...known, ...(await Promise.all(learned))]);
  }

  async #askAbout(query: Query, question: Question): Promise<External> {
    const forwarder = this.#options.forwarder();
    if (forwarder === undefined) return { kind: 'unavailable' };
    return externalOf(await forwarder.resolve(question, optionsOf(query)));
  }

  async #forward(asked: Asked, round: number): Promise<Response> {
    const { query } = asked;
    const forwarder = this.#options.forwarder();
    if (forwarder === undefined) return refused(NOT_OURS, Ede.NOT_AUTHORITATIVE);
    if (!query.recursionDesired) {
      return refused(`${NOT_OURS}, and RD is not set`, Ede.NOT_AUTHORITATIVE);
    }
    const response = responseOf(await forwarder.resolve(query.question, optionsOf(query)));
    const { rrs, back } = foreignPart(this.#options.settings(), response.answer);
    if (back === undefined || round === MAX_ROUNDS) return { ...response, answer: rrs };
    // The rest of the chain is ours to say, whatever the upstream believes.
    const onward = { ...asked, query: { ...query, question: { ...query.question, qname: back } } };
    const rest = await this.#decide(onward, NO_EXTERNALS, round + 1);
    return { ...rest, authoritative: false, answer: [...rrs, ...rest.answer] };
  }
}

/** The answer, or `failed` when it takes longer; what comes later is in the forwarder's cache. */
async function orFailed(answered: Promise<External>, waitMs: number): Promise<External> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<External>((resolve) => {
    timer = setTimeout(resolve, waitMs, { kind: 'failed' });
  });
  try {
    return await Promise.race([answered, late]);
  } finally {
    clearTimeout(timer);
  }
}

const NOT_OURS = 'not one of our zones';

/** What others say to CD or DO is for those who ask so: unchecked, or with signatures. */
function isForAll({ checkingDisabled, edns }: Query, externals: Externals): boolean {
  return externals.size === 0 || !(checkingDisabled || edns?.dnssecOk === true);
}

function offerRecursion(response: Response): Response {
  return { ...response, recursionAvailable: true };
}

function optionsOf({ checkingDisabled, edns }: Query): ForwardOptions {
  return { checkingDisabled, dnssecOk: edns?.dnssecOk === true };
}

function externalOf(forwarded: Forwarded): External {
  switch (forwarded.kind) {
    case 'answered':
      return externalOfRcode(forwarded.message.rcode, forwarded);
    case 'failed':
      return { kind: 'failed' };
    case 'refused':
      return { kind: 'unavailable' };
  }
}

/** An upstream that says SERVFAIL or REFUSED has said nothing about the name. */
function externalOfRcode(
  rcode: number,
  { message }: Extract<Forwarded, { kind: 'answered' }>,
): External {
  switch (rcode) {
    case Rcode.NOERROR:
      return { kind: 'found', rrs: message.answer };
    case Rcode.NXDOMAIN:
      return { kind: 'nxdomain', rrs: message.answer };
    default:
      return { kind: 'failed' };
  }
}

function responseOf(forwarded: Forwarded): Response {
  switch (forwarded.kind) {
    case 'answered': {
      const { rcode, answer: rrs, authority, additional } = forwarded.message;
      return {
        rcode,
        authoritative: false,
        recursionAvailable: true,
        answer: rrs,
        authority,
        additional,
      };
    }
    case 'failed': {
      const { reason, text } = forwarded;
      return servfail(reason === 'servfail' ? Ede.NO_REACHABLE_AUTHORITY : Ede.NETWORK_ERROR, text);
    }
    case 'refused':
      return refused(forwarded.text, Ede.NOT_AUTHORITATIVE);
  }
}

/** RFC 8767 §4, RFC 8914 §4.4. */
function markStale(response: Response): Response {
  if (response.extendedError !== undefined) return response;
  return { ...response, extendedError: STALE };
}
