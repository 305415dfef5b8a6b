/** Answers of other servers that a worker takes from the cache are those that the main thread would send. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { AnswerCache } from '../../src/dataplane/cache/answerCache.ts';
import { CachePublisher } from '../../src/dataplane/publish/cachePublisher.ts';
import { openFastPath } from '../../src/dataplane/reply/reader.ts';
import { counterBlock, newCounterMemory, Single } from '../../src/dataplane/table/counters.ts';
import { AnswerTable } from '../../src/dataplane/table/table.ts';
import { decodeMessage } from '../../src/dns/decode.ts';
import { encodeQuery, encodeResponse } from '../../src/dns/encode.ts';
import {
  Ede,
  type Edns,
  type ExtendedError,
  type Message,
  type Question,
  type Response,
  STALE_ANSWER,
  STALE_NXDOMAIN,
} from '../../src/dns/message.ts';
import { equalNames, foldName, type Name } from '../../src/dns/name.ts';
import { Class, Rcode, type Rdata, type Rr, Type } from '../../src/dns/rr.ts';
import { replyLimit } from '../../src/dns/truncate.ts';

const MAX_UDP_OCTETS = 1232;
const HTTPS = 65;

/** A server with one worker, and a clock that the test sets. */
class Scene {
  nowMs = 5_000;
  prefetches = true;
  roundRobin = false;
  readonly cache: AnswerCache;
  readonly publisher: CachePublisher;
  readonly counters = counterBlock(newCounterMemory(1), 0);
  readonly #fastPath;

  constructor() {
    const table = new AnswerTable(2 ** 18, 99, MAX_UDP_OCTETS);
    table.active = true;
    this.cache = new AnswerCache(2 ** 20, table.handle);
    this.publisher = new CachePublisher({
      ...{ cache: this.cache, maxUdpOctets: MAX_UDP_OCTETS },
      mayPrefetch: () => this.prefetches,
      roundRobin: () => this.roundRobin,
      random: () => 0,
      monotonicMs: () => this.nowMs,
      onError(error) {
        throw error;
      },
    });
    const handle = { ...table.handle, cache: this.cache.memory };
    this.#fastPath = openFastPath(handle, 1, this.counters, () => this.nowMs);
  }

  /** A worker's reply; undefined if it has none. `meanwhile` is called when the worker's batch has begun. */
  ask(question: Question, edns?: Edns, meanwhile?: () => void): Buffer | undefined {
    const query = queryOf(question, edns);
    const packet = Buffer.alloc(MAX_UDP_OCTETS + 300);
    packet.set(encodeQuery(query));
    this.#fastPath.beginBatch();
    meanwhile?.();
    const length = this.#fastPath.answer(packet, 0, encodeQuery(query).length, true);
    this.#fastPath.endBatch();
    return length > 0 ? packet.subarray(0, length) : undefined;
  }
}

function queryOf(question: Question, edns: Edns | undefined) {
  return { id: 77, question, recursionDesired: true, checkingDisabled: false, edns };
}

/** The main thread's reply, `age` seconds after the answer came. */
function expected(question: Question, response: Response, age: number, edns?: Edns): Message {
  const older = (rrs: readonly Rr[]) =>
    rrs.map((rr) => ({ ...rr, ttlSeconds: rr.ttlSeconds - age }));
  const { answer, authority } = response;
  const aged = { ...response, answer: older(answer), authority: older(authority) };
  const query = queryOf(question, edns);
  return decoded(
    encodeResponse(query, aged, replyLimit(query, { transport: 'udp' }, MAX_UDP_OCTETS)),
  );
}

function decoded(packet: Uint8Array): Message {
  const message = decodeMessage(packet);
  assert.ok(message !== undefined);
  return message;
}

const label = fc.constantFrom('a', 'Bc', 'www', 'x'.repeat(63), '_tcp');
const name: fc.Arbitrary<Name> = fc
  .array(label, { maxLength: 2 })
  .map((labels) => [...labels, 'outside', 'example']);
