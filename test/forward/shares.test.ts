/** Clients' shares of the questions in flight: a client whose names no upstream answers uses up its own share only. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createForwarder, type Forwarder } from '../../src/forward/forwarder.ts';
import type { ForwarderOptions } from '../../src/forward/forwarderOptions.ts';
import type { Forwarded } from '../../src/forward/outcome.ts';
import { questionOf } from '../support/messages.ts';
import { ScriptedUpstreams } from '../support/scriptedUpstreams.ts';
import { startUpstream } from '../support/upstream.ts';

async function setUp(t: TestContext, options: Partial<ForwarderOptions> = {}) {
  const upstream = await startUpstream({
    records: ['www.example.com. 60 A 192.0.2.1'],
    behaviour: ({ name }) => (/silent/i.test(name) ? { drop: true } : { delayMs: 20 }),
  });
  const forwarder = createForwarder({ upstreams: [upstream], ndots: 2, ...options });
  t.after(async () => {
    await forwarder.close();
    await upstream.close();
  });
  return { forwarder, upstream };
}

function scripted(t: TestContext, options: Partial<ForwarderOptions>) {
  const upstreams = new ScriptedUpstreams(1, () => 'silent', options);
  t.after(() => upstreams.forwarder.close());
  return upstreams;
}

function ask(forwarder: Forwarder, name: string, client: string): Promise<Forwarded> {
  const options = { checkingDisabled: false, dnssecOk: false, client };
  return forwarder.resolve(questionOf(name), options);
}

const isAnswered = ({ kind }: Forwarded): boolean => kind === 'answered';

test('A client’s queries to silent servers do not stop other clients’ queries', async (t) => {
  const { forwarder } = await setUp(t, { maxInFlight: 32 });
  let flooding = true;
  const flood = (async () => {
    for (let i = 0; flooding; i++) {
      void ask(forwarder, `n${i}.silent.example`, '10.0.0.66');
      if (i % 8 === 7) await sleep(1);
    }
  })();
  await sleep(100);
  const others: Promise<Forwarded>[] = [];
  for (let i = 0; i < 100; i++) {
    others.push(ask(forwarder, `n${i}.other.example`, `10.0.0.${i % 10}`));
    await sleep(2);
  }
  const outcomes = await Promise.all(others);
  flooding = false;
  await flood;
  assert.equal(outcomes.filter(isAnswered).length, 100);
});

test('When all permits are in use, a query replaces the oldest one of the client with the most permits', async (t) => {
  const { forwarder, upstream } = await setUp(t, { maxInFlight: 4, totalTimeoutMs: 2_000 });
  const ended: string[] = [];
  const noted = (name: string, client: string): Promise<Forwarded> =>
    ask(forwarder, name, client).then((outcome) => {
      ended.push(name);
      return outcome;
    });
  const silent = [1, 2, 3].map((i) => noted(`n${i}.silent.example`, '10.0.0.66'));
  const own = noted('own.silent.example', '10.0.0.7');
  await sleep(50);
  assert.ok(isAnswered(await ask(forwarder, 'www.other.example', '10.0.0.8')));
  assert.deepEqual(ended, ['n1.silent.example']);
  const [first] = await Promise.all(silent);
  assert.deepEqual(first, {
    kind: 'failed',
    reason: 'servfail',
    text: 'too many questions in flight: cancelled for the question of another client',
  });
  await own;
  assert.equal(upstream.queries.filter(({ name }) => /own/i.test(name)).length > 0, true);
});

test('A client that holds most of the permits gets no more', async (t) => {
  const { forwarder } = await setUp(t, { maxInFlight: 3, totalTimeoutMs: 500 });
  const silent = [1, 2, 3].map((i) => ask(forwarder, `n${i}.silent.example`, '10.0.0.66'));
  const turnedAway = await ask(forwarder, 'www.other.example', '10.0.0.66');
  assert.equal(isAnswered(turnedAway), false);
  for (const outcome of await Promise.all(silent))
    assert.ok(outcome.kind === 'failed' && outcome.reason === 'timeout');
});

test('A caller that shares a query still gets an answer when the query is cancelled for another client’s excess', async (t) => {
  const { forwarder, upstream } = await setUp(t, { maxInFlight: 3, totalTimeoutMs: 3_000 });
  upstream.behave(({ name }) => ({ delayMs: /shared|www/i.test(name) ? 300 : 2_000 }));
  const first = ask(forwarder, 'shared.example.com', '10.0.0.66');
  const hogging = [1, 2].map((i) => ask(forwarder, `n${i}.example.com`, '10.0.0.66'));
  const joined = ask(forwarder, 'shared.example.com', '10.0.0.7');
  await sleep(20);
  const other = ask(forwarder, 'www.example.com', '10.0.0.8');
  assert.equal(isAnswered(await first), false);
  assert.ok(isAnswered(await other));
  assert.ok(isAnswered(await joined), 'the question is sent again for the caller that still waits');
  void Promise.all(hogging);
});

test('A caller whose query is sent again waits no longer than any other', async (t) => {
  const { forwarder, upstream } = await setUp(t, { maxInFlight: 2, totalTimeoutMs: 1_500 });
  upstream.behave(({ name }) => (/www/i.test(name) ? { delayMs: 10 } : { drop: true }));
  void ask(forwarder, 'shared.example.com', '10.0.0.66');
  void ask(forwarder, 'other.example.com', '10.0.0.66');
  const began = performance.now();
  const joined = ask(forwarder, 'shared.example.com', '10.0.0.7');
  await sleep(1_200);
  assert.ok(
    isAnswered(await ask(forwarder, 'www.example.com', '10.0.0.8')),
    'the question is sent',
  );
  assert.equal(isAnswered(await joined), false);
  const tookMs = performance.now() - began;
  assert.ok(tookMs < 2_200, `${tookMs} ms`);
});

test('No question is sent again when the forwarder closes, whichever caller waits for it', async () => {
  const upstreams = new ScriptedUpstreams(1, () => 'silent', { maxInFlight: 2 });
  const { forwarder, clock, queries } = upstreams;
  const pending = ['10.0.0.66', '10.0.0.7'].map((client) => ask(forwarder, 'a.example', client));
  void ask(forwarder, 'b.example', '10.0.0.66');
  await clock.advance(100);
  // The last client's question cancels the first one, and the caller that shared that one would send it again.
  pending.push(ask(forwarder, 'c.example', '10.0.0.8'));
  await forwarder.close();
  const sent = queries.length;
  await clock.advance(5_000);
  assert.equal(queries.length, sent);
  const texts = (await Promise.all(pending)).map((each) => each.kind === 'failed' && each.text);
  const [cancelled, ...others] = texts;
  assert.match(cancelled || '', /question of another client/);
  assert.deepEqual(others, ['shutting down', 'shutting down']);
});

test('A caller learns that the forwarder closes', async () => {
  const { forwarder, clock, queries } = new ScriptedUpstreams(1, () => 'silent');
  const pending = ['10.0.0.1', '10.0.0.2'].map((client) => ask(forwarder, 'a.example', client));
  await clock.advance(100);
  await forwarder.close();
  for (const outcome of await Promise.all(pending))
    assert.deepEqual(outcome, { kind: 'failed', reason: 'network', text: 'shutting down' });
  assert.equal(queries.length, 1);
});

test('The failure of a caller that had little time left is not the outcome of the next one', async (t) => {
  const limits = { maxInFlight: 3, totalTimeoutMs: 1_500 };
  for (const [leftMs, tookMs] of [
    [30, 0],
    [400, 400],
  ] as const) {
    const upstreams = scripted(t, limits);
    const { forwarder, clock, queries } = upstreams;
    for (const name of ['shared', 'a', 'b']) void ask(forwarder, `${name}.example`, '10.0.0.66');
    const joined = ask(forwarder, 'shared.example', '10.0.0.7');
    await clock.advance(1_500 - leftMs);
    // Cancels the shared question, which the caller that joined sends again.
    void ask(forwarder, 'third.example', '10.0.0.8');
    const [failed] = await upstreams.settled([joined]);
    assert.deepEqual([failed?.outcome.kind, failed?.tookMs], ['failed', tookMs]);
    const sent = queries.length;
    void ask(forwarder, 'shared.example', '10.0.0.9');
    await clock.advance(1);
    assert.equal(queries.length, sent + 1, `${leftMs} ms`);
  }
});

test('Waiting callers are limited for each client too', async (t) => {
  const { forwarder } = await setUp(t, { maxInFlight: 512, maxWaiting: 64, totalTimeoutMs: 600 });
  const hog = Array.from({ length: 200 }, () => ask(forwarder, 'x.silent.example', '10.0.0.66'));
  await sleep(20);
  assert.ok(isAnswered(await ask(forwarder, 'www.other.example', '10.0.0.7')));
  const refused = (await Promise.all(hog)).filter(
    (outcome) => outcome.kind === 'failed' && outcome.reason === 'servfail',
  );
  assert.ok(refused.length >= 136, `${refused.length} of the hog's callers were turned away`);
});

test('An answer from the cache needs no permit and no wait', async (t) => {
  const { forwarder } = await setUp(t, { maxInFlight: 1 });
  const options = { checkingDisabled: false, dnssecOk: false, client: '10.0.0.7' };
  const question = questionOf('www.example.com');
  assert.equal(forwarder.peek(question, options), undefined);
  await forwarder.resolve(question, options);
  void ask(forwarder, 'x.silent.example', '10.0.0.66');
  const known = forwarder.peek(question, options);
  assert.ok(known !== undefined && isAnswered(known));
  const refused = forwarder.peek(questionOf('single'), options);
  assert.equal(refused?.kind, 'refused');
});
