import assert from 'node:assert/strict';
import test from 'node:test';
import { type AcceptOutcome, accept } from '../../src/dns/accept.ts';
import { decodeMessage } from '../../src/dns/decode.ts';
import { OptionCode } from '../../src/dns/edns.ts';
import type { Message } from '../../src/dns/message.ts';
import { Rcode } from '../../src/dns/rr.ts';
import {
  bestMs,
  type RawPacket,
  rawOpt,
  rawOption,
  rawPacket,
  rawQuestion,
  rawRr,
  u16,
  unhex,
  wireName,
} from '../support/packets.ts';

const PORT = 40_000;

function query(packet: RawPacket) {
  const accepted = accept(rawPacket(packet), PORT);
  assert.equal(accepted.kind, 'query', JSON.stringify(accepted));
  return (accepted as Extract<AcceptOutcome, { kind: 'query' }>).query;
}

/** The reply of a rejection, decoded. */
function rejection(packet: Uint8Array): Message {
  const accepted = accept(packet, PORT);
  assert.equal(accepted.kind, 'reject', JSON.stringify(accepted));
  const { reply, rcode } = accepted as Extract<AcceptOutcome, { kind: 'reject' }>;
  const message = decodeMessage(reply);
  assert.ok(message);
  assert.equal(message.rcode, rcode);
  assert.equal(message.isResponse, true);
  assert.equal(message.id, 0x1234);
  assert.deepEqual([...message.answer, ...message.authority, ...message.additional], []);
  return message;
}

const withOpt = (opt: Uint8Array, ...more: Uint8Array[]): RawPacket => ({
  counts: [1, 0, 0, 1 + more.length],
  body: [rawQuestion(), opt, ...more],
});

test('accept gives the fields of a plain query', () => {
  assert.deepEqual(query({ id: 7, flags: 0x0100 }), {
    id: 7,
    recursionDesired: true,
    checkingDisabled: false,
    question: { qname: ['a', 'skydns', 'local'], qtype: 1, qclass: 1 },
    edns: undefined,
  });
});

test('accept keeps the letter case of the question', () => {
  const { question } = query({ body: [rawQuestion('A.sKyDnS.LOCAL')] });
  assert.deepEqual(question.qname, ['A', 'sKyDnS', 'LOCAL']);
});

test('accept keeps RD and CD and ignores AD, Z, AA, TC, RA and an rcode', () => {
  for (const flags of [0x0000, 0x0020, 0x0040, 0x0400, 0x0200, 0x0080, 0x000f]) {
    const { recursionDesired, checkingDisabled } = query({ flags });
    assert.deepEqual([recursionDesired, checkingDisabled], [false, false]);
  }
  assert.equal(query({ flags: 0x0100 }).recursionDesired, true);
  assert.equal(query({ flags: 0x0010 }).checkingDisabled, true);
});

test('accept gives the size, DO and version of EDNS and ignores unknown flags and options', () => {
  const opt = rawOpt({ udpSize: 65535, flags: 0x8080, rdata: rawOption(100, unhex('00ff')) });
  assert.deepEqual(query(withOpt(opt)).edns, { udpSize: 65535, version: 0, dnssecOk: true });
  assert.deepEqual(query(withOpt(rawOpt({ udpSize: 0 }))).edns, {
    udpSize: 0,
    version: 0,
    dnssecOk: false,
  });
});

test('accept drops packets from source port 0, short packets and responses, in that order', () => {
  assert.deepEqual(accept(rawPacket(), 0), { kind: 'drop', reason: 'source-port' });
  for (let length = 0; length < 12; length++) {
    for (const fill of [0x00, 0xff]) {
      const accepted = accept(Buffer.alloc(length, fill), PORT);
      assert.deepEqual(accepted, { kind: 'drop', reason: 'short' }, `${length} octets`);
    }
  }
  for (const flags of [0x8000, 0x8400, 0xf800, 0xffff])
    assert.deepEqual(accept(rawPacket({ flags }), PORT), { kind: 'drop', reason: 'response' });
});