const ttl = fc.integer({ min: 1, max: 600 });

const RDATA: Readonly<Record<number, fc.Arbitrary<Rdata>>> = {
  [Type.A]: fc.nat(255).map((n) => ({ kind: 'address', address: `192.0.2.${n}` })),
  [Type.AAAA]: fc
    .nat(0xfffe)
    .map((n) => ({ kind: 'address', address: `2001:db8::${(n + 1).toString(16)}` })),
  // In lower case: compression gives a name in rdata the spelling of an equal one.
  [Type.MX]: name.map(foldName).map((exchange) => ({ kind: 'mx', preference: 5, exchange })),
  [Type.TXT]: fc.oneof(
    fc.nat(200).map((n) => ({ kind: 'txt', strings: ['t'.repeat(n)] }) as const),
    fc
      .integer({ min: 3, max: 7 })
      .map((n) => ({ kind: 'txt', strings: Array(n).fill('t'.repeat(220)) }) as const),
  ),
  [HTTPS]: fc
    .uint8Array({ minLength: 3, maxLength: 60 })
    .map((octets) => ({ kind: 'unknown', octets })),
};

const question: fc.Arbitrary<Question> = fc.record({
  qname: name,
  qtype: fc.constantFrom(...Object.keys(RDATA).map(Number)),
  qclass: fc.constant(Class.IN),
});

function rr(owner: Name, type: number, ttlSeconds: number, rdata: Rdata): Rr {
  return { owner, type, class: Class.IN, ttlSeconds, rdata };
}

const soa = ttl.map((seconds) =>
  rr(['outside', 'example'], Type.SOA, seconds, {
    ...{ kind: 'soa', mname: ['ns', 'outside', 'example'], rname: ['h', 'outside', 'example'] },
    ...{ serial: 1, refreshSeconds: 2, retrySeconds: 3, expireSeconds: 4, minimumSeconds: 5 },
  }),
);

const NO_RRS: readonly Rr[] = [];

function responsesTo({ qname, qtype }: Question): fc.Arbitrary<Response> {
  const alias = ['alias', 'outside', 'example'];
  const rdata = RDATA[qtype] as fc.Arbitrary<Rdata>;
  const flags = { authoritative: false, recursionAvailable: true, additional: NO_RRS };
  const rrset = (owner: Name) =>
    fc
      .tuple(ttl, fc.uniqueArray(rdata, { minLength: 1, maxLength: 60, selector: JSON.stringify }))
      .map(([seconds, each]) => each.map((one) => rr(owner, qtype, seconds, one)));
  const positive = rrset(qname).map((answer) => ({
    rcode: Rcode.NOERROR,
    answer,
    authority: NO_RRS,
  }));
  const chain = fc.tuple(ttl, rrset(alias)).map(([seconds, rrs]) => ({
    rcode: Rcode.NOERROR,
    answer: [rr(qname, Type.CNAME, seconds, { kind: 'name', target: alias }), ...rrs],
    authority: NO_RRS,
  }));
  const negative = fc
    .tuple(fc.constantFrom(Rcode.NOERROR, Rcode.NXDOMAIN), soa)
    .map(([rcode, record]) => ({ rcode, answer: NO_RRS, authority: [record] }));
  return fc.oneof(positive, chain, negative).map((some) => ({ ...some, ...flags }));
}

const edns = fc.option(
  fc.constantFrom(0, 512, 800, 1232, 4096).map((udpSize) => ({
    ...{ version: 0, udpSize, dnssecOk: false },
  })),
  { nil: undefined },
);

const asked = question.chain((one) =>
  fc.record({
    question: fc.constant(one),
    response: responsesTo(one),
    edns: fc.array(edns, { minLength: 1, maxLength: 4 }),
    age: fc.nat(700),
  }),
);

