/**
 * The questions that upstreams are asked right now. Who asks the same joins the flight that is under way; how many
 * flights there are, and how many callers wait for them, is bounded.
 *
 * Shares. Where all flights are taken, a client that has few of them gets one from the client that has most: its oldest
 * is given up, as the likeliest to be one whose servers keep silent. So a client that asks for thousands of names without
 * an answer takes places from itself, and others' questions go out.
 *
 * Loops. `withoutOwnAddresses` drops upstreams that are ourselves, and soradns servers mark the way of a question
 * (`dns/path.ts`). A loop through others comes back as a question in the very random case that is in flight: that one is
 * refused at once. Where the case is lost on the way, the question joins the one in flight, so a loop never adds packets;
 * it ends with the deadline.
 */
import type { Question } from '../dns/message.ts';
import type { Forwarded } from './forwarder.ts';
import { identicalNames, letterCount } from './reply.ts';

export interface Flight {
  /** In the random case that is on its way. */
  readonly question: Question;
  readonly outcome: Promise<Forwarded>;
  /** Ends the asking; what `outcome` then comes to does not matter. */
  readonly abort: () => void;
}

export interface FlightLimits {
  /** Flights at once. */
  readonly maxInFlight: number;
  /** Callers that wait for them. */
  readonly maxWaiting: number;
}

/** A question of a client. */
export interface Passenger {
  /** Equal for questions that one reply answers. */
  readonly key: string;
  readonly question: Question;
  readonly client: string;
}

/** Fewer letters than this can agree with somebody else's random case by chance. */
const LOOP_LETTERS = 12;

/** From three quarters of `maxWaiting` on, one client may have so small a part of it. */
const WAITING_SHARE = 1 / 16;

export const COME_BACK: Forwarded = {
  kind: 'refused',
  text: 'our own question came back: an upstream forwards to us',
};
const CROWDED: Forwarded = {
  kind: 'failed',
  reason: 'servfail',
  text: 'too many questions in flight',
};

/** A flight with its owner: the client whose question started it. */
interface Airborne {
  readonly question: Question;
  readonly client: string;
  readonly landed: Promise<Forwarded>;
  readonly giveUp: () => void;
}

export class Flights {
  readonly #limits: FlightLimits;
  readonly #flights = new Map<string, Airborne>();
  /** Keys of each client's flights, the oldest first. */
  readonly #keysOf = new Map<string, Set<string>>();
  /** Callers by client. */
  readonly #waitingOf = new Map<string, number>();
  #waiting = 0;

  constructor(limits: FlightLimits) {
    this.#limits = limits;
  }

  /** The outcome of the flight of this key; `depart` starts it when there is none. */
  async join(passenger: Passenger, depart: () => Flight): Promise<Forwarded> {
    const { key, question, client } = passenger;
    const known = this.#flights.get(key);
    if (known !== undefined && isOurOwn(question, known.question)) return COME_BACK;
    if (!this.#mayWait(client)) return CROWDED;
    if (known === undefined && !this.#makeRoom(client)) return CROWDED;
    const outcome = await this.#wait(client, known ?? this.#launch(passenger, depart()));
    // The flight of another client was given up for that client's sake, not for this one's.
    const isOthers = known !== undefined && known.client !== client;
    return outcome === CROWDED && isOthers ? this.join(passenger, depart) : outcome;
  }

  async #wait(client: string, { landed }: Airborne): Promise<Forwarded> {
    this.#countWaiting(client, 1);
    try {
      return await landed;
    } finally {
      this.#countWaiting(client, -1);
    }
  }

  /** Gives up all of them, and settles when none is left. */
  async close(): Promise<void> {
    const all = [...this.#flights.values()];
    for (const { giveUp } of all) giveUp();
    await Promise.all(all.map(({ landed }) => landed));
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

  /** Whether the client may have one more flight. */
  #makeRoom(client: string): boolean {
    if (this.#flights.size < this.#limits.maxInFlight) return true;
    const own = this.#keysOf.get(client)?.size ?? 0;
    let most = new Set<string>();
    for (const keys of this.#keysOf.values()) if (keys.size > most.size) most = keys;
    // Where nobody has more than one above us, taking turns would only end what is about to be answered.
    if (most.size <= own + 1) return false;
    const [oldest = ''] = most;
    this.#flights.get(oldest)?.giveUp();
    return true;
  }

  #launch({ key, client }: Passenger, { question, outcome, abort }: Flight): Airborne {
    const { promise: givenUp, resolve } = withResolver<Forwarded>();
    const giveUp = (): void => {
      this.#end(key, client);
      resolve(CROWDED);
      abort();
    };
    const landed = Promise.race([outcome, givenUp]).finally(() => {
      if (this.#flights.get(key) === airborne) this.#end(key, client);
    });
    const airborne = { question, client, landed, giveUp };
    this.#flights.set(key, airborne);
    const keys = this.#keysOf.get(client) ?? new Set();
    this.#keysOf.set(client, keys.add(key));
    return airborne;
  }

  #end(key: string, client: string): void {
    this.#flights.delete(key);
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
