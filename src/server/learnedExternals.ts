/** Answers of other servers that one question needs: how long the question waits for each, and which it has used. */
import type { Question } from '../dns/message.ts';
import type { Name } from '../dns/name.ts';
import { Class } from '../dns/rr.ts';
import { withDeadline } from '../timing/deadline.ts';
import type { MissingQuestion } from '../zone/tree/lookupState.ts';
import { type External, type Externals, externalKey } from '../zone/tree/view.ts';

/** How long an answer waits for optional answers of other servers. */
const OPTIONAL_WAIT_MS = 300;

/** A question that was sent to another server. */
interface ExternalQuery extends MissingQuestion {
  readonly answered: Promise<External>;
}

/**
 * Waits for the answer for as long as its `need` requires. `isEnough` resolves when one of the alternatives was found.
 */
export function awaited(
  { need, answered }: ExternalQuery,
  isEnough: Promise<void>,
): Promise<External> {
  switch (need) {
    case 'required':
      return answered;
    case 'alternative':
      return Promise.race([answered, isEnough.then(() => inTime(answered))]);
    case 'optional':
      return inTime(answered);
  }
}

/** Waits for at most `OPTIONAL_WAIT_MS`. A later answer still goes into the forwarder's cache. */
function inTime(answered: Promise<External>): Promise<External> {
  return withDeadline<External, External>(answered, OPTIONAL_WAIT_MS, () => ({ kind: 'failed' }));
}

/** Resolves when one of the alternatives has records of its type; never if none has. */
export function firstAlternative(asking: readonly ExternalQuery[]): Promise<void> {
  return new Promise((resolve) => {
    for (const { need, question, answered } of asking) {
      if (need !== 'alternative') continue;
      // Its rejection, which is a bug, reaches the question by `awaited`.
      void answered.then(
        (external) => {
          if (hasType(external, question.qtype)) resolve();
        },
        () => {},
      );
    }
  });
}

function hasType(external: External, qtype: number): boolean {
  return external.kind === 'found' && external.rrs.some(({ type }) => type === qtype);
}

/** The other servers' answers that one question has used. */
export class LearnedExternals implements Externals {
  sent = 0;
  /** Whether one of the answers has expired. */
  isStale = false;
  readonly #known = new Map<string, External>();
  readonly #peek: (question: Question) => External | undefined;

  /** `peek` returns the answer that the forwarder has without sending a question. */
  constructor(peek: (question: Question) => External | undefined) {
    this.#peek = peek;
  }

  get(qname: Name, qtype: number): External | undefined {
    const question = { qname, qtype, qclass: Class.IN };
    const known = this.#known.get(externalKey(qname, qtype));
    if (known !== undefined) return known;
    const peeked = this.#peek(question);
    if (peeked !== undefined) this.add(question, peeked);
    return peeked;
  }

  add({ qname, qtype }: Question, external: External): void {
    this.#known.set(externalKey(qname, qtype), external);
    const hasRrs = external.kind === 'found' || external.kind === 'nxdomain';
    if (hasRrs && external.stale) this.isStale = true;
  }
}
