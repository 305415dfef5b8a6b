/**
 * Upstreams that a test scripts, on a fake clock and without sockets: replies come at exact times, and a test can take a
 * day in a moment.
 */
import type { Question } from '../../src/dns/message.ts';
import type { SendQuery } from '../../src/forward/exchange/exchange.ts';
import type { ExchangeResult } from '../../src/forward/exchange/reply.ts';
import { type CachingForwarder, createForwarder } from '../../src/forward/forwarder.ts';
import type { ForwarderOptions } from '../../src/forward/forwarderOptions.ts';
import type { Forwarded } from '../../src/forward/outcome.ts';
import { FakeClock } from './fakeClock.ts';
import { type MessageText, messageOf } from './messages.ts';

/** What an upstream does with a query. Records of the name `@` belong to the query's name. */
export type Script =
  | { readonly afterMs: number; readonly reply: MessageText }
  /** The host says that the port is closed. */
  | 'closed'
  | 'silent';

export interface ScriptedQuery {
  /** The upstream's place in the list. */
  readonly upstream: number;
  readonly question: Question;
  readonly atMs: number;
  /** How long the forwarder listens. */
  readonly timeoutMs: number;
}

export interface Answered {
  readonly outcome: Forwarded;
  readonly tookMs: number;
}

const PLAIN = { checkingDisabled: false, dnssecOk: false, client: '192.0.2.200' };

export class ScriptedUpstreams {
  readonly clock = new FakeClock();
  readonly queries: ScriptedQuery[] = [];
  readonly forwarder: CachingForwarder;
  /** Decides about each query when it arrives. */
  script: (query: ScriptedQuery) => Script;

  constructor(
    count: number,
    script: (query: ScriptedQuery) => Script,
    options: Partial<ForwarderOptions> = {},
  ) {
    const upstreams = Array.from({ length: count }, (_, i) => ({
      address: `10.0.0.${i + 1}`,
      port: 53,
    }));
    const send: SendQuery = (upstream, { question }, { timeoutMs, signal }) => {
      const index = upstreams.findIndex(({ address }) => address === upstream.address);
      const query = { upstream: index, question, atMs: this.clock.monotonicMs(), timeoutMs };
      this.queries.push(query);
      return this.#settle(question, this.script(query), timeoutMs, signal);
    };
    this.script = script;
    this.forwarder = createForwarder({
      upstreams,
      ndots: 1,
      clock: this.clock,
      exchanges: { udp: send, tcp: send, tls: send },
      ...options,
    });
  }

  /** The outcome of a question; the clock advances until there is one. */
  async ask(question: Question): Promise<Answered> {
    const [answered] = await this.askAll([question]);
    return answered as Answered;
  }

  /** The outcomes of questions that are asked at the same moment. */
  async askAll(questions: readonly Question[]): Promise<Answered[]> {
    return this.settled(questions.map((question) => this.forwarder.resolve(question, PLAIN)));
  }

  /** The outcomes of pending promises; the clock advances until all of them have settled. */
  async settled(pending: readonly Promise<Forwarded>[]): Promise<Answered[]> {
    const startedMs = this.clock.monotonicMs();
    const answers: Answered[] = [];
    for (const [i, each] of pending.entries()) {
      void each.then((outcome) => {
        answers[i] = { outcome, tookMs: this.clock.monotonicMs() - startedMs };
      });
    }
    await this.clock.advance(0);
    while (answers.filter(Boolean).length < pending.length) await this.clock.advance(10);
    return answers;
  }

  #settle(
    question: Question,
    script: Script,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<ExchangeResult> {
    return new Promise((resolve) => {
      const timer = this.clock.startTimer(timeoutMs, () => resolve({ kind: 'timeout' }));
      const end = (result: ExchangeResult): void => {
        timer.cancel();
        resolve(result);
      };
      signal.addEventListener('abort', () => end({ kind: 'network', text: 'aborted' }));
      if (script === 'closed') end({ kind: 'network', text: 'ECONNREFUSED' });
      if (typeof script !== 'object' || script.afterMs >= timeoutMs) return;
      const message = messageOf(question, namedAfter(question, script.reply));
      this.clock.startTimer(script.afterMs, () => end({ kind: 'reply', message }));
    });
  }
}

function namedAfter({ qname }: Question, { answer = [], ...rest }: MessageText): MessageText {
  return { ...rest, answer: answer.map((line) => line.replace(/^@/, qname.join('.'))) };
}
