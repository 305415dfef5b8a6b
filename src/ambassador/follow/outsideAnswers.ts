/**
 * Other servers' answers about the names that routes lead to. Each answer is asked for again when its TTL ends. A
 * failure keeps the last answer, so a route keeps the addresses that it had.
 */
import type { Question } from '../../dns/message.ts';
import { type Name, nameKey } from '../../dns/name.ts';
import { Class, type Rr } from '../../dns/rr.ts';
import type { Clock, Timer } from '../../timing/clock.ts';
import type { MissingQuestion } from '../../zone/tree/lookupState.ts';
import { type External, type Externals, externalKey } from '../../zone/tree/view.ts';

export interface OutsideAnswersOptions {
  /** Asks other servers; must not reject. */
  readonly ask: (question: Question) => Promise<External>;
  readonly clock: Clock;
  /** Whether a route leads to the name; if not, the answer is forgotten when its TTL ends. */
  readonly isUsed: (name: Name) => boolean;
  /** The answer about a folded name has changed. */
  readonly onChange: (name: Name) => void;
}

/** How long an answer is used at least and at most, whatever its TTL. */
const LEAST_SECONDS = 5;
const MOST_SECONDS = 300;
/** More names are not asked for: containers may write any name into their links. */
const MAX_QUESTIONS = 4_096;

interface Asked {
  readonly question: Question;
  answer: External | undefined;
  timer: Timer | undefined;
}

export class OutsideAnswers implements Externals {
  /** Each look-up may send as many questions as its limits allow. */
  readonly sent = 0;
  readonly #options: OutsideAnswersOptions;
  readonly #asked = new Map<string, Asked>();
  /** Questions that wait for their first answer. */
  #waiting = 0;
  #isClosed = false;

  constructor(options: OutsideAnswersOptions) {
    this.#options = options;
  }

  /** Whether each question has an answer, or has failed. */
  get isAnswered(): boolean {
    return this.#waiting === 0;
  }

  get(qname: Name, qtype: number): External | undefined {
    return this.#asked.get(externalKey(qname, qtype))?.answer;
  }

  /** Asks the questions that were never asked. */
  ask(missing: readonly MissingQuestion[]): void {
    for (const { question } of missing) {
      const key = externalKey(question.qname, question.qtype);
      if (this.#isClosed || this.#asked.has(key) || this.#asked.size >= MAX_QUESTIONS) continue;
      const asked: Asked = { question, answer: undefined, timer: undefined };
      this.#asked.set(key, asked);
      this.#waiting++;
      void this.#ask(key, asked);
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const { timer } of this.#asked.values()) timer?.cancel();
    this.#asked.clear();
  }

  async #ask(key: string, asked: Asked): Promise<void> {
    const { clock, ask, isUsed, onChange } = this.#options;
    const { qname } = asked.question;
    const answer = await ask({ ...asked.question, qclass: Class.IN });
    if (this.#isClosed) return;
    if (asked.answer === undefined) this.#waiting--;
    const isUsable = answer.kind !== 'failed' || asked.answer === undefined;
    const isNew = isUsable && !isSameAnswer(answer, asked.answer);
    if (isUsable) asked.answer = answer;
    asked.timer = clock.startTimer(secondsToUse(answer) * 1_000, () => {
      if (isUsed(qname)) void this.#ask(key, asked);
      else this.#asked.delete(key);
    });
    if (isNew) onChange(qname);
  }
}

function secondsToUse(answer: External): number {
  const rrs: readonly Rr[] =
    answer.kind === 'found' || answer.kind === 'nxdomain' ? answer.rrs : [];
  const least = Math.min(...rrs.map(({ ttlSeconds }) => ttlSeconds));
  return Math.min(MOST_SECONDS, Math.max(LEAST_SECONDS, rrs.length === 0 ? 0 : least));
}

/** Whether the answers have the same records, whatever their TTLs and their order. */
function isSameAnswer(a: External, b: External | undefined): boolean {
  return b !== undefined && a.kind === b.kind && recordsOf(a) === recordsOf(b);
}

function recordsOf(answer: External): string {
  if (answer.kind !== 'found' && answer.kind !== 'nxdomain') return '';
  const texts = answer.rrs.map(
    ({ owner, type, rdata }) => `${nameKey(owner)} ${type} ${JSON.stringify(rdata)}`,
  );
  return texts.sort().join('\n');
}
