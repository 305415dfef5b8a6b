/** When a slow upstream's question also goes to the next one, and in which order upstreams get questions. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import test, { type TestContext } from 'node:test';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { AnswerTimes } from '../../src/forward/answerTimes.ts';
import { createForwarder } from '../../src/forward/forwarder.ts';
import type { ForwarderOptions } from '../../src/forward/forwarderOptions.ts';
import { UpstreamHealth } from '../../src/forward/health.ts';
import { type ForwardCounters, newForwardCounters } from '../../src/forward/outcome.ts';
import { questionOf } from '../support/messages.ts';
import {
  type Script,
  type ScriptedQuery,
  ScriptedUpstreams,
} from '../support/scriptedUpstreams.ts';
import { until } from '../support/until.ts';
import { startUpstream } from '../support/upstream.ts';

const answer = (afterMs: number, last = 1): Script => ({
  afterMs,
  reply: { answer: [`@ 60 A 192.0.2.${last}`] },
});
const PLAIN = { checkingDisabled: false, dnssecOk: false, client: '192.0.2.200' };
const SERVFAIL: Script = { afterMs: 1, reply: { rcode: 2 } };

function setUp(
  t: TestContext,
  scripts: readonly Script[],
  options: Partial<ForwarderOptions> = {},
) {
  const counters: ForwardCounters = newForwardCounters();
  const script = ({ upstream }: ScriptedQuery): Script => scripts[upstream] ?? 'silent';
  const upstreams = new ScriptedUpstreams(scripts.length, script, { counters, ...options });
  t.after(() => upstreams.forwarder.close());
  let asked = 0;
  /** Asks a new name, and tells when which upstream got it. */
  const ask = async () => {
    upstreams.queries.length = 0;
    const startMs = upstreams.clock.monotonicMs();
    const name = questionOf(`n${asked++}.example.com`);
    const { outcome, tookMs } = await upstreams.ask(name);
    const sent = upstreams.queries.map(({ upstream, atMs }) => [upstream, atMs - startMs]);
    return { kind: outcome.kind, outcome, tookMs, sent };
  };
  return { upstreams, counters, ask };
}

test('The next upstream gets the question after the time in which the first one usually answers', async (t) => {
  const scripts = [answer(40), answer(10)];
  const { counters, ask } = setUp(t, scripts);
  for (let i = 0; i < 20; i++) assert.deepEqual((await ask()).sent, [[0, 0]]);
  assert.equal(counters.hedged, 0);
  scripts[0] = 'silent';
  const { kind, tookMs, sent } = await ask();
  assert.deepEqual([kind, tookMs], ['answered', 55]);
  assert.deepEqual(sent, [
    [0, 0],
    [1, 45],
  ]);
  assert.equal(counters.hedged, 1);
});

test('An upstream of which little is known has 0.3 s', async (t) => {
  const { ask } = setUp(t, ['silent', answer(10)]);
  assert.deepEqual((await ask()).sent, [
    [0, 0],
    [1, 300],
  ]);
});

test('The forwarder still listens to the slow upstream, and the first usable reply counts', async (t) => {
  const scripts = [answer(350, 7), answer(100, 9)];
  const { ask } = setUp(t, scripts);
  const { tookMs, outcome } = await ask();
  assert.equal(tookMs, 350);
  assert.match(JSON.stringify(outcome), /192\.0\.2\.7/);
});

test('An unusable reply of one upstream does not end the wait for the other', async (t) => {
  const { ask } = setUp(t, [answer(500), { afterMs: 50, reply: { rcode: 2 } }]);
  const { kind, tookMs, outcome } = await ask();
  assert.deepEqual([kind, tookMs], ['answered', 500]);
  assert.match(JSON.stringify(outcome), /192\.0\.2\.1/);
});

test('After a failure the next upstream gets the question at once', async (t) => {
  for (const failure of ['closed', SERVFAIL] as const) {
    const { ask, counters } = setUp(t, [failure, answer(10)]);
    const { tookMs } = await ask();
    assert.ok(tookMs <= 12, `${tookMs} ms`);
    assert.equal(counters.hedged, 0);
  }
});

test('After a failure the next upstream gets the question at once, even while a slow one may still answer', async (t) => {
  const { ask } = setUp(t, ['silent', SERVFAIL, answer(10)]);
  assert.deepEqual((await ask()).sent, [
    [0, 0],
    [1, 300],
    [2, 301],
  ]);
});

test('An upstream whose packet was lost gets the question again although another one refused it', async (t) => {
  let lost = 0;
  const { upstreams, ask } = setUp(t, ['silent', SERVFAIL]);
  upstreams.script = ({ upstream }) =>
    upstream === 1 ? SERVFAIL : lost++ === 0 ? 'silent' : answer(5);
  const { outcome, sent } = await ask();
  assert.match(JSON.stringify(outcome), /192\.0\.2\.1/);
  assert.deepEqual(sent, [
    [0, 0],
    [1, 300],
    [0, 1_200],
  ]);
});

