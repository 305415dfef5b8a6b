import assert from 'node:assert/strict';
import test from 'node:test';
import type { Rr } from '../../src/dns/rr.ts';
import { isReferral, isUsableReply, scrub } from '../../src/forward/bailiwick.ts';
import { type MessageText, messageOf, nameOf, printed, questionOf } from '../support/messages.ts';

interface Case extends MessageText {
  readonly qname: string;
  readonly qtype?: string;
  /** The lines of `answer` and of `authority` that are kept. */
  readonly kept: readonly string[];
}

const SOA = 'example.com. 60 SOA ns.example.com. host.example.com. 1 2 3 4 30';

const cases: Record<string, Case> = {
  'keeps the records that the question asks for': {
    qname: 'www.example.com',
    answer: ['www.example.com. 60 A 192.0.2.1', 'WWW.example.com. 60 A 192.0.2.2'],
    kept: ['www.example.com. 60 A 192.0.2.1', 'WWW.example.com. 60 A 192.0.2.2'],
  },
  'removes records of another type or another owner': {
    qname: 'www.example.com',
    answer: [
      'www.example.com. 60 A 192.0.2.1',
      'www.example.com. 60 AAAA 2001:db8::1',
      'www.bank.com. 60 A 203.0.113.66',
      'example.com. 60 A 203.0.113.66',
      'x.www.example.com. 60 A 203.0.113.66',
    ],
    kept: ['www.example.com. 60 A 192.0.2.1'],
  },
  'keeps a CNAME chain in any order': {
    qname: 'a.example.com',
    answer: [
      'c.example.net. 60 A 192.0.2.1',
      'b.example.org. 60 CNAME c.example.net.',
      'a.example.com. 60 CNAME b.example.org.',
      'd.example.net. 60 A 203.0.113.66',
      'b.example.org. 60 CNAME evil.example.net.',
      'evil.example.net. 60 A 203.0.113.66',
      'b.example.org. 60 A 203.0.113.66',
    ],
    kept: [
      'c.example.net. 60 A 192.0.2.1',
      'b.example.org. 60 CNAME c.example.net.',
      'a.example.com. 60 CNAME b.example.org.',
    ],
  },
  'stops at a CNAME loop': {
    qname: 'a.example.com',
    answer: ['a.example.com. 60 CNAME b.example.com.', 'b.example.com. 60 CNAME a.example.com.'],
    kept: ['a.example.com. 60 CNAME b.example.com.'],
  },
  'does not follow a CNAME that the question asks for': {
    qname: 'a.example.com',
    qtype: 'CNAME',
    answer: ['a.example.com. 60 CNAME b.example.com.', 'b.example.com. 60 CNAME c.example.com.'],
    kept: ['a.example.com. 60 CNAME b.example.com.'],
  },
  'keeps all records of the name for ANY': {
    qname: 'a.example.com',
    qtype: 'ANY',
    answer: ['a.example.com. 60 A 192.0.2.1', 'a.example.com. 60 TXT x', 'b.example.com. 60 TXT y'],
    kept: ['a.example.com. 60 A 192.0.2.1', 'a.example.com. 60 TXT x'],
  },
  'removes the authority and additional sections of a positive answer': {
    qname: 'www.example.com',
    answer: ['www.example.com. 60 A 192.0.2.1'],
    authority: ['example.com. 60 NS ns.evil.com.', SOA],
    additional: ['ns.evil.com. 60 A 203.0.113.66'],
    kept: ['www.example.com. 60 A 192.0.2.1'],
  },
  'keeps the SOA of a negative answer, with the lesser of its TTL and its minimum as TTL': {
    qname: 'no.example.com',
    rcode: 3,
    authority: [SOA, 'example.com. 60 NS ns.evil.com.'],
    kept: ['example.com. 30 SOA ns.example.com. host.example.com. 1 2 3 4 30'],
  },
  'removes an SOA of another domain': {
    qname: 'no.example.com',
    rcode: 3,
    authority: ['example.org. 60 SOA ns.example.org. host.example.org. 1 2 3 4 60'],
    kept: [],
  },
  'keeps the SOA above the end of the chain': {
    qname: 'a.example.org',
    answer: ['a.example.org. 60 CNAME no.example.com.'],
    authority: [SOA],
    kept: [
      'a.example.org. 60 CNAME no.example.com.',
      'example.com. 30 SOA ns.example.com. host.example.com. 1 2 3 4 30',
    ],
  },
  'caps TTLs at a day, and negative ones at five minutes': {
    qname: 'a.example.com',
    answer: ['a.example.com. 900000 CNAME no.example.com.'],
    authority: ['com. 900000 SOA a.com. b.com. 1 2 3 4 900000'],
    kept: [
      'a.example.com. 86400 CNAME no.example.com.',
      'com. 300 SOA a.com. b.com. 1 2 3 4 900000',
    ],
  },
  'reads a TTL with its highest bit set as zero': {
    qname: 'a.example.com',
    answer: ['a.example.com. 3000000000 A 192.0.2.1'],
    kept: ['a.example.com. 0 A 192.0.2.1'],
  },
};

