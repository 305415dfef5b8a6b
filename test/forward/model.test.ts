/**
 * The forwarder and its cache against a model, with random upstream replies, times and expiries on a fake clock. Each
 * reply carries a number of its own, so that the model knows which reply an answer comes from, when that reply came, and
 * what it was about.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import type { Question } from '../../src/dns/message.ts';
import { nameKey } from '../../src/dns/name.ts';
import type { Forwarded } from '../../src/forward/outcome.ts';
import { nameOf, printed, questionOf } from '../support/messages.ts';
import {
  type Script,
  type ScriptedQuery,
  ScriptedUpstreams,
} from '../support/scriptedUpstreams.ts';

const NAMES = ['example.com', 'a.example.com', 'b.example.com', 'aexample.com'];
const TYPES = ['A', 'TXT'];

/** What an upstream does from now on. */
type Mood =
  | {
      readonly kind: 'positive' | 'nxdomain' | 'nodata';
      readonly ttl: number;
      readonly afterMs: number;
    }
  | { readonly kind: 'servfail'; readonly afterMs: number }
  | { readonly kind: 'silent' }
  | { readonly kind: 'closed' };

type Step =
  | { readonly kind: 'ask' | 'refresh'; readonly name: string; readonly type: string }
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'mood'; readonly upstream: number; readonly mood: Mood }
  | { readonly kind: 'flush'; readonly name: string };

interface Settings {
  /** How the upstreams answer at first. */
  readonly first: 'positive' | 'nxdomain' | 'nodata';
  readonly upstreams: number;
  readonly staleSeconds: number;
  readonly maxSeconds: number;
  readonly minSeconds: number;
  readonly maxNegativeSeconds: number;
}

/** A reply that an upstream has sent or will send. */
interface Sent {
  readonly name: string;
  readonly type: string;
  readonly mood: Extract<Mood, { ttl: number }>;
  readonly sentMs: number;
  /** Infinite if the forwarder no longer listens then. */
  readonly arrivesMs: number;
}

const RECHECK_MS = 5_000;
const LONGEST_TRY_MS = 3_800;
const PLAIN = { checkingDisabled: false, dnssecOk: false, client: '192.0.2.200' };

interface Flush {
  readonly name: string;
  readonly atMs: number;
}

class Model {
  readonly #settings: Settings;
  readonly #moods: Mood[];
  readonly #replies: Sent[] = [];
  readonly #flushes: Flush[] = [];
  readonly #pending = new Set<Promise<void>>();
  readonly #faults: unknown[] = [];
  readonly #upstreams: ScriptedUpstreams;
  /** How many answers of each kind the run had, so that the test can show that it tests them. */
  readonly seen: Record<string, number> = {};

