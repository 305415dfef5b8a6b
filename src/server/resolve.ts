/**
 * From a question to its response: out of our zones, or from others if the client may have us ask them. At once whenever
 * nobody else has to be asked.
 */
import { Ede, type Query, type Question, type Response } from '../dns/message.ts';
import type { Client } from '../dns/respond.ts';
import { refused, servfail } from '../dns/response.ts';
import { Rcode } from '../dns/rr.ts';
import type { Forwarded, Forwarder, ForwardOptions } from '../forward/forwarder.ts';
import { answer, mayBeOurs } from '../zone/answer.ts';
import { type External, externalKey, foreignPart } from '../zone/external.ts';
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

export function createResolve(options: ResolveOptions): Resolve {
  let turn = 0;

  return function resolve(query, client): Response | Promise<Response> {
    turn = (turn + GOLDEN_RATIO) % 1;
    const forwarder = options.forwarder();
    const mayRecurse = forwarder !== undefined && options.mayRecurse(client.address);
    const response = resolveWith(query, turn, NO_EXTERNALS, mayRecurse);
    if (!mayRecurse) return response;
    return response instanceof Promise ? response.then(offerRecursion) : offerRecursion(response);
  };

  function resolveWith(
    query: Query,
    ownTurn: number,
    externals: Externals,
    mayRecurse: boolean,
    round = 0,
  ): Response | Promise<Response> {
    const { question } = query;
    const freshness = options.freshness();
    if (freshness === 'loading' && mayBeOurs(options.settings(), question)) {
      return servfail(Ede.NOT_READY, 'the store was not read yet');
    }
    const decided = answer(view(ownTurn, externals), question);
    switch (decided.kind) {
      case 'response':
        return freshness === 'stale' ? markStale(decided.response) : decided.response;
      case 'elsewhere':
        return mayRecurse
          ? resolveElsewhere(query, ownTurn, round)
          : refused(NOT_OURS, Ede.NOT_AUTHORITATIVE);
      case 'incomplete':
        if (round === MAX_ROUNDS) return servfail(Ede.OTHER, 'names lead on for too long');
        return askElsewhere(query, decided.missing, externals).then((known) =>
          resolveWith(query, ownTurn, known, mayRecurse, round + 1),
        );
    }
  }

  function view(ownTurn: number, externals: Externals): View {
    return {
      root: options.root,
      settings: options.settings(),
      nowMs: options.monotonicMs(),
      unixSeconds: options.unixSeconds(),
      turn: ownTurn,
      random: options.random,
      externals,
    };
  }

  /** What was known before, and the answers to what `answer` found missing. */
  async function askElsewhere(
    query: Query,
    missing: readonly MissingQuestion[],
    known: Externals,
  ): Promise<Externals> {
    const asked = missing.map(async ({ question, isOptional }): Promise<[string, External]> => {
      const answered = askAbout(query, question);
      const key = externalKey(question.qname, question.qtype);
      return [key, await (isOptional ? orFailed(answered, OPTIONAL_WAIT_MS) : answered)];
    });
    return new Map([...known, ...(await Promise.all(asked))]);
  }

  async function askAbout(query: Query, question: Question): Promise<External> {
    const forwarder = options.forwarder();
    if (forwarder === undefined) return { kind: 'unavailable' };
    return externalOf(await forwarder.resolve(question, optionsOf(query)));
  }

  async function resolveElsewhere(query: Query, ownTurn: number, round: number): Promise<Response> {
    const forwarder = options.forwarder();
    if (forwarder === undefined) return refused(NOT_OURS, Ede.NOT_AUTHORITATIVE);
    if (!query.recursionDesired) {
      return refused(`${NOT_OURS}, and RD is not set`, Ede.NOT_AUTHORITATIVE);
    }
    const response = responseOf(await forwarder.resolve(query.question, optionsOf(query)));
    const { rrs, back } = foreignPart(options.settings(), response.answer);
    if (back === undefined || round === MAX_ROUNDS) return { ...response, answer: rrs };
    // The rest of the chain is ours to say, whatever the upstream believes.
    const question = { ...query.question, qname: back };
    const rest = await resolveWith({ ...query, question }, ownTurn, NO_EXTERNALS, true, round + 1);
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
  const extendedError = { code: Ede.STALE_ANSWER, text: 'the store is out of reach' };
  return { ...response, extendedError };
}
