/** Stale answers (RFC 8767), and the mistakes that others made with them. */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import type { Question } from '../../src/dns/message.ts';
import type { ForwarderOptions } from '../../src/forward/forwarderOptions.ts';
import { type ForwardCounters, newForwardCounters } from '../../src/forward/outcome.ts';
import { type MessageText, printed, questionOf } from '../support/messages.ts';
import { type Answered, type Script, ScriptedUpstreams } from '../support/scriptedUpstreams.ts';

const WWW = questionOf('www.example.com');
const SOA = 'example.com. 60 SOA ns.example.com. host.example.com. 1 2 3 4 60';
const address = (last: number): MessageText => ({
  answer: [`www.example.com. 60 A 192.0.2.${last}`],
});
const NXDOMAIN: MessageText = { rcode: 3, authority: [SOA] };
const SERVFAIL: MessageText = { rcode: 2 };
const REFUSED: MessageText = { rcode: 5 };
const after = (afterMs: number, reply: MessageText): Script => ({ afterMs, reply });
const soon = (reply: MessageText): Script => after(5, reply);

function setUp(t: TestContext, first: Script, options: Partial<ForwarderOptions> = {}, count = 1) {
  const counters: ForwardCounters = newForwardCounters();
  const upstreams = new ScriptedUpstreams(count, () => first, {
    staleSeconds: 86_400,
    counters,
    ...options,
  });
  t.after(() => upstreams.forwarder.close());
  return { upstreams, counters };
}

/** `fresh` or `stale`, with the rcode or the records. */
function seen({ outcome }: Answered): string {
  if (outcome.kind !== 'answered') return outcome.kind;
  const { rcode, answer } = outcome.message;
  const what = rcode === 0 ? printed(answer).join() : `rcode ${rcode}`;
  return `${outcome.stale ? 'stale' : 'fresh'} ${what}`;
}

const FRESH_1 = 'fresh www.example.com. 60 IN A 192.0.2.1';
const FRESH_2 = 'fresh www.example.com. 60 IN A 192.0.2.2';
const STALE_1 = 'stale www.example.com. 30 IN A 192.0.2.1';

/** The upstreams' answer is in the cache and has expired. */
async function expired(upstreams: ScriptedUpstreams, question: Question = WWW): Promise<void> {
  await upstreams.ask(question);
  await upstreams.clock.advance(60_000);
  upstreams.queries.length = 0;
}

test('After 1.8 s without a reply the client gets the expired answer, and every TTL in it is 30 s', async (t) => {
  const { upstreams, counters } = setUp(t, soon({ ...NXDOMAIN, rcode: 0 }));
  await expired(upstreams);
  upstreams.script = () => 'silent';
  const answered = await upstreams.ask(WWW);
  assert.equal(answered.tookMs, 1_800);
  const { outcome } = answered;
  assert.ok(outcome.kind === 'answered' && outcome.stale);
  assert.deepEqual(
    outcome.message.authority.map(({ ttlSeconds }) => ttlSeconds),
    [30],
  );
  assert.equal(counters.stale, 1);
});

test('The client gets the expired answer at once when all upstreams are down', async (t) => {
  const { upstreams } = setUp(t, soon(address(1)), {}, 2);
  await expired(upstreams);
  upstreams.script = () => 'closed';
  for (const name of ['a.example.com', 'b.example.com']) await upstreams.ask(questionOf(name));
  upstreams.script = () => 'silent';
  upstreams.queries.length = 0;
  const answered = await upstreams.ask(WWW);
  assert.deepEqual([seen(answered), answered.tookMs], [STALE_1, 0]);
  assert.ok(upstreams.queries.length > 0, 'but they are asked');
});

test('Without staleness an expired answer is never served', async (t) => {
  const { upstreams } = setUp(t, soon(address(1)), { staleSeconds: 0 });
  await expired(upstreams);
  upstreams.script = () => 'silent';
  assert.equal(seen(await upstreams.ask(WWW)), 'failed');
});