test('accept rejects every opcode except QUERY with a NOTIMP header that echoes the opcode', () => {
  for (let opcode = 1; opcode < 16; opcode++) {
    for (const body of [[], [rawQuestion()], [unhex('c00c')]]) {
      const message = rejection(rawPacket({ flags: (opcode << 11) | 0x0110, body }));
      assert.equal(message.rcode, Rcode.NOTIMP);
      assert.equal(message.opcode, opcode);
      assert.equal(message.recursionDesired, true);
      assert.equal(message.checkingDisabled, true);
      assert.deepEqual(message.questions, []);
    }
  }
});

/** The parts of the query that a FORMERR reply repeats after its header. */
type Echo = 'nothing' | 'question' | 'question and OPT';

const formerrs: readonly (readonly [what: string, RawPacket, Echo])[] = [
  ['no question', { counts: [0, 0, 0, 0], body: [] }, 'nothing'],
  ['no question but OPT', { counts: [0, 0, 0, 1], body: [rawOpt()] }, 'nothing'],
  ['two questions', { counts: [2, 0, 0, 0], body: [rawQuestion(), rawQuestion()] }, 'nothing'],
  ['a question count without a question', { body: [] }, 'nothing'],
  ['a question cut in its name', { body: [rawQuestion().subarray(0, 5)] }, 'nothing'],
  ['a question cut in its class', { body: [rawQuestion().subarray(0, -1)] }, 'nothing'],
  ['a count of answers', { counts: [1, 1, 0, 0] }, 'question'],
  ['a count of authority records', { counts: [1, 0, 1, 0] }, 'question'],
  ['false counts in every section', { counts: [1, 65535, 65535, 65535] }, 'question'],
  ['an additional count without a record', { counts: [1, 0, 0, 1] }, 'question'],
  [
    'three additional records',
    withOpt(rawOpt(), rawRr(unhex('00'), 1, unhex('01020304')), rawOpt()),
    'question',
  ],
  ['a trailing octet', { body: [rawQuestion(), unhex('00')] }, 'question'],
  [
    'trailing octets after OPT',
    { counts: [1, 0, 0, 1], body: [rawQuestion(), rawOpt(), unhex('0000')] },
    'question and OPT',
  ],
  ['two OPT records', withOpt(rawOpt(), rawOpt()), 'question'],
  ['OPT not at the root', withOpt(rawOpt({ owner: wireName('x') })), 'question'],
  ['OPT at a pointer', withOpt(rawOpt({ owner: unhex('c00c') })), 'question'],
  ['a cut record after OPT', withOpt(rawOpt(), unhex('00 00fa')), 'question and OPT'],
  ['qtype OPT and no OPT record', { body: [rawQuestion('a.skydns.local', 41)] }, 'question'],
  [
    'qtype OPT and an OPT record',
    { counts: [1, 0, 0, 1], body: [rawQuestion('a', 41), rawOpt()] },
    'question and OPT',
  ],
];

for (const [what, packet, echo] of formerrs) {
  test(`accept rejects a packet with ${what} with FORMERR and echoes ${echo}`, () => {
    const message = rejection(rawPacket(packet));
    assert.equal(message.rcode, Rcode.FORMERR);
    assert.equal(message.questions.length, echo === 'nothing' ? 0 : 1);
    assert.equal(message.edns !== undefined, echo === 'question and OPT');
  });
}

test('accept takes less than a millisecond for a packet with false counts', () => {
  for (const length of [12, 512, 65535]) {
    for (const fill of [0x00, 0x01, 0x3f, 0xc0, 0xff]) {
      for (const header of ['1234 0000 ffff ffff ffff ffff', '1234 0000 0001 0000 0000 0002']) {
        const packet = Buffer.alloc(length, fill);
        unhex(header).copy(packet);
        assert.ok(bestMs(5, () => accept(packet, PORT)) < 1, `${length} times ${fill}`);
      }
    }
  }
  const options = Buffer.alloc(65_000);
  const packet = rawPacket(withOpt(rawOpt({ rdata: options })));
  assert.equal(accept(packet, PORT).kind, 'query');
  assert.ok(bestMs(5, () => accept(packet, PORT)) < 1);
});

const questionNames: readonly (readonly [string, string])[] = [
  ['pointer to itself', 'c00c'],
  ['pointer forward', 'c010'],
  ['pointer into the header', 'c000'],
  ['pointer into the header after a label', '0161c002'],
  ['label of the reserved type 01', '4161'],
  ['label of the reserved type 10', '8161'],
  ['label beyond the end', '3f6161'],
];

