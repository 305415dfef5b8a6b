/**
 * One question to the upstreams, in the order of `UpstreamHealth`, until one gives a usable reply or the time is over.
 *
 * The next upstream gets the question at once when the one that was asked last fails. It also gets it when the one before has taken longer than
 * nearly all of its recent answers did; the forwarder then listens to both, and the first usable reply counts. At most
 * two upstreams have the question at the same time.
 *
 * Each upstream gets the question once. If none gives a usable reply, those that sent nothing get it a second time,
 * since a packet may have been lost. No upstream gets it a third time, so a dead network does not multiply packets.
 */
import { rcodeName } from '../dns/presentation/mnemonic.ts';
import { Rcode } from '../dns/rr.ts';
import type { Timer } from '../timing/clock.ts';
import { isReferral, isUsableReply } from './bailiwick.ts';
import type { UpstreamQuery } from './exchange/exchange.ts';
import type { ExchangeResult } from './exchange/reply.ts';
import type { Forwarded } from './outcome.ts';
import { queryUpstream, type UpstreamContext } from './queryUpstream.ts';
import { printUpstream, type Upstream } from './upstream.ts';

/** For one question. */
export interface QuestionContext extends UpstreamContext {
  /** Receives the tries that still run when the question has its outcome. They settle by themselves. */
  readonly onStragglers: (tries: readonly Promise<void>[]) => void;
}

/** A shorter try is not worth its packets. */
const MIN_TRY_MS = 50;

/** The shortest delay of Node's timers. */
const LAST_POLL_MS = 1;

const NOT_ASKED: Forwarded = { kind: 'failed', reason: 'timeout', text: 'no time left to ask' };

/** Upstreams that have one question at the same time. */
const MAX_RUNNING = 2;

/** Settles within `totalTimeoutMs` and never rejects. The message is unchanged and may have any rcode. */
export async function queryUpstreams(
  query: UpstreamQuery,
  upstreams: readonly Upstream[],
  context: QuestionContext,
): Promise<Forwarded> {
  const { clock } = context;
  const deadlineMs = clock.monotonicMs() + context.totalTimeoutMs;
  const first = await new Pass(query, upstreams, deadlineMs, NOT_ASKED, context).run();
  const { outcome } = first;
  const isUsable =
    outcome.kind === 'answered' && isUsableReply(outcome.message, query.recursionDesired);
  if (isUsable || first.silent.length === 0) return outcome;
  // A packet may have been lost: the silent upstreams share the time that is left.
  const tryTimeoutMs = (deadlineMs - clock.monotonicMs()) / first.silent.length;
  if (tryTimeoutMs < MIN_TRY_MS) return outcome;
  const again = { ...context, tryTimeoutMs };
  return (await new Pass(query, first.silent, deadlineMs, outcome, again).run()).outcome;
}

interface PassResult {
  readonly outcome: Forwarded;
  /** The upstreams that sent nothing in their time. */
  readonly silent: readonly Upstream[];
}

/**
 * Gives each upstream the question once. Ends at the first usable reply; else the outcome is the last reply, even one
 * from before the pass, or how the last upstream failed. Upstreams that have the question at the end are still listened
 * to, for their health.
 */
class Pass {
  readonly #query: UpstreamQuery;
  readonly #context: QuestionContext;
  readonly #deadlineMs: number;
  /** Not asked yet. */
  readonly #left: Upstream[];
  readonly #silent: Upstream[] = [];
  readonly #running = new Set<Promise<void>>();
  #outcome: Forwarded;
  /** Fires when the upstream that was asked last takes longer than usual. */
  #timer: Timer | undefined;
  #isOverdue = false;
  #askedLast: Upstream | undefined;
  /** Whether the upstream that was asked last was down then. All that follow in the order are down too. */
  #isAskedDown = false;
  #isHedged = false;
  #end: ((result: PassResult) => void) | undefined;

  constructor(
    query: UpstreamQuery,
    upstreams: readonly Upstream[],
    deadlineMs: number,
    before: Forwarded,
    context: QuestionContext,
  ) {
    this.#query = query;
    this.#context = context;
    this.#deadlineMs = deadlineMs;
    this.#outcome = before;
    this.#left = [...upstreams];
  }

  run(): Promise<PassResult> {
    return new Promise((resolve) => {
      this.#end = resolve;
      this.#askNext();
    });
  }