test('An answer is not served after its time of staleness', async (t) => {
  const { upstreams } = setUp(t, soon(address(1)), { staleSeconds: 100 });
  await expired(upstreams);
  upstreams.script = () => 'closed';
  await upstreams.clock.advance(99_000);
  assert.equal(seen(await upstreams.ask(WWW)), STALE_1);
  await upstreams.clock.advance(2_000);
  assert.equal(seen(await upstreams.ask(WWW)), 'failed');
});

test('A stale NXDOMAIN is replaced as soon as the name exists, however often clients ask (coredns#3586)', async (t) => {
  const { upstreams } = setUp(t, soon(NXDOMAIN));
  await expired(upstreams);
  upstreams.script = () => 'closed';
  // Clients that ask all the time must not postpone the next try.
  for (let i = 0; i < 20; i++) {
    assert.equal(seen(await upstreams.ask(WWW)), 'stale rcode 3');
    await upstreams.clock.advance(500);
  }
  upstreams.script = () => soon(address(1));
  const seenThen: string[] = [];
  for (let i = 0; i < 12; i++) {
    seenThen.push(seen(await upstreams.ask(WWW)));
    await upstreams.clock.advance(500);
  }
  const [first] = seenThen.flatMap((each, i) => (each.startsWith('fresh') ? [i] : []));
  assert.ok(first !== undefined && first <= 10, seenThen.join());
  assert.ok(
    seenThen.slice(first).every((each) => each.startsWith('fresh')),
    seenThen.join(),
  );
});

test('An expired answer is not served while the upstream answers, even slowly (coredns#4028)', async (t) => {
  const { upstreams, counters } = setUp(t, soon(NXDOMAIN));
  await expired(upstreams);
  upstreams.script = () => after(1_100, address(1));
  const answered = await upstreams.ask(WWW);
  assert.deepEqual([seen(answered), answered.tookMs], [FRESH_1, 1_100]);
  assert.equal(counters.stale, 0);
});

test('Clients that ask while the question is pending wait for its answer (coredns#8571)', async (t) => {
  const { upstreams } = setUp(t, soon(address(1)));
  await expired(upstreams);
  upstreams.script = () => after(1_000, address(2));
  const answers = await upstreams.askAll([WWW, WWW, WWW]);
  assert.deepEqual(answers.map(seen), [FRESH_2, FRESH_2, FRESH_2]);
  assert.equal(upstreams.queries.length, 1);
});

test('A stale answer causes one query at most, and none for 5 s after it (coredns#4324)', async (t) => {
  const { upstreams } = setUp(t, soon(address(1)));
  await expired(upstreams);
  upstreams.script = () => soon(SERVFAIL);
  const fifty = await upstreams.askAll(Array.from({ length: 50 }, () => WWW));
  assert.ok(fifty.every((each) => seen(each) === STALE_1));
  assert.equal(upstreams.queries.length, 1);
  for (let i = 0; i < 45; i++) {
    await upstreams.clock.advance(100);
    assert.equal(seen(await upstreams.ask(WWW)), STALE_1);
  }
  assert.equal(upstreams.queries.length, 1);
  await upstreams.clock.advance(1_000);
  await upstreams.ask(WWW);
  assert.equal(upstreams.queries.length, 2);
});

test('SERVFAIL and REFUSED count as no answer, NXDOMAIN and NODATA as one (coredns PR 8378)', async (t) => {
  const cases: readonly [MessageText, string][] = [
    [SERVFAIL, STALE_1],
    [REFUSED, STALE_1],
    [{ rcode: 4 }, STALE_1],
    [{ rcode: 1 }, STALE_1],
    [NXDOMAIN, 'fresh rcode 3'],
    [{ authority: [SOA] }, 'fresh '],
  ];
  for (const [reply, expected] of cases) {
    const { upstreams } = setUp(t, soon(address(1)));
    await expired(upstreams);
    upstreams.script = () => soon(reply);
    assert.equal(seen(await upstreams.ask(WWW)), expected, JSON.stringify(reply));
    // A new NXDOMAIN has replaced the answer: when the upstream fails, it is the stale one.
    await upstreams.clock.advance(70_000);
    upstreams.script = () => 'closed';
    assert.equal(seen(await upstreams.ask(WWW)), expected.replace('fresh', 'stale'));
  }
});

