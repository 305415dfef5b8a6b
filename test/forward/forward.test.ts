/** The forwarder over real sockets: which upstreams get a query, how often, and the outcomes. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Message, Question } from '../../src/dns/message.ts';
import { createForwarder, type Forwarder } from '../../src/forward/forwarder.ts';
import type { ForwarderOptions } from '../../src/forward/forwarderOptions.ts';
import { type Forwarded, newForwardCounters } from '../../src/forward/outcome.ts';
import { type Clock, systemClock } from '../../src/timing/clock.ts';
import { nameOf, printed, questionOf } from '../support/messages.ts';
import { until } from '../support/until.ts';
import { startUpstream, type TestUpstream, type TestUpstreamOptions } from '../support/upstream.ts';

const PLAIN = { checkingDisabled: false, dnssecOk: false, client: '192.0.2.200' };
const clientNumber = (i: number) => ({ ...PLAIN, client: `192.0.2.${i}` });
const SOA = 'example.com. 60 SOA ns.example.com. host.example.com. 1 2 3 4 30';
const RECORDS = ['www.example.com. 60 A 192.0.2.1', 'ftp.example.com. 60 A 192.0.2.2', SOA];
const WWW = questionOf('www.example.com');

async function upstreamFor(t: TestContext, options: TestUpstreamOptions = {}) {
  const upstream = await startUpstream({ records: RECORDS, ...options });
  t.after(() => upstream.close());
  return upstream;
}

function forwarderFor(
  t: TestContext,
  upstreams: ForwarderOptions['upstreams'],
  options: Partial<ForwarderOptions> = {},
): Forwarder {
  const forwarder = createForwarder({ upstreams, ndots: 2, ...options });
  t.after(() => forwarder.close());
  return forwarder;
}

function messageIn(outcome: Forwarded): Message {
  assert.equal(outcome.kind, 'answered', JSON.stringify(outcome));
  return (outcome as Extract<Forwarded, { kind: 'answered' }>).message;
}

async function addresses(forwarder: Forwarder, question: Question = WWW): Promise<string[]> {
  return printed(messageIn(await forwarder.resolve(question, PLAIN)).answer);
}

/** A clock that advances only when the test advances it; its timers are the system's. */
function handClock() {
  let nowMs = 1_000;
  const clock: Clock = { ...systemClock, monotonicMs: () => nowMs };
  return { clock, pass: (ms: number) => (nowMs += ms) };
}

/** How many queries each upstream got. */
const sent = (...upstreams: TestUpstream[]) => upstreams.map(({ queries }) => queries.length);

test('The forwarder answers in the letter case of each query', async (t) => {
  const upstream = await upstreamFor(t);
  const forwarder = forwarderFor(t, [upstream]);
  const question = { ...WWW, qname: nameOf('WWW.example.COM') };
  const message = messageIn(await forwarder.resolve(question, { ...PLAIN, dnssecOk: true }));
  assert.deepEqual(printed(message.answer), ['WWW.example.COM. 60 IN A 192.0.2.1']);
  assert.deepEqual(message.questions, [question]);
  const [query] = upstream.queries;
  assert.equal(query?.name.toLowerCase(), 'www.example.com');
  assert.notEqual(query?.name, 'www.example.com');
  assert.deepEqual(query?.edns, { udpSize: 1232, dnssecOk: true });
});

test('Records compressed against the question lose its random case', async (t) => {
  const upstream = await upstreamFor(t, {
    records: ['www.example.com. 60 TXT exists'],
    behaviour: ({ name }) => {
      const zone = name.slice('www.'.length);
      return { extraAnswer: [`${name}. 60 CNAME Web.${zone}.`, `Web.${zone}. 60 A 192.0.2.8`] };
    },
  });
  const question = { ...WWW, qname: nameOf('WWW.example.com') };
  assert.deepEqual(await addresses(forwarderFor(t, [upstream]), question), [
    'WWW.example.com. 60 IN CNAME Web.example.com.',
    'Web.example.com. 60 IN A 192.0.2.8',
  ]);
});