  #askNext(): void {
    const upstream = this.#takeNext();
    if (upstream !== undefined) this.#ask(upstream);
    else if (this.#running.size === 0) this.#settle();
  }

  #takeNext(): Upstream | undefined {
    const { health, clock, signal } = this.#context;
    if (this.#deadlineMs - clock.monotonicMs() < MIN_TRY_MS || signal.aborted) return undefined;
    const [next] = this.#left;
    if (next === undefined) return undefined;
    if (health.isDown(next)) {
      // After any reply, even an unusable one, skip the upstreams that are down: they would likely only cost their
      // timeout.
      if (this.#outcome.kind === 'answered') return undefined;
      // While one that is up may still reply, those that are down do not get the question.
      if (this.#running.size > 0 && !this.#isAskedDown) return undefined;
    }
    return this.#left.shift();
  }

  #ask(upstream: Upstream): void {
    const { health } = this.#context;
    this.#askedLast = upstream;
    this.#isAskedDown = health.isDown(upstream);
    this.#isOverdue = false;
    this.#timer?.cancel();
    if (this.#left.length > 0) this.#startTimer(upstream);
    const asked: Promise<void> = queryUpstream(
      this.#query,
      upstream,
      this.#deadlineMs,
      this.#context,
    ).then((result) => {
      this.#running.delete(asked);
      if (this.#end !== undefined) this.#onResult(upstream, result);
    });
    this.#running.add(asked);
  }

  #startTimer(upstream: Upstream): void {
    const { clock, health, tryTimeoutMs } = this.#context;
    const usualMs = Math.min(health.timesOf(upstream).slowMs, tryTimeoutMs);
    // If this process was blocked meanwhile, a reply may have arrived: the second timer lets the event loop read it.
    this.#timer = clock.startTimer(usualMs - LAST_POLL_MS, () => {
      this.#timer = clock.startTimer(LAST_POLL_MS, () => this.#onOverdue());
    });
  }

  #onOverdue(): void {
    this.#isOverdue = true;
    if (this.#running.size < MAX_RUNNING) this.#askNext();
    if (this.#running.size < MAX_RUNNING || this.#isHedged) return;
    this.#isHedged = true;
    this.#context.counters.hedged++;
  }

  #onResult(upstream: Upstream, result: ExchangeResult): void {
    if (result.kind === 'timeout') this.#silent.push(upstream);
    const next = outcomeOf(this.#query, result, upstream);
    if (next.kind === 'answered' || this.#outcome.kind !== 'answered') this.#outcome = next;
    const { recursionDesired } = this.#query;
    if (result.kind === 'reply' && isUsableReply(result.message, recursionDesired)) this.#settle();
    else if (this.#running.size === 0 || this.#isOverdue || upstream === this.#askedLast)
      this.#askNext();
  }

  #settle(): void {
    this.#timer?.cancel();
    const end = this.#end;
    this.#end = undefined;
    if (this.#running.size > 0) this.#context.onStragglers([...this.#running]);
    end?.({ outcome: this.#outcome, silent: this.#silent });
  }
}

function outcomeOf(
  { recursionDesired = true }: UpstreamQuery,
  result: ExchangeResult,
  upstream: Upstream,
): Forwarded {
  const server = printUpstream(upstream);
  switch (result.kind) {
    case 'reply': {
      const { message } = result;
      const problem = recursionDesired
        ? isReferral(message) && 'does not recurse'
        : !message.authoritative && lamenessOf(message.rcode);
      return problem
        ? { kind: 'failed', reason: 'servfail', text: `${server} ${problem}` }
        : { kind: 'answered', message };
    }
    case 'timeout':
      return { kind: 'failed', reason: 'timeout', text: `${server} did not reply` };
    case 'network':
    case 'untrusted':
      return { kind: 'failed', reason: result.kind, text: `${server}: ${result.text}` };
    case 'truncated':
    case 'caseChanged':
      throw new Error(`${result.kind} is never the final result`);
  }
}

/** Why a reply of a delegation's name server is no answer if the server claims no authority. */
function lamenessOf(rcode: number): string {
  if (rcode === Rcode.NOERROR) return 'has no authority for the name';
  const replied = `replied ${rcodeName(rcode)}`;
  return rcode === Rcode.NXDOMAIN ? `${replied} without authority` : replied;
}