test('The question goes on after the stale answer, and its answer replaces the stale one', async (t) => {
  const { upstreams } = setUp(t, soon(address(1)), { tryTimeoutMs: 3_000 });
  await expired(upstreams);
  upstreams.script = () => after(2_500, address(2));
  assert.equal(seen(await upstreams.ask(WWW)), STALE_1);
  await upstreams.clock.advance(1_000);
  assert.equal(seen(await upstreams.ask(WWW)), FRESH_2);
  assert.equal(upstreams.queries.length, 1);
});

test('A question with a stale answer is sent again as soon as a probe shows that an upstream is up', async (t) => {
  const { upstreams } = setUp(t, soon(address(1)));
  await expired(upstreams);
  upstreams.script = () => 'closed';
  for (const name of ['a.example.com', 'b.example.com']) await upstreams.ask(questionOf(name));
  await upstreams.clock.advance(3_000);
  assert.equal(seen(await upstreams.ask(WWW)), STALE_1);
  upstreams.script = () => soon(address(2));
  await upstreams.clock.advance(100);
  assert.equal(seen(await upstreams.ask(WWW)), STALE_1, 'no one knows yet');
  await upstreams.ask(questionOf('c.example.com'));
  assert.equal(seen(await upstreams.ask(WWW)), FRESH_2);
});

test('A question for which there was no room is sent as soon as there is', async (t) => {
  const { upstreams } = setUp(t, soon(address(1)), { maxInFlight: 1 });
  await expired(upstreams);
  upstreams.script = ({ question }) =>
    /^www$/i.test(question.qname[0] ?? '') ? soon(address(2)) : after(1_000, address(3));
  const slow = upstreams.forwarder.resolve(questionOf('slow.example.com'), {
    checkingDisabled: false,
    dnssecOk: false,
    client: '192.0.2.1',
  });
  assert.equal(seen(await upstreams.ask(WWW)), STALE_1);
  await upstreams.settled([slow]);
  assert.equal(seen(await upstreams.ask(WWW)), FRESH_2);
});

test('An answer that may not be cached replaces the expired one', async (t) => {
  const { upstreams } = setUp(t, soon(address(1)));
  await expired(upstreams);
  upstreams.script = () => soon({ answer: ['www.example.com. 0 A 192.0.2.2'] });
  assert.equal(seen(await upstreams.ask(WWW)), 'fresh www.example.com. 0 IN A 192.0.2.2');
  upstreams.script = () => 'closed';
  assert.equal(seen(await upstreams.ask(WWW)), 'failed');
});

test('A failed refresh keeps the answer, and a successful one replaces it before it expires', async (t) => {
  const { upstreams, counters } = setUp(t, soon(address(1)));
  await upstreams.ask(WWW);
  const options = { checkingDisabled: false, dnssecOk: false, client: '192.0.2.1' };
  await upstreams.clock.advance(50_000);
  upstreams.script = () => soon(SERVFAIL);
  const failed = upstreams.forwarder.prefetch(WWW, options);
  await upstreams.clock.advance(100);
  assert.equal(await failed, undefined);
  assert.equal(seen(await upstreams.ask(WWW)), 'fresh www.example.com. 10 IN A 192.0.2.1');
  upstreams.script = () => soon(address(2));
  const refreshing = [1, 2].map(() => upstreams.forwarder.prefetch(WWW, options));
  await upstreams.clock.advance(100);
  const [refreshed] = await Promise.all(refreshing);
  assert.ok(refreshed);
  assert.equal(seen({ outcome: refreshed, tookMs: 0 }), FRESH_2);
  assert.equal(upstreams.queries.length, 3, 'two refreshes at a time share a query');
  assert.equal(seen(await upstreams.ask(WWW)), FRESH_2);
  assert.equal(counters.prefetches, 3);
});