test('The forwarder gives negative answers with their SOA', async (t) => {
  const forwarder = forwarderFor(t, [await upstreamFor(t)]);
  const nxdomain = messageIn(await forwarder.resolve(questionOf('no.example.com'), PLAIN));
  const nodata = messageIn(await forwarder.resolve(questionOf('www.example.com', 'AAAA'), PLAIN));
  assert.deepEqual([nxdomain.rcode, nodata.rcode], [3, 0]);
  for (const { answer, authority } of [nxdomain, nodata]) {
    assert.deepEqual(answer, []);
    assert.match(printed(authority).join(), /^example\.com\. 30 IN SOA /);
  }
});

const refusals: readonly [string, Question, RegExp][] = [
  ['a name with fewer labels than ndots', questionOf('com'), /2 labels/],
  ['the root', questionOf('.', 'NS'), /2 labels/],
  ['a zone transfer', { ...WWW, qtype: 252 }, /transfer/],
  ['class CH', { ...questionOf('version.bind', 'TXT'), qclass: 3 }, /class IN/],
];

for (const [what, question, text] of refusals)
  test(`The forwarder refuses ${what}`, async (t) => {
    const upstream = await upstreamFor(t);
    const outcome = await forwarderFor(t, [upstream]).resolve(question, PLAIN);
    assert.equal(outcome.kind, 'refused');
    assert.match((outcome as { text: string }).text, text);
    assert.deepEqual(sent(upstream), [0]);
  });

test('The forwarder refuses every name when it has no upstream', async (t) => {
  const outcome = await forwarderFor(t, []).resolve(WWW, PLAIN);
  assert.equal(outcome.kind, 'refused');
});

test('The forwarder refuses names with fewer labels than --ndots', async (t) => {
  const forwarder = forwarderFor(t, [await upstreamFor(t)], { ndots: 3 });
  assert.equal((await forwarder.resolve(questionOf('example.com'), PLAIN)).kind, 'refused');
  assert.equal((await forwarder.resolve(WWW, PLAIN)).kind, 'answered');
});

test('The forwarder sends private names only to upstreams on private addresses', async (t) => {
  const near = await upstreamFor(t, { records: ['nas.local. 60 A 10.0.0.9'] });
  const publicServer = { address: '192.0.2.53', port: 53 };
  const outside = forwarderFor(t, [publicServer]);
  for (const name of ['nas.local', '9.0.0.10.in-addr.arpa'])
    assert.equal((await outside.resolve(questionOf(name), PLAIN)).kind, 'refused', name);
  const both = forwarderFor(t, [publicServer, near]);
  assert.deepEqual(await addresses(both, questionOf('nas.local')), ['nas.local. 60 IN A 10.0.0.9']);
});

test('Names below onion and invalid do not exist, and no upstream is asked', async (t) => {
  const near = await upstreamFor(t, { records: ['hidden.onion. 60 A 10.0.0.9'] });
  for (const upstreams of [[near], []]) {
    const forwarder = forwarderFor(t, upstreams);
    for (const name of ['hidden.onion', 'a.b.Invalid', 'onion']) {
      const message = messageIn(await forwarder.resolve(questionOf(name), PLAIN));
      assert.deepEqual([message.rcode, message.answer], [3, []], name);
      assert.match(printed(message.authority).join(), /^(onion|invalid)\. 10800 IN SOA /);
      assert.deepEqual(message.questions, [questionOf(name)]);
    }
  }
  assert.deepEqual(sent(near), [0]);
});

test('localhost and the reverse names of loopback addresses are answered here, and no upstream is asked', async (t) => {
  const near = await upstreamFor(t, { records: ['x.localhost. 60 A 10.0.0.9'] });
  const reverse6 = `1.${'0.'.repeat(31)}ip6.arpa`;
  for (const upstreams of [[near], []]) {
    const forwarder = forwarderFor(t, upstreams);
    for (const [name, type, rcode, answer] of [
      ['localhost', 'A', 0, 'localhost. 10800 IN A 127.0.0.1'],
      ['a.X.LocalHost', 'AAAA', 0, 'a.X.LocalHost. 10800 IN AAAA ::1'],
      ['x.localhost', 'MX', 0, ''],
      ['1.0.0.127.in-addr.arpa', 'PTR', 0, '1.0.0.127.in-addr.arpa. 10800 IN PTR localhost.'],
      [reverse6, 'PTR', 0, `${reverse6}. 10800 IN PTR localhost.`],
      ['127.in-addr.arpa', 'PTR', 0, ''],
      ['53.0.0.127.in-addr.arpa', 'PTR', 3, ''],
      [`x.${reverse6}`, 'PTR', 3, ''],
    ] as const) {
      const message = messageIn(await forwarder.resolve(questionOf(name, type), PLAIN));
      assert.deepEqual([message.rcode, printed(message.answer).join()], [rcode, answer], name);
      const soa =
        answer === '' ? /^(localhost|127\.in-addr\.arpa|1\..*ip6\.arpa)\. 10800 IN SOA / : /^$/;
      assert.match(printed(message.authority).join(), soa);
    }
    const transfer = await forwarder.resolve(questionOf('localhost', 'AXFR'), PLAIN);
    assert.equal(transfer.kind, 'refused');
  }
  assert.deepEqual(sent(near), [0]);
});