test('A worker’s reply from the cache is the main thread’s, until the least TTL is over', () => {
  fc.assert(
    fc.property(fc.array(asked, { minLength: 1, maxLength: 4 }), (all) => {
      for (const { question: one, response, edns: sizes, age } of all) {
        const scene = new Scene();
        scene.publisher.offer(one, response);
        assert.equal(scene.ask(one), undefined, 'the first time');
        scene.publisher.offer(one, response);
        scene.nowMs += age * 1_000;
        const least = Math.min(
          ...[...response.answer, ...response.authority].map(({ ttlSeconds }) => ttlSeconds),
        );
        for (const size of sizes) {
          const reply = scene.ask(one, size as Edns | undefined);
          const slow = expected(one, response, Math.min(age, least - 1), size as Edns | undefined);
          if (age >= least) assert.equal(reply, undefined, 'the answer has expired');
          else if (!slow.truncated && reply !== undefined) assert.deepEqual(decoded(reply), slow);
          else if (reply !== undefined) checkCut(decoded(reply), slow, response, age);
          else assert.ok(slow.truncated, 'the cache lacks a whole answer');
        }
      }
    }),
    { numRuns: 300 },
  );
});

/** The cache cuts where the main thread may cut, and its first record is any of the set. */
function checkCut(cut: Message, slow: Message, response: Response, age: number): void {
  assert.equal(cut.truncated, true);
  assert.equal(cut.rcode, slow.rcode);
  const whole = response.answer.map((each) => ({ ...each, ttlSeconds: each.ttlSeconds - age }));
  const setAt = whole.findIndex(({ type }) => type !== Type.CNAME);
  const set = whole.slice(setAt);
  const before = cut.answer.slice(0, setAt);
  assert.deepEqual(before, whole.slice(0, before.length));
  const records = cut.answer.slice(setAt).map(folded);
  const from = set.findIndex((each) => isDeepStrictEqual(folded(each), records[0]));
  const rotated = [...set.slice(from), ...set.slice(0, from)].map(folded);
  assert.deepEqual(records, rotated.slice(0, records.length));
}

/** A name that a pointer to the question replaces has the question's case. */
function folded(rr: Rr): unknown {
  return JSON.parse(JSON.stringify(rr).toLowerCase());
}

/** The records of replies that one worker sends one after the other. */
function repliesTo(scene: Scene, count: number, size?: number): (string | undefined)[][] {
  const opt = size === undefined ? undefined : { version: 0, udpSize: size, dnssecOk: false };
  return Array.from({ length: count }, () => {
    const reply = scene.ask(QUESTION, opt as Edns | undefined);
    assert.ok(reply !== undefined);
    return decoded(reply).answer.map(({ rdata }) =>
      rdata.kind === 'address' ? rdata.address : undefined,
    );
  });
}

function manyAddresses(count: number): { response: Response; addresses: string[] } {
  const addresses = Array.from({ length: count }, (_, i) => `192.0.2.${i + 1}`);
  const answer = addresses.map((address) =>
    rr(QUESTION.qname, Type.A, 60, { kind: 'address', address }),
  );
  return { response: { ...answering(60), answer }, addresses };
}

test('Replies that do not fit begin with different records, and together have all of them', () => {
  for (const roundRobin of [false, true])
    for (const count of [40, 70, 200]) {
      const scene = new Scene();
      scene.roundRobin = roundRobin;
      const { response, addresses } = manyAddresses(count);
      scene.publisher.replace(QUESTION, response);
      const replies = repliesTo(scene, 40);
      const firsts = replies.map(([first]) => first);
      assert.ok(new Set(firsts).size >= 3, `${new Set(firsts).size} of ${count}`);
      assert.ok(
        firsts.every((first, i) => first !== firsts[i + 1]),
        'each time another one',
      );
      if (count <= 70) assert.equal(new Set(replies.flat()).size, count);
      if (count === 40 && !roundRobin)
        assert.deepEqual(repliesTo(scene, 3, 1232), [addresses, addresses, addresses]);
    }
});