test('A flush forgets a name and the names below it, stale or fresh, or all names', async (t) => {
  const { upstreams } = setUp(t, soon(address(1)));
  const names = ['example.com', 'www.example.com', 'xample.com', 'notexample.com', 'example.net'];
  upstreams.script = ({ question }) =>
    soon({ answer: [`${question.qname.join('.')}. 60 A 192.0.2.1`] });
  for (const name of names) await upstreams.ask(questionOf(name));
  const known = () =>
    names.filter((name) => {
      const options = { checkingDisabled: false, dnssecOk: false, client: '192.0.2.1' };
      return upstreams.forwarder.peek(questionOf(name), options) !== undefined;
    });
  assert.deepEqual(known(), names);
  assert.equal(upstreams.forwarder.flush(questionOf('EXAMPLE.com').qname).length, 2);
  assert.deepEqual(known(), ['xample.com', 'notexample.com', 'example.net']);
  await upstreams.clock.advance(60_000);
  upstreams.script = () => 'closed';
  assert.match(seen(await upstreams.ask(questionOf('example.net'))), /^stale/);
  assert.deepEqual(upstreams.forwarder.flush(questionOf('net').qname), [], 'expired');
  assert.equal(seen(await upstreams.ask(questionOf('example.net'))), 'failed');
  assert.deepEqual(upstreams.forwarder.flush(), [], 'two expired answers and one failure');
});

test('A flush reaches questions in flight: later callers do not share them, and no answer to them is kept', async (t) => {
  const { upstreams } = setUp(t, after(1_000, { answer: ['@ 60 A 192.0.2.1'] }));
  const options = { checkingDisabled: false, dnssecOk: false, client: '192.0.2.1' };
  const before = [
    upstreams.forwarder.resolve(WWW, options),
    upstreams.forwarder.resolve(questionOf('www.example.net'), options),
  ];
  await upstreams.clock.advance(10);
  assert.deepEqual(upstreams.forwarder.flush(questionOf('example.com').qname), []);
  upstreams.script = () => soon(address(2));
  assert.equal(seen(await upstreams.ask(WWW)), FRESH_2);
  const [www, other] = await upstreams.settled(before);
  assert.ok(www !== undefined && other !== undefined);
  assert.equal(seen(www), FRESH_1, 'its client gets it');
  const isFlushed = ({ outcome }: Answered) => outcome.kind === 'answered' && outcome.flushed;
  assert.deepEqual([isFlushed(www), isFlushed(other)], [true, undefined]);
  upstreams.queries.length = 0;
  assert.match(seen(await upstreams.ask(WWW)), /192\.0\.2\.2$/);
  assert.match(seen(await upstreams.ask(questionOf('www.example.net'))), /192\.0\.2\.1$/);
  assert.equal(upstreams.queries.length, 0);
  upstreams.script = () => after(1_000, address(3));
  const prefetched = upstreams.forwarder.prefetch(WWW, options);
  await upstreams.clock.advance(10);
  upstreams.forwarder.flush();
  await upstreams.clock.advance(1_000);
  assert.equal(await prefetched, undefined);
  assert.equal(upstreams.forwarder.peek(WWW, options), undefined);
});

test('The forwarder’s end also ends questions that a flush has reached', async (t) => {
  const { upstreams } = setUp(t, 'silent');
  const options = { checkingDisabled: false, dnssecOk: false, client: '192.0.2.1' };
  const pending = upstreams.forwarder.resolve(WWW, options);
  await upstreams.clock.advance(10);
  upstreams.forwarder.flush();
  await upstreams.forwarder.close();
  assert.equal((await pending).kind, 'failed');
});
