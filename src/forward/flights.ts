/**
 * The questions that upstreams are asked right now. Who asks the same joins the flight that is under way; how many
 * flights there are, and how many wait for them, is bounded.
 *
 * Loops (F5). `withoutOwnAddresses` drops upstreams that are ourselves. A loop through others comes back as a question
 * in the very random case that is in flight: that one is refused at once. Where the case is lost on the way, the question
 * joins the one in flight, so a loop never adds packets; it ends with the deadline.
 */
import type { Question } from '../dns/message.ts';
import type { Forwarded } from './forwarder.ts';
import { identicalNames, letterCount } from './randomCase.ts';

export interface Flight {
  /** In the random case that is on its way. */
  readonly question: Question;
  readonly outcome: Promise<Forwarded>;
}

export interface FlightLimits {
  /** Flights at once; a question that needs another one fails. */
  readonly maxInFlight: number;
  /** Callers that wait for them. */
  readonly maxWaiting: number;
}

/** Fewer letters than this can agree with somebody else's random case by chance. */
const LOOP_LETTERS = 12;

const COME_BACK: Forwarded = {
  kind: 'refused',
  text: 'our own question came back: an upstream forwards to us',
};
const CROWDED: Forwarded = {
  kind: 'failed',
  reason: 'servfail',
  text: 'too many questions in flight',
};

export class Flights {
  readonly #limits: FlightLimits;
  readonly #flights = new Map<string, Flight>();
  #waiting = 0;

  constructor(limits: FlightLimits) {
    this.#limits = limits;
  }

  /** The outcome of the flight of this key; `depart` starts it when there is none. */
  async join(key: string, question: Question, depart: () => Flight): Promise<Forwarded> {
    const flight = this.#flights.get(key);
    if (flight !== undefined && isOurOwn(question, flight.question)) return COME_BACK;
    if (this.#waiting >= this.#limits.maxWaiting) return CROWDED;
    if (flight === undefined && this.#flights.size >= this.#limits.maxInFlight) return CROWDED;
    this.#waiting++;
    try {
      return await (flight ?? this.#launch(key, depart())).outcome;
    } finally {
      this.#waiting--;
    }
  }

  /** Settles when no flight of now is left. */
  async landed(): Promise<void> {
    await Promise.allSettled([...this.#flights.values()].map(({ outcome }) => outcome));
  }

  #launch(key: string, { question, outcome }: Flight): Flight {
    const flight = { question, outcome: outcome.finally(() => this.#flights.delete(key)) };
    this.#flights.set(key, flight);
    return flight;
  }
}

function isOurOwn(question: Question, { qname }: Question): boolean {
  return letterCount(qname) >= LOOP_LETTERS && identicalNames(question.qname, qname);
}