test('Of a set with a record that is too long for a message clients get the others, and nothing else', () => {
  const question = { ...QUESTION, qtype: Type.TXT };
  const text = (strings: readonly string[]) =>
    rr(QUESTION.qname, Type.TXT, 60, { kind: 'txt', strings });
  const [short, long] = [text(['short']), text(Array<string>(6).fill('l'.repeat(220)))];
  for (const answer of [
    [short, long],
    [long, short],
  ]) {
    const scene = new Scene();
    scene.roundRobin = true;
    scene.publisher.replace(question, { ...answering(60), answer });
    for (let i = 0; i < 4; i++) {
      const reply = scene.ask(question, { version: 0, udpSize: 1232, dnssecOk: false } as Edns);
      assert.ok(reply !== undefined);
      const { answer: records, truncated } = decoded(reply);
      assert.deepEqual([records, truncated], [[short], true]);
    }
    assert.equal(scene.publisher.find(question), undefined);
  }
});

test('With round robin each record comes first, and the main thread reads all of them back', () => {
  const scene = new Scene();
  scene.roundRobin = true;
  const { response, addresses } = manyAddresses(4);
  scene.publisher.replace(QUESTION, response);
  const replies = repliesTo(scene, 8);
  assert.deepEqual(new Set(replies.map(([first]) => first)), new Set(addresses));
  for (const reply of replies) assert.deepEqual([...reply].sort(), addresses);
  assert.deepEqual(scene.publisher.find(QUESTION)?.message.answer, response.answer);
  assert.ok(scene.cache.stats.usedOctets < 1_000);
});

test('The main thread reads an answer back with its TTLs and times', () => {
  fc.assert(
    fc.property(asked, ({ question: one, response }) => {
      const scene = new Scene();
      scene.publisher.replace(one, response);
      const found = scene.publisher.find(one);
      if (found === undefined) {
        // Not whole: it does not fit the largest reply.
        const query = queryOf(one, undefined);
        assert.ok(encodeResponse(query, response, 65_535).length > MAX_UDP_OCTETS);
        return;
      }
      assert.equal(found.storedMs, 5_000);
      const folded = foldName(one.qname);
      const answer = response.answer.map((each) =>
        equalNames(each.owner, folded) ? { ...each, owner: folded } : each,
      );
      assert.deepEqual(found.message.answer, answer);
      assert.deepEqual(found.message.authority, response.authority);
      assert.equal(found.message.rcode, response.rcode);
      const ttls = [...response.answer, ...response.authority].map(({ ttlSeconds }) => ttlSeconds);
      assert.equal(found.expiresMs, 5_000 + Math.min(...ttls) * 1_000);
    }),
  );
});

const QUESTION: Question = { qname: ['a', 'outside', 'example'], qtype: Type.A, qclass: Class.IN };

function answering(ttlSeconds: number, extendedError?: ExtendedError): Response {
  const answer = [
    rr(QUESTION.qname, Type.A, ttlSeconds, { kind: 'address', address: '192.0.2.1' }),
  ];
  const flags = { authoritative: false, recursionAvailable: true };
  const sections = { answer, authority: NO_RRS, additional: NO_RRS };
  return { rcode: Rcode.NOERROR, ...flags, ...sections, extendedError };
}

test('An answer that comes in the second after a batch began has its own TTL', () => {
  const scene = new Scene();
  scene.nowMs = 5_999;
  const reply = scene.ask(QUESTION, undefined, () => {
    scene.nowMs = 6_000;
    scene.publisher.replace(QUESTION, answering(60));
  });
  assert.equal(reply && decoded(reply).answer[0]?.ttlSeconds, 60);
});

test('A name outside our zones may have the labels that are wildcards in them', () => {
  for (const label of ['any', '*']) {
    const scene = new Scene();
    const question = { ...QUESTION, qname: ['app', label, 'example'] };
    const response = answering(60);
    scene.publisher.replace(question, response);
    assert.ok(scene.ask(question) !== undefined, label);
  }
});