test('The forwarder neither passes on nor caches unrelated records of an upstream', async (t) => {
  const upstream = await upstreamFor(t, {
    behaviour: {
      flags: 0xa0,
      extraAnswer: ['bank.example.net. 9999 A 203.0.113.66'],
      authority: ['example.com. 9999 NS ns.example.net.'],
      additional: ['ns.example.net. 9999 A 203.0.113.66', 'ftp.example.com. 9999 A 203.0.113.66'],
    },
  });
  const forwarder = forwarderFor(t, [upstream]);
  const message = messageIn(await forwarder.resolve(WWW, PLAIN));
  assert.deepEqual(printed(message.answer), ['www.example.com. 60 IN A 192.0.2.1']);
  assert.deepEqual([message.authority, message.additional, message.authenticData], [[], [], false]);
  upstream.behave({});
  assert.deepEqual(await addresses(forwarder, questionOf('ftp.example.com')), [
    'ftp.example.com. 60 IN A 192.0.2.2',
  ]);
});

test('The forwarder repeats truncated answers over TCP', async (t) => {
  const records = Array.from({ length: 200 }, (_, i) => `www.example.com. 60 A 192.0.2.${i}`);
  const upstream = await upstreamFor(t, { records, behaviour: { truncate: true } });
  assert.equal((await addresses(forwarderFor(t, [upstream]))).length, 200);
  assert.deepEqual(
    upstream.queries.map(({ transport }) => transport),
    ['udp', 'tcp'],
  );
});

test('The forwarder tries the next upstream when one truncates and refuses TCP', async (t) => {
  const first = await upstreamFor(t, { behaviour: { truncate: true, closeTcp: true } });
  const second = await upstreamFor(t);
  assert.equal((await addresses(forwarderFor(t, [first, second]))).length, 1);
  assert.deepEqual(sent(first, second), [2, 1]);
});

test('The forwarder tries the next upstream when a reply is truncated even over TCP', async (t) => {
  const first = await upstreamFor(t, {
    records: ['www.example.com. 60 A 192.0.2.99'],
    behaviour: { truncate: true, truncateTcp: true },
  });
  const second = await upstreamFor(t);
  const forwarder = forwarderFor(t, [first, second]);
  assert.deepEqual(await addresses(forwarder), ['www.example.com. 60 IN A 192.0.2.1']);
  assert.deepEqual(sent(first, second), [2, 1]);
});

test('The forwarder repeats a query over TCP when an upstream does not keep its case (0x20)', async (t) => {
  const upstream = await upstreamFor(t, { behaviour: { lowerCase: true } });
  assert.equal((await addresses(forwarderFor(t, [upstream]))).length, 1);
  assert.equal(upstream.queries[1]?.transport, 'tcp');
  upstream.behave({ lowerCase: true, closeTcp: true });
  const outcome = await forwarderFor(t, [upstream]).resolve(WWW, PLAIN);
  assert.equal(outcome.kind, 'failed');
});

test('The forwarder retries without EDNS at an upstream that does not support it', async (t) => {
  const upstream = await upstreamFor(t, { behaviour: { refuseEdns: true } });
  assert.equal((await addresses(forwarderFor(t, [upstream]))).length, 1);
  assert.deepEqual(
    upstream.queries.map(({ edns }) => edns !== undefined),
    [true, false],
  );
});

test('The forwarder tries the next upstream after a failure', async (t) => {
  const good = await upstreamFor(t);
  for (const rcode of ['SERVFAIL', 'REFUSED', 'NOTIMP', 'FORMERR'] as const) {
    const bad = await upstreamFor(t, { behaviour: { rcode } });
    assert.equal((await addresses(forwarderFor(t, [bad, good]))).length, 1, rcode);
    assert.deepEqual(sent(bad), [1]);
  }
});