  constructor(settings: Settings) {
    this.#settings = settings;
    const first: Mood = { kind: settings.first, ttl: 5, afterMs: 10 };
    this.#moods = Array.from({ length: settings.upstreams }, () => first);
    this.#upstreams = new ScriptedUpstreams(settings.upstreams, (query) => this.#script(query), {
      staleSeconds: settings.staleSeconds,
      ttlLimits: settings,
    });
  }

  async run(steps: readonly Step[]): Promise<void> {
    for (const step of steps) await this.#take(step);
    while (this.#pending.size > 0) await this.#upstreams.clock.advance(100);
    await this.#upstreams.forwarder.close();
    if (this.#faults.length > 0) throw this.#faults[0];
  }

  async #take(step: Step): Promise<void> {
    const { clock, forwarder } = this.#upstreams;
    switch (step.kind) {
      case 'pass':
        return clock.advance(step.ms);
      case 'mood':
        this.#moods[step.upstream % this.#moods.length] = step.mood;
        return;
      case 'flush':
        forwarder.flush(nameOf(step.name));
        this.#flushes.push({ name: step.name, atMs: clock.monotonicMs() });
        return;
      case 'refresh':
        void forwarder.prefetch(questionOf(step.name, step.type), PLAIN);
        return clock.advance(0);
      case 'ask': {
        const question = questionOf(step.name, step.type);
        const asked = { atMs: clock.monotonicMs(), flushes: [...this.#flushes] };
        const checked: Promise<void> = forwarder
          .resolve(question, PLAIN)
          .then((outcome) => this.#check(question, step, asked, outcome))
          .catch((fault: unknown) => this.#faults.push(fault))
          .then(() => void this.#pending.delete(checked));
        this.#pending.add(checked);
        return clock.advance(0);
      }
    }
  }

  #script({ upstream, question, atMs, timeoutMs }: ScriptedQuery): Script {
    const mood = this.#moods[upstream] as Mood;
    if (mood.kind === 'silent') return 'silent';
    if (mood.kind === 'closed') return 'closed';
    if (mood.kind === 'servfail') return { afterMs: mood.afterMs, reply: { rcode: 2 } };
    const number = this.#replies.length;
    const type = question.qtype === 1 ? 'A' : 'TXT';
    const name = question.qname.join('.').toLowerCase();
    const { afterMs, ttl } = mood;
    const arrivesMs = afterMs < timeoutMs ? atMs + afterMs : Number.POSITIVE_INFINITY;
    this.#replies.push({ name, type, mood, sentMs: atMs, arrivesMs });
    if (mood.kind === 'positive') {
      const data = type === 'A' ? `10.0.${number >> 8}.${number & 255}` : String(number);
      return { afterMs, reply: { answer: [`@ ${ttl} ${type} ${data}`] } };
    }
    const soa = `com. ${ttl} SOA ns.com. host.com. ${number} 2 3 4 ${ttl}`;
    return { afterMs, reply: { rcode: mood.kind === 'nxdomain' ? 3 : 0, authority: [soa] } };
  }

  #check(
    question: Question,
    { name, type }: { readonly name: string; readonly type: string },
    asked: { readonly atMs: number; readonly flushes: readonly Flush[] },
    outcome: Forwarded,
  ): void {
    const nowMs = this.#upstreams.clock.monotonicMs();
    assert.ok(nowMs - asked.atMs <= LONGEST_TRY_MS, 'an outcome within 4 s');
    if (outcome.kind !== 'answered' || outcome.message.rcode === 2) {
      this.#count('failed');
      this.#checkFailure(name, type, nowMs);
      return;
    }
    const { message, stale = false } = outcome;
    const rrs = [...message.answer, ...message.authority];
    const [rr] = rrs;
    assert.equal(rrs.length, 1);
    assert.ok(rr !== undefined);
    if (message.answer.length > 0) assert.equal(nameKey(rr.owner), nameKey(question.qname));
    const reply = this.#replies[numberOf(printed(rrs)[0] ?? '')];
    assert.ok(reply !== undefined);
    assert.deepEqual([reply.name, reply.type], [name, type], 'an answer about the question');
    assert.equal(kindOf(message.rcode, message.answer.length > 0), reply.mood.kind);
    this.#count(`${stale ? 'stale' : 'fresh'} ${reply.mood.kind}`);
    const life = this.#lifeOf(reply);
    const ageMs = nowMs - reply.arrivesMs;
    assert.ok(ageMs >= 0);
    if (stale) {
      this.#checkStale(reply, life, nowMs);
      assert.equal(rr.ttlSeconds, 30);
    } else {
      const ageSeconds = secondOf(nowMs) - secondOf(reply.arrivesMs);
      const age = ageMs === 0 ? 0 : ageSeconds;
      assert.equal(rr.ttlSeconds, life - age, 'the TTL falls by the second');
      assert.ok(ageMs === 0 || ageMs < life * 1000, 'never past its TTL');
    }
    const flushed = asked.flushes.filter((flush) => isBelow(name, flush.name));
    for (const { atMs } of flushed)
      assert.ok(reply.sentMs >= atMs, 'not asked for before an earlier flush');
    if (this.#settings.upstreams === 1) {
      const newer = this.#replies.find(
        (other) =>
          other.name === name &&
          other.type === type &&
          other.sentMs > reply.arrivesMs &&
          other.arrivesMs < nowMs &&
          !this.#wasFlushed(other),
      );
      assert.equal(newer, undefined, 'a newer reply counts');
    }
  }

  #checkStale(reply: Sent, life: number, nowMs: number): void {
    const expiresMs = (secondOf(reply.arrivesMs) + life) * 1000;
    assert.ok(nowMs >= expiresMs, 'only an expired answer is stale');
    assert.ok(nowMs < expiresMs + this.#settings.staleSeconds * 1000, 'not too old');
    const tried = this.#upstreams.queries.some(
      ({ question, atMs }) =>
        question.qname.join('.').toLowerCase() === reply.name &&
        (question.qtype === 1) === (reply.type === 'A') &&
        atMs >= nowMs - RECHECK_MS - LONGEST_TRY_MS &&
        atMs > reply.arrivesMs,
    );
    assert.ok(tried, 'stale only if a fresh answer was tried');
  }

  /** No failure while there is an answer that may be served. */
  #checkFailure(name: string, type: string, nowMs: number): void {
    if (this.#settings.upstreams !== 1) return;
    const known = this.#replies.filter(
      (reply) => reply.name === name && reply.type === type && reply.arrivesMs < nowMs,
    );
    const newest = known.sort((a, b) => a.arrivesMs - b.arrivesMs).at(-1);
    if (newest === undefined) return;
    const life = this.#lifeOf(newest);
    if (life === 0) return;
    const untilMs = secondOf(newest.arrivesMs) * 1000 + (life + this.#settings.staleSeconds) * 1000;
    assert.ok(this.#wasFlushed(newest) || nowMs >= untilMs, 'no failure instead of a stale answer');
  }

  /** Whether the name was flushed since the reply's question may have been sent, perhaps to another upstream first. */
  #wasFlushed({ name, sentMs }: Sent): boolean {
    return this.#flushes.some(
      (flush) => isBelow(name, flush.name) && flush.atMs >= sentMs - LONGEST_TRY_MS,
    );
  }

  #lifeOf({ mood }: Sent): number {
    const { minSeconds, maxSeconds, maxNegativeSeconds } = this.#settings;
    return mood.kind === 'positive'
      ? Math.min(Math.max(mood.ttl, minSeconds), maxSeconds)
      : Math.min(mood.ttl, maxNegativeSeconds, maxSeconds);
  }

  #count(what: string): void {
    this.seen[what] = (this.seen[what] ?? 0) + 1;
  }
}