test('A stale answer says so to clients with EDNS, keeps its TTL, and holds for a second', () => {
  const scene = new Scene();
  scene.publisher.replace(QUESTION, answering(30, STALE_ANSWER));
  const opt = { version: 0, udpSize: 1232, dnssecOk: false } as Edns;
  for (const nowMs of [5_000, 5_999]) {
    scene.nowMs = nowMs;
    const reply = scene.ask(QUESTION, opt);
    assert.ok(reply !== undefined);
    assert.equal(decoded(reply).answer[0]?.ttlSeconds, 30);
    assert.ok(reply.includes(STALE_ANSWER.text));
    assert.ok(!scene.ask(QUESTION)?.includes(STALE_ANSWER.text));
  }
  assert.equal(scene.counters[Single.cacheStale], 4);
  assert.equal(scene.counters[Single.cacheHits], 0, 'not an answer within its TTL');
  scene.nowMs = 6_000;
  assert.equal(scene.ask(QUESTION, opt), undefined);
  assert.equal(scene.publisher.find(QUESTION), undefined, 'not an answer of an upstream');
});

test('A stale answer leaves the one that has expired in the cache, with its data and times', () => {
  const scene = new Scene();
  scene.publisher.replace(QUESTION, answering(10));
  const stored = scene.publisher.find(QUESTION);
  assert.deepEqual([stored?.storedMs, stored?.expiresMs], [5_000, 15_000]);
  scene.nowMs = 15_000;
  assert.equal(scene.ask(QUESTION), undefined);
  scene.publisher.replace(QUESTION, answering(30, STALE_ANSWER));
  const ttlOf = () => decoded(scene.ask(QUESTION) ?? assert.fail()).answer[0]?.ttlSeconds;
  assert.equal(ttlOf(), 30);
  scene.nowMs = 15_999;
  assert.equal(ttlOf(), 30);
  assert.deepEqual(scene.publisher.takeQuestions(9), [], 'it is not prefetched');
  assert.deepEqual(scene.publisher.find(QUESTION), stored);
  assert.equal(scene.cache.stats.answers, 1);
  scene.nowMs = 16_000;
  assert.equal(scene.ask(QUESTION), undefined);
  assert.deepEqual(scene.publisher.find(QUESTION), stored);
  scene.cache.newEra();
  scene.publisher.replace(QUESTION, answering(30, STALE_ANSWER));
  assert.equal(ttlOf(), 30, 'also in place of an answer that was withdrawn');
  assert.equal(scene.publisher.find(QUESTION), undefined);
});

test('A stale NXDOMAIN has the code of its own', () => {
  const scene = new Scene();
  const denial = { ...answering(30), rcode: Rcode.NXDOMAIN, answer: NO_RRS };
  scene.publisher.replace(QUESTION, { ...denial, extendedError: STALE_NXDOMAIN });
  const reply = scene.ask(QUESTION, { version: 0, udpSize: 1232, dnssecOk: false } as Edns);
  assert.ok(reply !== undefined);
  assert.equal(decoded(reply).rcode, Rcode.NXDOMAIN);
  const code = reply.indexOf(STALE_NXDOMAIN.text) - 2;
  assert.equal(reply.readUInt16BE(code), Ede.STALE_NXDOMAIN);
});

test('A new answer takes the place of one that has expired, however many other questions came between', () => {
  const scene = new Scene();
  scene.publisher.replace(QUESTION, answering(10));
  for (let i = 0; i < 20_000; i++)
    scene.publisher.offer({ ...QUESTION, qname: [`n${i}`, 'example'] }, answering(10));
  scene.nowMs = 20_000;
  scene.publisher.offer(QUESTION, answering(60));
  assert.equal(scene.publisher.find(QUESTION)?.expiresMs, 80_000);
});

test('An answer that must not be kept takes the place of an earlier one', () => {
  const scene = new Scene();
  scene.publisher.replace(QUESTION, answering(60));
  assert.ok(scene.ask(QUESTION) !== undefined);
  scene.publisher.replace(QUESTION, answering(0));
  assert.equal(scene.ask(QUESTION), undefined);
  assert.equal(scene.publisher.find(QUESTION), undefined);
});