for (const [what, { qname, qtype, kept, ...text }] of Object.entries(cases))
  test(`scrub ${what}`, () => {
    const question = questionOf(qname, qtype);
    const message = scrub(messageOf(question, text), question, false);
    const lines = printed([...message.answer, ...message.authority]);
    assert.deepEqual(
      lines.map((line) => line.replace(' IN ', ' ').replaceAll('"', '')),
      kept,
    );
    assert.deepEqual(message.additional, []);
  });

test('The forwarder follows a chain for sixteen links and no further', () => {
  const question = questionOf('n0.example.com');
  const answer = Array.from(
    { length: 40 },
    (_, i) => `n${i}.example.com. 9 CNAME n${i + 1}.example.com.`,
  );
  assert.equal(scrub(messageOf(question, { answer }), question, false).answer.length, 16);
});

test('The forwarder clears AD, since it does not validate', () => {
  const question = questionOf('a.example.com');
  const message = messageOf(question, { flags: 0x01a0 });
  assert.ok(message.authenticData);
  assert.ok(!scrub(message, question, true).authenticData);
});

test('The forwarder passes signatures and denials only to clients that can check them', () => {
  const question = questionOf('no.example.com');
  const [soa] = messageOf(question, { authority: [SOA] }).authority;
  assert.ok(soa);
  const record = (type: number, owner: string, octets: number[] = []): Rr => ({
    owner: nameOf(owner),
    type,
    class: 1,
    ttlSeconds: 60,
    rdata: { kind: 'unknown', octets: Uint8Array.from(octets) },
  });
  const RRSIG = 46;
  const authority = [
    soa,
    record(RRSIG, 'example.com', [0, 6]),
    record(47, 'a.example.com'),
    record(RRSIG, 'a.example.com', [0, 47]),
    record(RRSIG, 'example.com', [0, 2]),
    record(RRSIG, 'example.com', []),
  ];
  const answer = [record(RRSIG, 'no.example.com', [0, 1]), record(RRSIG, 'x.example.com', [0, 1])];
  const message = { ...messageOf(question), answer, authority };
  const types = (dnssecOk: boolean) => {
    const kept = scrub(message, question, dnssecOk);
    return [kept.answer.map(({ type }) => type), kept.authority.map(({ type }) => type)];
  };
  assert.deepEqual(types(true), [[RRSIG], [6, RRSIG, 47, RRSIG]]);
  assert.deepEqual(types(false), [[], [6]]);
});

const LIMITS = { maxSeconds: 1_000, minSeconds: 20, maxNegativeSeconds: 100 };

test('The limits of TTLs apply to every record of a positive answer', () => {
  const question = questionOf('a.example.com');
  const answer = [
    'a.example.com. 5 CNAME b.example.com.',
    'b.example.com. 0 A 192.0.2.1',
    'b.example.com. 400 A 192.0.2.2',
    'b.example.com. 5000 A 192.0.2.3',
  ];
  const { answer: kept } = scrub(messageOf(question, { answer }), question, false, LIMITS);
  assert.deepEqual(
    kept.map(({ ttlSeconds }) => ttlSeconds),
    [20, 20, 400, 1_000],
  );
});

test('A negative answer is limited by the SOA and by its own limit, and is not raised (RFC 2308 §5)', () => {
  const question = questionOf('a.example.com');
  const ttlOf = (ttl: number, minimum: number) => {
    const soa = `example.com. ${ttl} SOA ns.example.com. host.example.com. 1 2 3 4 ${minimum}`;
    const message = messageOf(question, { rcode: 3, authority: [soa] });
    return scrub(message, question, false, LIMITS).authority[0]?.ttlSeconds;
  };
  assert.deepEqual([ttlOf(5, 60), ttlOf(60, 5), ttlOf(500, 80), ttlOf(500, 500)], [5, 5, 80, 100]);
});

test('The forwarder keeps a DNAME above the chain that it makes', () => {
  const question = questionOf('a.old.example');
  const message = messageOf(question, {
    answer: ['a.old.example. 60 CNAME a.new.example.', 'a.new.example. 60 A 192.0.2.1'],
  });
  const dname = (owner: string): Rr => ({
    owner: nameOf(owner),
    type: 39,
    class: 1,
    ttlSeconds: 60,
    rdata: { kind: 'name', target: nameOf('new.example') },
  });
  const answer = [dname('old.example'), dname('other.example'), ...message.answer];
  assert.deepEqual(
    scrub({ ...message, answer }, question, false).answer.map(({ owner }) => owner.join('.')),
    ['old.example', 'a.old.example', 'a.new.example'],
  );
});

test('The forwarder does not use a failure or a referral', () => {
  const question = questionOf('a.example.com');
  const usable = (text: MessageText) => isUsableReply(messageOf(question, text));
  for (const rcode of [1, 2, 4, 5]) assert.ok(!usable({ rcode }), `rcode ${rcode}`);
  assert.ok(usable({ rcode: 3 }));
  assert.ok(usable({ rcode: 0 }), 'a resolver may leave the SOA out');
  const referral = { flags: 0x0100, authority: ['com. 60 NS a.example.'] };
  assert.ok(isReferral(messageOf(question, referral)));
  assert.ok(!usable(referral));
  assert.ok(usable({ ...referral, flags: 0x0500 }), 'AA');
  assert.ok(usable({ flags: 0x0100, authority: [SOA] }), 'NODATA');
});