test('The forwarder answers with the last failure when every upstream fails', async (t) => {
  const first = await upstreamFor(t, { behaviour: { rcode: 'SERVFAIL' } });
  const second = await upstreamFor(t, { behaviour: { rcode: 'REFUSED' } });
  const message = messageIn(await forwarderFor(t, [first, second]).resolve(WWW, PLAIN));
  assert.equal(message.rcode, 5);
  assert.deepEqual(sent(first, second), [1, 1]);
});

test('The forwarder prefers a failure reply to a timeout and does not wait for the timeout', async (t) => {
  const { clock } = handClock();
  const bad = await upstreamFor(t, { behaviour: { rcode: 'SERVFAIL' } });
  const dead = await upstreamFor(t, { behaviour: { drop: true } });
  const forwarder = forwarderFor(t, [bad, dead], { clock, tryTimeoutMs: 100 });
  for (let i = 0; i < 10; i++) {
    const outcome = await forwarder.resolve(questionOf(`n${i}.example.com`), PLAIN);
    assert.equal(messageIn(outcome).rcode, 2);
  }
  assert.deepEqual(sent(bad, dead), [10, 2]);
});

test('The forwarder treats a referral as a failure', async (t) => {
  const behaviour = { flags: 0, authority: ['com. 60 NS a.gtld.example.'] };
  const lame = await upstreamFor(t, { records: ['example.com. 60 TXT x'], behaviour });
  const outcome = await forwarderFor(t, [lame]).resolve(questionOf('example.com', 'MX'), PLAIN);
  assert.deepEqual(outcome.kind === 'failed' && outcome.reason, 'servfail');
});

test('The forwarder tries the next upstream at once after a closed port', async (t) => {
  const closed = await startUpstream();
  await closed.close();
  const good = await upstreamFor(t);
  const forwarder = forwarderFor(t, [closed, good], {
    tryTimeoutMs: 60_000,
    totalTimeoutMs: 60_000,
  });
  assert.equal((await addresses(forwarder)).length, 1);
});

test('The forwarder repeats a lost query', async (t) => {
  let lost = 0;
  const upstream = await upstreamFor(t, { behaviour: () => ({ drop: lost++ === 0 }) });
  const forwarder = forwarderFor(t, [upstream], { tryTimeoutMs: 200 });
  assert.equal((await addresses(forwarder)).length, 1);
  assert.deepEqual(sent(upstream), [2]);
});

test('A dead first upstream delays a few questions and is used again when it answers', async (t) => {
  const { clock, pass } = handClock();
  const dead = await upstreamFor(t, { behaviour: { drop: true } });
  const good = await upstreamFor(t);
  // The live upstream has a long time to reply, so that a busy machine does not fail the test.
  const forwarder = forwarderFor(t, [dead, good], { clock, tryTimeoutMs: 600 });
  const ask = (i: number) => forwarder.resolve(questionOf(`n${i}.example.com`), PLAIN);
  for (let i = 0; i < 100; i++) assert.equal((await ask(i)).kind, 'answered');
  const delayed = dead.queries.length;
  assert.ok(delayed >= 2 && delayed <= 5, `${delayed} of a hundred waited`);
  assert.deepEqual(sent(good), [100]);

  pass(2_000);
  await ask(100);
  await until('a copy probed the dead one', () => dead.queries.length === delayed + 1);
  assert.deepEqual(sent(good), [101], 'but no caller waited for it');
  await ask(101);
  assert.deepEqual(sent(dead), [delayed + 1], 'one probe at a time');

  dead.behave({});
  pass(4_000);
  await ask(102);
  await until('the next probe is answered', () => dead.queries.length === delayed + 2);
  await until('the first upstream is preferred again', async () => {
    const before = good.queries.length;
    pass(1);
    await ask(1000 + before);
    return good.queries.length === before;
  });
});