test('An answer that no reply can carry takes the place of an earlier one', () => {
  const scene = new Scene();
  scene.publisher.replace(QUESTION, answering(60));
  const strings = ['t'.repeat(255), 't'.repeat(255), 't'.repeat(255), 't'.repeat(255)];
  const text = rr(QUESTION.qname, Type.A, 60, { kind: 'txt', strings: [...strings, ...strings] });
  scene.publisher.replace(QUESTION, { ...answering(60), answer: [text] });
  assert.equal(scene.ask(QUESTION), undefined);
  assert.equal(scene.publisher.find(QUESTION), undefined);
});

test('A chain of names that ends without records and without an SOA is not kept', () => {
  const scene = new Scene();
  const alias = rr(QUESTION.qname, Type.CNAME, 60, { kind: 'name', target: ['b', 'example'] });
  for (const rcode of [Rcode.NOERROR, Rcode.NXDOMAIN]) {
    scene.publisher.replace(QUESTION, { ...answering(60), rcode, answer: [alias] });
    assert.equal(scene.ask(QUESTION), undefined);
    assert.equal(scene.publisher.find(QUESTION), undefined);
  }
});

test('Errors and answers for one client alone stay out of the cache', () => {
  const scene = new Scene();
  const blocked = { code: Ede.BLOCKED, text: 'the name leads to a private address' };
  const refused = { ...answering(60), rcode: Rcode.REFUSED };
  const failed = { ...answering(60), rcode: Rcode.SERVFAIL };
  for (const response of [answering(60, blocked), refused, failed])
    scene.publisher.replace(QUESTION, response);
  assert.equal(scene.ask(QUESTION), undefined);
});

test('A question is noted for a new answer in the last tenth of its life, if that is allowed', () => {
  const scene = new Scene();
  scene.publisher.replace(QUESTION, answering(100));
  scene.nowMs = 5_000 + 89_000;
  scene.ask(QUESTION);
  assert.deepEqual(scene.publisher.takeQuestions(9), []);
  scene.nowMs = 5_000 + 90_000;
  scene.ask(QUESTION);
  assert.deepEqual(scene.publisher.takeQuestions(9), [QUESTION]);
  scene.prefetches = false;
  scene.publisher.replace(QUESTION, answering(100));
  scene.nowMs += 95_000;
  scene.ask(QUESTION);
  assert.deepEqual(scene.publisher.takeQuestions(9), []);
});

test('Each client gets its own spelling of the question', () => {
  const scene = new Scene();
  const spelled = (qname: Name) => ({ ...QUESTION, qname });
  const first = spelled(['A', 'OUTside', 'example']);
  const answer = [rr(first.qname, Type.A, 60, { kind: 'address', address: '192.0.2.1' })];
  scene.publisher.replace(first, { ...answering(60), answer });
  const second = spelled(['a', 'outSIDE', 'Example']);
  const reply = scene.ask(second);
  assert.ok(reply !== undefined);
  const { questions, answer: received } = decoded(reply);
  assert.deepEqual(questions[0]?.qname, second.qname);
  assert.deepEqual(received[0]?.owner, second.qname);
});

test('A flush takes a name and the names below it', () => {
  const scene = new Scene();
  const at = (...labels: string[]) => ({ ...QUESTION, qname: [...labels, 'example'] });
  const all = [at('outside'), at('a', 'outside'), at('b', 'a', 'outside'), at('outside2')];
  for (const one of all)
    scene.publisher.replace(one, { ...answering(60), answer: [], authority: [] });
  for (const one of all) {
    const answer = [rr(one.qname, Type.A, 60, { kind: 'address', address: '192.0.2.1' })];
    scene.publisher.replace(one, { ...answering(60), answer });
  }
  assert.equal(scene.publisher.flush(['a', 'outside', 'example']), 2);
  assert.deepEqual(
    all.map((one) => scene.ask(one) !== undefined),
    [true, false, false, true],
  );
  assert.equal(scene.publisher.flush(undefined), 2);
});