/** The number in a record's text: of an address, a TXT string or the serial of an SOA. */
function numberOf(text: string): number {
  const address = /\b10\.0\.(\d+)\.(\d+)$/.exec(text);
  if (address !== null) return Number(address[1]) * 256 + Number(address[2]);
  const [, digits] = /TXT "(\d+)"|host\.com\. (\d+)/.exec(text)?.filter(Boolean) ?? [];
  return Number(digits);
}

function kindOf(rcode: number, hasAnswer: boolean): string {
  if (rcode === 3) return 'nxdomain';
  return hasAnswer ? 'positive' : 'nodata';
}

function isBelow(name: string, ancestor: string): boolean {
  return name === ancestor || name.endsWith(`.${ancestor}`);
}

const afterMs = fc.oneof(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 51, max: 3_000 }));
const mood: fc.Arbitrary<Mood> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom<'positive' | 'nxdomain' | 'nodata'>('positive', 'nxdomain', 'nodata'),
      ttl: fc.constantFrom(0, 1, 5, 30, 100),
      afterMs,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant<'servfail'>('servfail'), afterMs }) },
  {
    weight: 2,
    arbitrary: fc.constantFrom<Mood>({ kind: 'silent' }, { kind: 'closed' }),
  },
);
const question = { name: fc.constantFrom(...NAMES.slice(0, 2)), type: fc.constantFrom(...TYPES) };
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant<'ask'>('ask'), ...question }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant<'refresh'>('refresh'), ...question }) },
  {
    weight: 5,
    arbitrary: fc
      .constantFrom(100, 700, 1_000, 3_000, 6_000, 30_000, 100_000)
      .map((ms): Step => ({ kind: 'pass', ms })),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant<'mood'>('mood'), upstream: fc.nat(1), mood }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant<'flush'>('flush'), name: fc.constantFrom(...NAMES) }),
  },
);
const settings: fc.Arbitrary<Settings> = fc.record({
  first: fc.constantFrom('positive', 'nxdomain', 'nodata'),
  upstreams: fc.constantFrom(1, 1, 2),
  staleSeconds: fc.constantFrom(0, 60, 86_400),
  maxSeconds: fc.constantFrom(20, 86_400),
  minSeconds: fc.constantFrom(0, 3),
  maxNegativeSeconds: fc.constantFrom(0, 10, 300),
});

test('The forwarder’s answers are those of the model', async () => {
  const seen: Record<string, number> = {};
  const steps = fc.array(step, { minLength: 20, maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(settings, steps, async (given, taken) => {
      const model = new Model(given);
      await model.run(taken);
      for (const [what, count] of Object.entries(model.seen))
        seen[what] = (seen[what] ?? 0) + count;
    }),
    { numRuns: Number(process.env.SORADNS_MODEL_RUNS ?? 150) },
  );
  for (const what of ['fresh', 'stale'])
    for (const kind of ['positive', 'nxdomain', 'nodata'])
      assert.ok((seen[`${what} ${kind}`] ?? 0) > 0, `${what} ${kind} was tested`);
  assert.ok((seen.failed ?? 0) > 0);
});

/** The cache counts the seconds of the clock. */
function secondOf(ms: number): number {
  return Math.floor(ms / 1000);
}