test('The forwarder fails within 4 s and after few packets when all upstreams are dead', async (t) => {
  const first = await upstreamFor(t, { behaviour: { drop: true } });
  const second = await upstreamFor(t, { behaviour: { drop: true } });
  const forwarder = forwarderFor(t, [first, second]);
  const late = sleep(4_000, 'late' as const, { ref: false });
  const outcome = await Promise.race([forwarder.resolve(WWW, PLAIN), late]);
  assert.deepEqual(outcome !== 'late' && outcome.kind === 'failed' && outcome.reason, 'timeout');
  assert.deepEqual(sent(first, second), [2, 2]);
  await forwarder.resolve(WWW, PLAIN);
  assert.deepEqual(sent(first, second), [2, 2], 'the failure is remembered for a moment');
});

test('The remaining time limits the forwarder’s last attempt', async (t) => {
  const behaviour = { drop: true };
  const dead = [1, 2, 3].map(() => upstreamFor(t, { behaviour }));
  const limits = { tryTimeoutMs: 1_000, totalTimeoutMs: 1_300 };
  const forwarder = forwarderFor(t, await Promise.all(dead), limits);
  const late = sleep(1_800, 'late' as const, { ref: false });
  assert.notEqual(await Promise.race([forwarder.resolve(WWW, PLAIN), late]), 'late');
});

test('The forwarder waits for slow upstreams that reply in time', async (t) => {
  const upstream = await upstreamFor(t, { behaviour: { delayMs: 600 } });
  assert.equal((await addresses(forwarderFor(t, [upstream]))).length, 1);
  assert.deepEqual(sent(upstream), [1]);
});

test('Fifty callers with one question share one query, and each is answered in its own letter case', async (t) => {
  const upstream = await upstreamFor(t, { behaviour: { delayMs: 100 } });
  const forwarder = forwarderFor(t, [upstream]);
  const spellings = Array.from({ length: 50 }, (_, i) =>
    i % 2 ? 'www.example.com' : 'WWW.Example.Com',
  );
  const answers = await Promise.all(
    spellings.map((name) => addresses(forwarder, questionOf(name))),
  );
  assert.deepEqual(
    answers,
    spellings.map((name) => [`${name}. 60 IN A 192.0.2.1`]),
  );
  assert.deepEqual(sent(upstream), [1]);
});

test('Questions that differ in type, DO or CD do not share a query', async (t) => {
  const upstream = await upstreamFor(t, { behaviour: { delayMs: 50 } });
  const forwarder = forwarderFor(t, [upstream]);
  await Promise.all([
    forwarder.resolve(WWW, PLAIN),
    forwarder.resolve({ ...WWW, qtype: 28 }, PLAIN),
    forwarder.resolve(WWW, { ...PLAIN, dnssecOk: true }),
    forwarder.resolve(WWW, { ...PLAIN, checkingDisabled: true }),
  ]);
  assert.deepEqual(sent(upstream), [4]);
});

test('Pending queries and their callers are limited', async (t) => {
  const upstream = await upstreamFor(t, { behaviour: { drop: true } });
  const limits = { maxInFlight: 3, maxWaiting: 5, totalTimeoutMs: 400, tryTimeoutMs: 200 };
  const forwarder = forwarderFor(t, [upstream], limits);
  const kinds: string[] = [];
  let client = 0;
  const ask = (i: number) =>
    forwarder.resolve(questionOf(`n${i}.example.com`), clientNumber(++client)).then((outcome) => {
      kinds.push(outcome.kind === 'failed' ? outcome.reason : outcome.kind);
    });
  await Promise.all([0, 1, 2, 3, 0, 0, 0].map(ask));
  assert.deepEqual(kinds.slice(0, 2), ['servfail', 'servfail'], 'two are refused at once');
  assert.deepEqual(kinds.slice(2), Array(5).fill('timeout'));
  upstream.behave({});
  assert.equal((await addresses(forwarder)).length, 1, 'and there is room again');
});

test('The forwarder’s cache answers with aged TTLs until they expire', async (t) => {
  const { clock, pass } = handClock();
  const upstream = await upstreamFor(t);
  const forwarder = forwarderFor(t, [upstream], { clock });
  const ttl = async () => (await addresses(forwarder))[0]?.split(' ')[1];
  assert.equal(await ttl(), '60');
  pass(59_500);
  assert.equal(await ttl(), '1');
  assert.deepEqual(sent(upstream), [1]);
  pass(500);
  assert.equal(await ttl(), '60');
  assert.deepEqual(sent(upstream), [2]);
});

