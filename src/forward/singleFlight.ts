/**
 * The questions that upstreams have not answered yet. A caller with the same question waits for the one that was sent
 * already; both the questions and the callers that wait are bounded.
 *
 * Shares. When the questions reach their bound, a question of a client with few replaces one of the client with most:
 * its oldest one is cancelled, since that one's upstreams are the likeliest to be silent. So a client that asks for
 * thousands of names that no upstream answers uses up only its own share.
 *
 * Loops. `withoutOwnAddresses` drops upstreams that are this server, and soradns servers add their id to the questions
 * that they forward (`dns/edns.ts`). A loop through other servers comes back as a question in exactly the random case
 * of the pending one: it is refused at once. If a server on the loop changes the case, the question waits for the
 * pending one, so a loop never adds packets; it ends at the deadline.
 */
import type { Question } from '../dns/message.ts';
import type { Name } from '../dns/name.ts';
import { identicalNames, letterCount } from './exchange/randomCase.ts';
import type { Forwarded } from './outcome.ts';

export interface OutgoingQuestion {
  /** In the random case in which it was sent. */
  readonly question: Question;
  readonly outcome: Promise<Forwarded>;
  /** Ends the exchange with the upstreams; from then on `outcome` does not matter. */
  readonly abort: () => void;
  /** Marks the outcome as one that no cache may keep. */
  readonly forget: () => void;
}

export interface SingleFlightLimits {
  /** Questions sent and not answered. */
  readonly maxInFlight: number;
  /** Callers that wait for them. */
  readonly maxWaiting: number;
}

export interface WaitingCaller {
  /** Equal for questions that one reply answers. */
  readonly key: string;
  readonly question: Question;
  /** The client's address. */
  readonly client: string;
}

/** With fewer letters the case of a client's question can match a random case by chance. */
const LOOP_LETTERS = 12;

/** When three quarters of `maxWaiting` are in use, one client may have at most this share of `maxWaiting`. */
const WAITING_SHARE = 1 / 16;

export const LOOPED: Forwarded = {
  kind: 'refused',
  text: 'our own question came back: an upstream forwards to us',
};
export const SHUTTING_DOWN: Forwarded = {
  kind: 'failed',
  reason: 'network',
  text: 'shutting down',
};
const NO_ROOM: Forwarded = {
  kind: 'failed',
  reason: 'servfail',
  text: 'too many questions in flight',
};
const CANCELLED: Forwarded = {
  kind: 'failed',
  reason: 'servfail',
  text: 'too many questions in flight: cancelled for the question of another client',
};

interface PendingQuestion {
  readonly question: Question;
  /** The client whose question was the first. */
  readonly client: string;
  readonly outcome: Promise<Forwarded>;
  readonly cancel: (why: Forwarded) => void;
  readonly forget: () => void;
}

export class SingleFlight {
  readonly #limits: SingleFlightLimits;
  readonly #pending = new Map<string, PendingQuestion>();
  /** Keys of each client's pending questions, the oldest first. */
  readonly #keysOf = new Map<string, Set<string>>();
  /** Callers by client. */
  readonly #waitingOf = new Map<string, number>();
  #waiting = 0;
  #forgotten = 0;
  #isClosed = false;

  constructor(limits: SingleFlightLimits) {
    this.#limits = limits;
  }