for (const [what, hex] of questionNames) {
  test(`accept rejects a question with a ${what} with FORMERR`, () => {
    const message = rejection(rawPacket({ body: [unhex(hex), u16(1, 1, 0, 0)] }));
    assert.equal(message.rcode, Rcode.FORMERR);
    assert.deepEqual(message.questions, []);
  });
}

test('accept takes labels up to 63 and names up to 255 octets and rejects longer ones with FORMERR', () => {
  const label = (length: number) => Buffer.concat([Buffer.of(length), Buffer.alloc(length, 0x61)]);
  const longest = [label(63), label(63), label(63), label(61), unhex('00')];
  assert.equal(query({ body: [...longest, u16(1, 1)] }).question.qname.length, 4);
  const tooLong = [label(63), label(63), label(63), label(62), unhex('00')];
  assert.equal(rejection(rawPacket({ body: [...tooLong, u16(1, 1)] })).rcode, Rcode.FORMERR);
  assert.equal(rejection(rawPacket({ body: [label(64), unhex('00'), u16(1, 1)] })).rcode, 1);
});

test('accept keeps every octet of a label', () => {
  const octets = Uint8Array.from({ length: 256 }, (_, i) => i);
  const labels = [0, 52, 104, 156, 208].map((at) => octets.subarray(at, Math.min(at + 52, 256)));
  for (const label of labels) {
    const body = [Buffer.of(label.length), label, unhex('00'), u16(1, 1)];
    const { qname } = query({ body }).question;
    assert.deepEqual(qname, [Buffer.from(label).toString('latin1')]);
  }
});

const badOptions: readonly (readonly [string, Uint8Array])[] = [
  ['an option that overruns', u16(8, 5, 1)],
  ['a trailing octet', Buffer.concat([rawOption(10, Buffer.alloc(8)), unhex('00')])],
  ['half an option header', u16(10)],
  ['a cookie one octet short of its length', u16(10, 8, 1, 2, 3).subarray(0, -1)],
];

for (const [what, rdata] of badOptions) {
  test(`accept rejects OPT with ${what} with FORMERR and an OPT record`, () => {
    const message = rejection(rawPacket(withOpt(rawOpt({ rdata, flags: 0x8000 }))));
    assert.equal(message.rcode, Rcode.FORMERR);
    assert.deepEqual(message.edns, { udpSize: 1232, version: 0, dnssecOk: true });
  });
}

test('accept rejects an OPT record whose RDLENGTH exceeds the packet or cuts its options', () => {
  const rdata = rawOption(10, Buffer.alloc(8));
  for (const rdlength of [13, 65535, 11, 4, 0]) {
    const message = rejection(rawPacket(withOpt(rawOpt({ rdata, rdlength }))));
    assert.equal(message.rcode, Rcode.FORMERR, `RDLENGTH ${rdlength}`);
  }
});

test('accept gives CO and the known options, of each its first, and skips ECS', () => {
  const rdata = Buffer.concat([
    rawOption(3, unhex('01')),
    rawOption(8, unhex('0001 18 00 c00002')),
    rawOption(10, unhex('0102030405060708')),
    rawOption(10, unhex('ff')),
    rawOption(11, unhex('0064')),
    rawOption(12, Buffer.alloc(30)),
  ]);
  assert.deepEqual(query(withOpt(rawOpt({ rdata, flags: 0x4000 }))).edns, {
    ...{ udpSize: 1232, version: 0, dnssecOk: false, compactOk: true },
    ...{ nsid: true, cookie: Uint8Array.from(unhex('0102030405060708')) },
  });
});

test('accept copies a cookie of any length out of the packet', () => {
  for (const length of [0, 7, 8, 24, 41]) {
    const packet = rawPacket(withOpt(rawOpt({ rdata: rawOption(10, Buffer.alloc(length, 7)) })));
    const accepted = accept(packet, PORT);
    packet.fill(0);
    assert.ok(accepted.kind === 'query');
    assert.deepEqual(accepted.query.edns?.cookie, new Uint8Array(length).fill(7));
  }
});

test('accept rejects a higher EDNS version with BADVERS, OPT of version 0 and the question, before it reads options', () => {
  for (const rdata of [Buffer.of(), rawOption(100, unhex('00')), unhex('ff')]) {
    const opt = rawOpt({ version: 0x64, flags: 0x8080, rdata });
    const message = rejection(rawPacket(withOpt(opt)));
    assert.equal(message.rcode, Rcode.BADVERS);
    assert.equal(message.questions.length, 1);
    assert.deepEqual(message.edns, { udpSize: 1232, version: 0, dnssecOk: true });
  }
});