test('The outcome is the reply of an upstream that refused if the others stay silent', async (t) => {
  const { upstreams, ask } = setUp(t, ['silent', SERVFAIL]);
  const { outcome, sent } = await ask();
  assert.ok(outcome.kind === 'answered' && outcome.message.rcode === 2);
  assert.equal(sent.length, 3);
  // It is down now, so it would likely only cost its timeout.
  await upstreams.clock.advance(1_000);
  const { tookMs } = await ask();
  assert.ok(tookMs < 10, `${tookMs} ms`);
});

test('At most two upstreams have the question at a time', async (t) => {
  const { ask } = setUp(t, ['silent', 'silent', 'silent', 'silent']);
  const { kind, tookMs, sent } = await ask();
  assert.equal(kind, 'failed');
  assert.ok(tookMs < 4_000);
  assert.deepEqual(sent.slice(0, 4), [
    [0, 0],
    [1, 300],
    [2, 1_200],
    [3, 1_500],
  ]);
});

test('However the upstreams behave, each gets the question twice at most, and there is an outcome within 4 s', async () => {
  const script = fc.oneof(
    fc.constantFrom<Script>('silent', 'closed', SERVFAIL),
    fc.integer({ min: 1, max: 5_000 }).map((afterMs) => answer(afterMs)),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(script, { minLength: 1, maxLength: 5 }), async (scripts) => {
      const own = new ScriptedUpstreams(scripts.length, (q) => scripts[q.upstream] ?? 'silent');
      for (let i = 0; i < 3; i++) {
        own.queries.length = 0;
        const { tookMs } = await own.ask(questionOf(`n${i}.example.com`));
        assert.ok(tookMs <= 3_800, `${tookMs} ms`);
        for (const index of scripts.keys()) {
          const times = own.queries.filter(({ upstream }) => upstream === index).length;
          // A question may come with a probe, which is a copy of it.
          assert.ok(times <= 3, `${times} queries to one upstream`);
        }
      }
      await own.forwarder.close();
    }),
    { numRuns: 60 },
  );
});

test('The reply that comes too late counts for the upstream’s answer time and health', async (t) => {
  const scripts = [answer(600), answer(10)];
  const { upstreams, ask } = setUp(t, scripts);
  for (let i = 0; i < 8; i++) {
    assert.equal((await ask()).tookMs, 310);
    await upstreams.clock.advance(1_000);
  }
  // Now 600 ms are usual.
  assert.deepEqual((await ask()).sent, [[0, 0]]);
});

test('An upstream whose late replies never come is down', async (t) => {
  const { upstreams, ask } = setUp(t, ['silent', answer(10)]);
  for (let i = 0; i < 2; i++) await ask();
  await upstreams.clock.advance(1_500);
  assert.deepEqual((await ask()).sent, [[1, 0]]);
});

test('An upstream that gets the question anyway gets no probe', async (t) => {
  const { upstreams, ask } = setUp(t, ['closed']);
  for (let i = 0; i < 2; i++) await ask();
  await upstreams.clock.advance(3_000);
  assert.deepEqual((await ask()).sent, [[0, 0]]);
});

test('While one upstream may still answer, those that are down do not get the question', async (t) => {
  const scripts: Script[] = [answer(10), 'closed'];
  const { upstreams, ask } = setUp(t, scripts, { policy: 'listed' });
  scripts[0] = SERVFAIL;
  for (let i = 0; i < 2; i++) await ask();
  scripts[0] = answer(900);
  const { sent } = await ask();
  assert.deepEqual(sent, [[0, 0]]);
  assert.ok(upstreams.queries.length > 0);
});

test('Closing the forwarder ends the wait for late replies', async () => {
  const own = new ScriptedUpstreams(2, ({ upstream }) => (upstream === 0 ? 'silent' : answer(1)));
  await own.ask(questionOf('n.example.com'));
  await own.forwarder.close();
});

test('A cancelled question does not count against an upstream’s health', async () => {
  const own = new ScriptedUpstreams(2, () => 'silent', { maxInFlight: 4 });
  const ask = (name: string, client: string) =>
    own.forwarder.resolve(questionOf(name), { ...PLAIN, client });
  const hogs = [0, 1, 2, 3].map((i) => ask(`h${i}.example.com`, '10.0.0.66'));
  // Each new client's question cancels one of the hog's.
  const others = [0, 1].map((i) => ask(`o${i}.example.com`, `10.0.0.${i}`));
  await own.clock.advance(1);
  for (const hog of hogs.slice(0, 2)) assert.equal((await hog).kind, 'failed');
  own.queries.length = 0;
  others.push(ask('last.example.com', '10.0.0.9'));
  await own.clock.advance(1);
  assert.equal(own.queries[0]?.upstream, 0);
  await own.forwarder.close();
  await Promise.all([...hogs, ...others]);
});