  /**
   * The outcome of the pending question with this key. If none is pending, `send` sends the caller's. After `close`
   * nothing is sent.
   */
  async join(caller: WaitingCaller, send: () => OutgoingQuestion): Promise<Forwarded> {
    if (this.#isClosed) return SHUTTING_DOWN;
    const { key, question, client } = caller;
    const pending = this.#pending.get(key);
    if (pending !== undefined && isOurOwn(question, pending.question)) return LOOPED;
    if (!this.#mayWait(client)) return NO_ROOM;
    if (pending === undefined && !this.#makeRoom(client)) return NO_ROOM;
    const outcome = await this.#wait(client, pending ?? this.#start(caller, send()));
    // The question was cancelled because another client had too many; this caller sends it again.
    const isOtherClients = pending !== undefined && pending.client !== client;
    return outcome === CANCELLED && isOtherClients ? this.join(caller, send) : outcome;
  }

  /** Whether the question with this key is sent and not answered. */
  isPending(key: string): boolean {
    return this.#pending.has(key);
  }

  async #wait(client: string, { outcome }: PendingQuestion): Promise<Forwarded> {
    this.#countWaiting(client, 1);
    try {
      return await outcome;
    } finally {
      this.#countWaiting(client, -1);
    }
  }

  /** Forgets the questions about these names: their callers get the outcomes, and later callers do not share them. */
  forget(isMeant: (qname: Name) => boolean): void {
    for (const { question, forget } of [...this.#pending.values()])
      if (isMeant(question.qname)) forget();
  }

  /** Cancels all questions; resolves when none is pending. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const all = [...this.#pending.values()];
    for (const { cancel } of all) cancel(SHUTTING_DOWN);
    await Promise.all(all.map(({ outcome }) => outcome));
  }

  #mayWait(client: string): boolean {
    const { maxWaiting } = this.#limits;
    if (this.#waiting < (maxWaiting * 3) / 4) return true;
    const own = this.#waitingOf.get(client) ?? 0;
    return this.#waiting < maxWaiting && own < Math.max(1, maxWaiting * WAITING_SHARE);
  }

  #countWaiting(client: string, by: 1 | -1): void {
    this.#waiting += by;
    const own = (this.#waitingOf.get(client) ?? 0) + by;
    if (own === 0) this.#waitingOf.delete(client);
    else this.#waitingOf.set(client, own);
  }

  /** Whether the client may have one more pending question; cancels another client's if that is needed. */
  #makeRoom(client: string): boolean {
    if (this.#pending.size < this.#limits.maxInFlight) return true;
    const own = this.#keysOf.get(client)?.size ?? 0;
    let most = new Set<string>();
    for (const keys of this.#keysOf.values()) if (keys.size > most.size) most = keys;
    // Between clients with equal shares a cancellation would only lose a question that is about to be answered.
    if (most.size <= own + 1) return false;
    const [oldest = ''] = most;
    this.#pending.get(oldest)?.cancel(CANCELLED);
    return true;
  }

  #start(
    { key, client }: WaitingCaller,
    { question, outcome: reply, abort, forget: onForgotten }: OutgoingQuestion,
  ): PendingQuestion {
    let ownKey = key;
    const { promise: cancelled, resolve } = withResolver<Forwarded>();
    const cancel = (why: Forwarded): void => {
      this.#remove(ownKey, client);
      resolve(why);
      abort();
    };
    const outcome = Promise.race([reply, cancelled]).finally(() => {
      if (this.#pending.get(ownKey) === pending) this.#remove(ownKey, client);
    });
    const forget = (): void => {
      onForgotten();
      this.#remove(ownKey, client);
      // It still counts, under a key that no caller has.
      ownKey = `${key} ${this.#forgotten++}`;
      this.#add(ownKey, pending);
    };
    const pending = { question, client, outcome, cancel, forget };
    this.#add(key, pending);
    return pending;
  }

  #add(key: string, pending: PendingQuestion): void {
    const { client } = pending;
    this.#pending.set(key, pending);
    const keys = this.#keysOf.get(client) ?? new Set();
    this.#keysOf.set(client, keys.add(key));
  }

  #remove(key: string, client: string): void {
    this.#pending.delete(key);
    const keys = this.#keysOf.get(client);
    keys?.delete(key);
    if (keys?.size === 0) this.#keysOf.delete(client);
  }
}

/** `Promise.withResolvers`, which Node 20 does not have. */
function withResolver<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

function isOurOwn(question: Question, { qname }: Question): boolean {
  return letterCount(qname) >= LOOP_LETTERS && identicalNames(question.qname, qname);
}