test('accept skips a SIG(0) record before or after OPT', () => {
  const signature = rawRr(unhex('00'), 24, Buffer.alloc(30));
  assert.ok(query(withOpt(rawOpt(), signature)).edns);
  assert.ok(query(withOpt(signature, rawOpt())).edns);
  assert.equal(query({ counts: [1, 0, 0, 1], body: [rawQuestion(), signature] }).edns, undefined);
});

const HMAC_SHA256 = wireName('hmac-sha256');
const SIGNED_AT = unhex('000065f0a1b2012c');

/** A TSIG's rdata with a signature of 32 octets, for a query of id 0xbeef. */
function tsigRdata(): Buffer {
  const mac = Buffer.concat([unhex('0020'), Buffer.alloc(32, 0xaa)]);
  return Buffer.concat([HMAC_SHA256, SIGNED_AT, mac, unhex('beef00000000')]);
}

test('accept gives the place of a TSIG, and the TSIG with BADKEY of a reply to it', () => {
  const tsig = rawRr(wireName('key'), 250, tsigRdata());
  for (const packet of [
    withOpt(rawOpt(), tsig),
    { counts: [1, 0, 0, 1], body: [rawQuestion(), tsig] },
  ] as const) {
    const signature = query(packet).tsig;
    assert.ok(signature);
    assert.equal(signature.at, rawPacket(packet).length - tsig.length);
    const { badKey: record } = signature;
    assert.deepEqual([record.owner, record.type, record.class], [['key'], 250, 255]);
    assert.ok(record.rdata.kind === 'unknown');
    const expected = Buffer.concat([HMAC_SHA256, SIGNED_AT, unhex('0000beef00110000')]);
    assert.deepEqual(Buffer.from(record.rdata.octets), expected);
  }
});

test('accept rejects a TSIG that is malformed or not the last record with FORMERR', () => {
  const tsig = rawRr(wireName('key'), 250, tsigRdata());
  for (const packet of [
    withOpt(tsig, rawOpt()),
    withOpt(tsig, tsig),
    withOpt(rawOpt(), rawRr(wireName('key'), 250, tsigRdata().subarray(1))),
    withOpt(rawOpt(), rawRr(wireName('key'), 250, Buffer.alloc(0))),
  ]) {
    assert.equal(rejection(rawPacket(packet)).rcode, Rcode.FORMERR);
  }
});

test('A rejection is not larger than its query', () => {
  for (const [what, packet] of formerrs) {
    const octets = rawPacket(packet);
    const accepted = accept(octets, PORT);
    assert.ok(accepted.kind === 'reject' && accepted.reply.length <= octets.length, what);
  }
});

test('accept tells a query for a cookie from other packets without a question', () => {
  const cookie = rawOption(OptionCode.COOKIE, unhex('2464c4abcf10c957'));
  const cookieQueryOf = (packet: RawPacket) => {
    const outcome = accept(rawPacket(packet), PORT);
    assert.ok(outcome.kind === 'reject' && outcome.rcode === Rcode.FORMERR);
    return outcome.cookieQuery;
  };
  const opt = rawOpt({ rdata: cookie });
  const found = cookieQueryOf({ counts: [0, 0, 0, 1], body: [opt] });
  assert.equal(found?.isQuestionless, true);
  assert.deepEqual(found?.edns?.cookie, new Uint8Array(unhex('2464c4abcf10c957')));
  for (const packet of [
    { counts: [0, 0, 0, 1], body: [rawOpt()] },
    { counts: [0, 0, 0, 1], body: [rawOpt({ rdata: cookie.subarray(0, -1) })] },
    { counts: [0, 0, 0, 1], body: [opt, unhex('00')] },
    { counts: [0, 0, 0, 2], body: [opt, opt] },
    { counts: [0, 1, 0, 1], body: [opt] },
    { counts: [2, 0, 0, 1], body: [rawQuestion(), rawQuestion(), opt] },
  ] as const)
    assert.equal(cookieQueryOf(packet), undefined, JSON.stringify(packet.counts));
});