/** Answers NXDOMAIN after 200 ms, names that begin with `last` after 50 ms; counts the queries and the replies. */
const THREAD = `
  const { parentPort, workerData } = require('node:worker_threads');
  const counts = new Int32Array(workerData);
  const count = (at) => { Atomics.add(counts, at, 1); Atomics.notify(counts, at); };
  const socket = require('node:dgram').createSocket('udp4');
  socket.on('message', (packet, { port, address }) => {
    count(0);
    packet[2] |= 0x80;
    packet[3] = 0x83;
    const isLast = /^last/i.test(packet.subarray(13).toString('latin1'));
    setTimeout(() => socket.send(packet, port, address, () => count(1)), isLast ? 50 : 200);
  });
  socket.bind(0, '127.0.0.1', () => parentPort.postMessage(socket.address().port));
`;

test('After a pause of this process the forwarder reads the replies that have come before it asks further', async (t) => {
  const counts = new Int32Array(new SharedArrayBuffer(8));
  const thread = new Worker(THREAD, { eval: true, workerData: counts.buffer });
  t.after(() => thread.terminate());
  const [port] = (await once(thread, 'message')) as [number];
  const second = await startUpstream();
  const slow = { address: '127.0.0.1', port };
  const forwarder = createForwarder({ upstreams: [slow, second], ndots: 1 });
  t.after(async () => {
    await forwarder.close();
    await second.close();
  });
  const ask = (name: string) => forwarder.resolve(questionOf(name), PLAIN);
  await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map((i) => ask(`n${i}.example.com`)));
  const [asked = 0, replied = 0] = counts;
  assert.equal(second.queries.length, 0);
  const startedMs = performance.now();
  const last = ask('last.example.com');
  await until('the query has arrived', () => counts[0] === asked + 1);
  Atomics.wait(counts, 1, replied);
  while (performance.now() < startedMs + 500);
  assert.equal((await last).kind, 'answered');
  assert.equal(second.queries.length, 0);
});

test('The usual time is that of 19 in 20 recent answers and an eighth, at least 20 ms', () => {
  const times = new AnswerTimes();
  assert.equal(times.slowMs, 300);
  for (let i = 0; i < 8; i++) times.answered(5);
  assert.equal(times.slowMs, 20);
  for (let i = 1; i <= 256; i++) times.answered(i);
  assert.ok(Math.abs(times.slowMs - 0.95 * 256 * 1.125) <= 16, `${times.slowMs} ms`);
  for (let i = 1; i <= 256; i++) times.answered(40);
  assert.equal(times.slowMs, 45);
});

test('Failures make the smoothed time longer, but not the usual one', () => {
  const times = new AnswerTimes();
  for (let i = 0; i < 50; i++) times.answered(40);
  for (let i = 0; i < 50; i++) times.failed(1_200);
  assert.ok((times.smoothedMs ?? 0) > 1_000);
  assert.equal(times.slowMs, 45);
});

const A = { address: '10.0.0.1', port: 53 };
const B = { address: '10.0.0.2', port: 53 };
const C = { address: '10.0.0.3', port: 53 };

test('The policy fastest prefers the shortest time and asks unknown upstreams first, those that are down last', () => {
  const health = new UpstreamHealth([A, B, C], { policy: 'fastest', randomInt: () => 1 });
  health.timesOf(A).answered(30);
  health.timesOf(B).answered(10);
  assert.deepEqual(health.order(), [C, B, A]);
  health.timesOf(C).answered(20);
  assert.deepEqual(health.order(), [B, C, A]);
  health.failed(B, 0);
  health.failed(B, 0);
  assert.deepEqual(health.order(), [C, A, B]);
});

/** The same numbers in each run. */
function fixedRandom() {
  let seed = 7;
  return (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((seed / 2 ** 31) * below);
  };
}

test('With the policy fastest one in twenty questions goes to another upstream first', async (t) => {
  const scripts = [answer(40), answer(10), answer(90)];
  const { ask } = setUp(t, scripts, { policy: 'fastest', randomInt: fixedRandom() });
  const firsts = [0, 0, 0];
  for (let i = 0; i < 400; i++) {
    const [first = 0] = (await ask()).sent[0] ?? [];
    firsts[first] = (firsts[first] ?? 0) + 1;
  }
  const [slow = 0, fast = 0, slowest = 0] = firsts;
  assert.ok(fast > 360 && slow > 2 && slowest > 2, firsts.join());
  // It notices a change.
  scripts[1] = answer(200);
  for (let i = 0; i < 100; i++) await ask();
  assert.notEqual((await ask()).sent[0]?.[0], 1);
});

test('The policy fastest leaves an upstream that refuses everything at once', async (t) => {
  const { ask } = setUp(t, [SERVFAIL, answer(30)], { policy: 'fastest', randomInt: () => 1 });
  await ask();
  assert.deepEqual((await ask()).sent[0], [1, 0]);
});

test('With the policy random every upstream is the first about equally often', () => {
  const health = new UpstreamHealth([A, B, C], { policy: 'random', randomInt: fixedRandom() });
  const firsts = Array.from({ length: 300 }, () => health.order()[0]);
  for (const each of [A, B, C]) assert.ok(firsts.filter((one) => one === each).length > 60);
  assert.deepEqual(new Set(health.order()), new Set([A, B, C]));
});