test('The forwarder caches negative answers for their SOA minimum', async (t) => {
  const { clock, pass } = handClock();
  const upstream = await upstreamFor(t);
  const forwarder = forwarderFor(t, [upstream], { clock });
  const ask = () => forwarder.resolve(questionOf('new.example.com'), PLAIN);
  await ask();
  upstream.serve([...RECORDS, 'new.example.com. 60 A 192.0.2.3']);
  pass(29_000);
  assert.equal(messageIn(await ask()).rcode, 3);
  pass(1_000);
  assert.equal(messageIn(await ask()).answer.length, 1);
  assert.deepEqual(sent(upstream), [2]);
});

test('The forwarder’s cache is limited', async (t) => {
  const upstream = await upstreamFor(t);
  const forwarder = forwarderFor(t, [upstream], { cacheEntries: 1 });
  await addresses(forwarder);
  await addresses(forwarder, questionOf('ftp.example.com'));
  await addresses(forwarder);
  assert.deepEqual(sent(upstream), [3]);
});

/** An upstream that sends every query back to the forwarder, changed by `spell`. */
async function loopTo(t: TestContext, forwarder: () => Forwarder, spell: (name: string) => string) {
  const back: Promise<Forwarded>[] = [];
  const upstream = await upstreamFor(t, {
    behaviour: ({ name }) => {
      back.push(forwarder().resolve({ ...questionOf(spell(name)) }, PLAIN));
      return { drop: true };
    },
  });
  return { upstream, back };
}

test('The forwarder refuses its own query at once when it comes back', async (t) => {
  const { upstream, back } = await loopTo(
    t,
    () => forwarder,
    (name) => name,
  );
  const forwarder = forwarderFor(t, [upstream], { tryTimeoutMs: 100, totalTimeoutMs: 300 });
  const outcome = await forwarder.resolve(questionOf('a.long.name.example.com'), PLAIN);
  assert.equal(outcome.kind, 'failed');
  assert.equal(back.length, 2, 'as many as there were tries');
  for (const returned of await Promise.all(back)) assert.equal(returned.kind, 'refused');
});

test('A loop that changes the case adds no packets and ends at the deadline', async (t) => {
  const { upstream, back } = await loopTo(
    t,
    () => forwarder,
    (name) => name.toLowerCase(),
  );
  const forwarder = forwarderFor(t, [upstream], { tryTimeoutMs: 100, totalTimeoutMs: 300 });
  const outcome = await forwarder.resolve(questionOf('a.long.name.example.com'), PLAIN);
  assert.equal(outcome.kind, 'failed');
  await Promise.all(back);
  assert.deepEqual(sent(upstream), [2]);
});

test('Closing the forwarder ends every question and leaves nothing open', async (t) => {
  const upstream = await upstreamFor(t, { behaviour: { drop: true } });
  const active = () =>
    process.getActiveResourcesInfo().filter((kind) => /UDP|TCP/.test(kind)).length;
  const before = active();
  const forwarder = createForwarder({ upstreams: [upstream], ndots: 2, totalTimeoutMs: 60_000 });
  const asked = Array.from({ length: 20 }, (_, i) =>
    forwarder.resolve(questionOf(`n${i}.example.com`), PLAIN),
  );
  await until('the queries have arrived', () => upstream.queries.length === 20);
  await forwarder.close();
  for (const outcome of await Promise.all(asked)) assert.equal(outcome.kind, 'failed');
  assert.equal((await forwarder.resolve(WWW, PLAIN)).kind, 'failed');
  await until('the sockets are gone', () => active() <= before);
});

test('A failure from the cache counts as a failure, and an answer from the cache as a hit', async (t) => {
  const counters = newForwardCounters();
  const upstream = await upstreamFor(t, { behaviour: { rcode: 'SERVFAIL' } });
  const { clock } = handClock();
  const forwarder = forwarderFor(t, [upstream], { counters, clock });
  for (let i = 0; i < 3; i++) await forwarder.resolve(WWW, PLAIN);
  assert.deepEqual([counters.failures.servfail, counters.cacheHits], [3, 0]);
  upstream.behave({});
  for (let i = 0; i < 3; i++) await forwarder.resolve(questionOf('ftp.example.com'), PLAIN);
  assert.deepEqual([counters.failures.servfail, counters.cacheHits], [3, 2]);
  assert.deepEqual(sent(upstream), [2]);
});
