import assert from 'node:assert/strict';
import test from 'node:test';
import { decodeMessage } from '../../src/dns/decode.ts';
import type { Rdata } from '../../src/dns/rr.ts';
import { nameOf, printed } from '../support/messages.ts';
import {
  bestMs,
  rawOpt,
  rawOption,
  rawPacket,
  rawQuestion,
  rawRr,
  u16,
  unhex,
  wireName,
} from '../support/packets.ts';

/** `a.skydns.local` in the question of `rawPacket`; at 14 `skydns.local` begins, at 21 `local`. */
const QNAME = unhex('c00c');
const SKYDNS = 'c00e';
const AFTER_QUESTION = 12 + 16 + 4;
const RESPONSE = 0x8400;

/** A reply with these answer records. */
function reply(...rrs: Uint8Array[]): Buffer {
  const body = [rawQuestion(), ...rrs];
  return rawPacket({ flags: RESPONSE, counts: [1, rrs.length, 0, 0], body });
}

test('decodeMessage reads every section, flag and the OPT record of a reply', () => {
  const address = rawRr(QNAME, 1, unhex('c0000201'));
  const message = decodeMessage(
    rawPacket({
      flags: 0xffff,
      counts: [1, 1, 1, 2],
      body: [rawQuestion(), address, address, rawOpt({ udpSize: 4096, flags: 0x8000 }), address],
    }),
  );
  const rr = 'a.skydns.local. 60 IN A 192.0.2.1';
  assert.ok(message);
  assert.deepEqual(printed(message.answer), [rr]);
  assert.deepEqual(printed(message.authority), [rr]);
  assert.deepEqual(printed(message.additional), [rr]);
  const { questions, answer, authority, additional, ...rest } = message;
  assert.deepEqual(rest, {
    id: 0x1234,
    isResponse: true,
    opcode: 15,
    authoritative: true,
    truncated: true,
    recursionDesired: true,
    recursionAvailable: true,
    authenticData: true,
    checkingDisabled: true,
    rcode: 15,
    edns: { udpSize: 4096, version: 0, dnssecOk: true },
  });
});

test('decodeMessage reads the upper rcode bits of OPT even where they would make a TTL zero', () => {
  const opt = Buffer.concat([unhex('00'), u16(41, 1232, 0x8001, 0, 0)]);
  const packet = rawPacket({ flags: 0x8005, counts: [1, 0, 0, 1], body: [rawQuestion(), opt] });
  const message = decodeMessage(packet);
  assert.equal(message?.rcode, 0x805);
  assert.equal(message?.edns?.version, 1);
});

test('decodeMessage reads a TTL with the highest bit set as zero (RFC 2181 §8)', () => {
  const ttls = [0x7fffffff, 0x80000000, 0xffffffff, 0].map((ttl) =>
    rawRr(QNAME, 1, unhex('c0000201'), ttl),
  );
  const seen = decodeMessage(reply(...ttls))?.answer.map((rr) => rr.ttlSeconds);
  assert.deepEqual(seen, [0x7fffffff, 0, 0, 0]);
});

/** TYPE, rdata in hex, and the same in zone-file text. */
const rdatas: readonly (readonly [number, string, string])[] = [
  [1, 'c0000201', 'A 192.0.2.1'],
  [28, '20010db8000000000000000000000001', 'AAAA 2001:db8::1'],
  [2, SKYDNS, 'NS skydns.local.'],
  [5, `0162${SKYDNS}`, 'CNAME b.skydns.local.'],
  [12, '00', 'PTR .'],
  [39, '026e6400', 'DNAME nd.'],
  [33, `000a 0032 1f90 ${SKYDNS}`, 'SRV 10 50 8080 skydns.local.'],
  [15, `000a ${SKYDNS}`, 'MX 10 skydns.local.'],
  [16, '0161 00 0362 2263', 'TXT "a" "" "b\\"c"'],
  [13, '0161 00', 'HINFO "a" ""'],
  [
    6,
    `${SKYDNS} 0168c00e 00000001 ffffffff 00000003 00000004 00000005`,
    'SOA skydns.local. h.skydns.local. 1 4294967295 3 4 5',
  ],
  [257, '00056973737565', 'CAA 0 issue ""'],
  [65535, '', 'TYPE65535 \\# 0'],
];

for (const [type, hex, text] of rdatas) {
  test(`decodeMessage reads ${text}`, () => {
    const message = decodeMessage(reply(rawRr(QNAME, type, unhex(hex))));
    assert.deepEqual(message && printed(message.answer), [`a.skydns.local. 60 IN ${text}`]);
  });

  test(`decodeMessage refuses ${text} with an octet more or less in RDLENGTH`, () => {
    if (type > 255) return;
    const rdata = unhex(hex);
    const longer = reply(rawRr(QNAME, type, Buffer.concat([rdata, unhex('01')])));
    assert.equal(decodeMessage(longer), undefined);
    const shorter = reply(rawRr(QNAME, type, rdata.subarray(0, -1)));
    assert.equal(decodeMessage(shorter), undefined);
    const beyond = rawRr(QNAME, type, rdata);
    beyond.writeUInt16BE(rdata.length + 1, 10);
    assert.equal(decodeMessage(reply(beyond)), undefined);
  });
}

test('The class decides the form of A, AAAA and SRV', () => {
  for (const type of [1, 28, 33]) {
    const rr = rawRr(QNAME, type, unhex('0102'));
    rr.writeUInt16BE(3, 4);
    const rdata: Rdata = { kind: 'unknown', octets: Uint8Array.of(1, 2) };
    assert.deepEqual(decodeMessage(reply(rr))?.answer[0]?.rdata, rdata);
  }
});

const local = '05 6c6f63616c 00';
const skydns = `06 736b79646e73 ${local}`;

/** RFC 3597 §4: TYPE, rdata with pointers, rdata without. */
const oldTypes: readonly (readonly [string, number, string, string])[] = [
  ['MD', 3, SKYDNS, skydns],
  ['MF', 4, SKYDNS, skydns],
  ['MB', 7, SKYDNS, skydns],
  ['MG', 8, SKYDNS, skydns],
  ['MR', 9, SKYDNS, skydns],
  ['MINFO', 14, `${SKYDNS} c015`, `${skydns} ${local}`],
  ['RP', 17, `0161c015 ${SKYDNS}`, `0161${local} ${skydns}`],
  ['AFSDB', 18, `0001 ${SKYDNS}`, `0001 ${skydns}`],
  ['RT', 21, `0001 ${SKYDNS}`, `0001 ${skydns}`],
  ['SIG', 24, `${'ab'.repeat(18)} ${SKYDNS} c00c`, `${'ab'.repeat(18)} ${skydns} c00c`],
  ['PX', 26, `0001 ${SKYDNS} c015`, `0001 ${skydns} ${local}`],
  ['NXT', 30, `${SKYDNS} 6001`, `${skydns} 6001`],
  ['NAPTR', 35, `0001 0002 0173 00 0361c00c ${SKYDNS}`, `0001 0002 0173 00 0361c00c ${skydns}`],
  ['KX', 36, `0001 ${SKYDNS}`, `0001 ${skydns}`],
];

for (const [what, type, compressed, plain] of oldTypes) {
  test(`decodeMessage decompresses the names in the rdata of ${what}`, () => {
    const rdata = decodeMessage(reply(rawRr(QNAME, type, unhex(compressed))))?.answer[0]?.rdata;
    assert.ok(rdata?.kind === 'unknown');
    assert.equal(Buffer.from(rdata.octets).toString('hex'), unhex(plain).toString('hex'));
    assert.equal(decodeMessage(reply(rawRr(QNAME, type, unhex('')))), undefined);
  });
}

test('Types without compression keep octets that look like pointers', () => {
  for (const type of [46, 47, 64, 65, 1000]) {
    const rdata = decodeMessage(reply(rawRr(QNAME, type, unhex('c00c'))))?.answer[0]?.rdata;
    assert.deepEqual(rdata, { kind: 'unknown', octets: Uint8Array.of(0xc0, 0x0c) });
  }
});

test('Decoded rdata is a copy, so that the packet can be reused', () => {
  const packet = reply(rawRr(QNAME, 1000, unhex('0102')));
  const rdata = decodeMessage(packet)?.answer[0]?.rdata;
  packet.fill(0);
  assert.deepEqual(rdata, { kind: 'unknown', octets: Uint8Array.of(1, 2) });
});

const optFaults: readonly (readonly [
  string,
  readonly Uint8Array[],
  Parameters<typeof rawPacket>[0],
])[] = [
  ['two OPT records', [rawOpt(), rawOpt()], { counts: [1, 0, 0, 2] }],
  ['OPT not at the root', [rawOpt({ owner: QNAME })], { counts: [1, 0, 0, 1] }],
  ['OPT in the answer', [rawOpt()], { counts: [1, 1, 0, 0] }],
  ['OPT in the authority', [rawOpt()], { counts: [1, 0, 1, 0] }],
  ['options that overrun', [rawOpt({ rdata: u16(10, 9, 0) })], { counts: [1, 0, 0, 1] }],
  [
    'an octet after the options',
    [rawOpt({ rdata: Buffer.concat([rawOption(10, Buffer.alloc(8)), unhex('00')]) })],
    { counts: [1, 0, 0, 1] },
  ],
];

for (const [what, body, packet] of optFaults) {
  test(`decodeMessage refuses a reply with ${what}`, () => {
    const octets = rawPacket({ ...packet, flags: RESPONSE, body: [rawQuestion(), ...body] });
    assert.equal(decodeMessage(octets), undefined);
  });
}

test('decodeMessage ignores octets after the last record', () => {
  const packet = Buffer.concat([reply(rawRr(QNAME, 1, unhex('c0000201'))), unhex('ffff')]);
  assert.equal(decodeMessage(packet)?.answer.length, 1);
});

test('decodeMessage refuses a truncated reply without TC', () => {
  const rr = rawRr(QNAME, 1, unhex('c0000201'));
  const packet = reply(rr, rr);
  const whole = AFTER_QUESTION + rr.length;
  for (let length = 0; length < packet.length; length++) {
    const cut = Buffer.from(packet.subarray(0, length));
    assert.equal(decodeMessage(cut), undefined, `${length} octets`);
    if (length >= 4) cut.writeUInt16BE(RESPONSE | 0x0200, 2);
    const kept = length < AFTER_QUESTION ? undefined : length < whole ? 0 : 1;
    assert.equal(decodeMessage(cut)?.answer.length, kept, `${length} octets with TC`);
  }
});

test('decodeMessage accepts a reply without a question or with several', () => {
  assert.deepEqual(decodeMessage(rawPacket({ counts: [0, 0, 0, 0], body: [] }))?.questions, []);
  const two = rawPacket({ counts: [2, 0, 0, 0], body: [rawQuestion('x'), rawQuestion('y', 28)] });
  assert.deepEqual(decodeMessage(two)?.questions, [
    { qname: ['x'], qtype: 1, qclass: 1 },
    { qname: ['y'], qtype: 28, qclass: 1 },
  ]);
});

/** A reply with one answer record whose owner name has these octets. */
function owned(hex: string): Buffer {
  return reply(rawRr(unhex(hex), 1, unhex('c0000201')));
}

const here = (offset: number) => `c0${(AFTER_QUESTION + offset).toString(16).padStart(2, '0')}`;

const badNames: readonly (readonly [string, string])[] = [
  ['pointer to itself', here(0)],
  ['pointer forward', here(2)],
  ['pointer to the start of its own name', `0161 ${here(0)}`],
  ['pointer into its own name', `0161 0162 ${here(2)}`],
  ['pointer far beyond the packet', 'ffff'],
  ['pointer into the header', 'c000'],
  ['reserved label type 01', '4161 00'],
  ['reserved label type 10', '8161 00'],
  ['label of 64 octets', `40${'61'.repeat(64)}00`],
];

for (const [what, hex] of badNames) {
  test(`decodeMessage refuses a name with a ${what}`, () =>
    assert.equal(decodeMessage(owned(hex)), undefined));
}

test('decodeMessage refuses two names that point at each other', () => {
  const first = rawRr(unhex(here(16)), 1, unhex('c0000201'));
  const second = rawRr(unhex(here(0)), 1, unhex('c0000201'));
  assert.equal(decodeMessage(reply(first, second)), undefined);
});

test('decodeMessage follows pointers to names, into names and to pointers', () => {
  const owners = ['c00c', 'c00e', '0162c015', 'c01b', `0163${here(2 * 16)}`];
  const rrs = owners.map((hex) => rawRr(unhex(hex), 1, unhex('c0000201')));
  const names = decodeMessage(reply(...rrs))?.answer.map((rr) => rr.owner);
  const expected = ['a.skydns.local', 'skydns.local', 'b.local', '.', 'c.b.local'];
  assert.deepEqual(names, expected.map(nameOf));
});

const label = (length: number, octet = 0x61) =>
  Buffer.concat([Buffer.of(length), Buffer.alloc(length, octet)]);

test('decodeMessage accepts names of 255 octets, with or without a pointer, and refuses names of 256', () => {
  const suffix = Buffer.concat([label(63), label(63), label(63), unhex('00')]);
  const message = (first: number) => {
    const question = Buffer.concat([suffix, u16(1, 1)]);
    const whole = rawRr(Buffer.concat([label(first), suffix]), 1, unhex('c0000201'));
    const pointing = rawRr(Buffer.concat([label(first), QNAME]), 1, unhex('c0000201'));
    const again = rawRr(Buffer.concat([label(first), QNAME]), 1, unhex('c0000201'));
    return [whole, pointing, Buffer.concat([rawRr(QNAME, 1, unhex('c0000201')), again])].map(
      (rrs, i) =>
        rawPacket({ flags: RESPONSE, counts: [1, i === 2 ? 2 : 1, 0, 0], body: [question, rrs] }),
    );
  };
  for (const packet of message(61)) assert.ok(decodeMessage(packet));
  for (const packet of message(62)) assert.equal(decodeMessage(packet), undefined);
});

/** Rdata that holds a chain of pointers, each to the one before, down to `skydns.local`. */
function chain(length: number, offset: number): Buffer {
  const pointers = [0x0e];
  for (let i = 1; i < length; i++) pointers.push(offset + 2 * (i - 1));
  return u16(...pointers.map((target) => 0xc000 | target));
}

test('decodeMessage follows chains of as many pointers as a name can have labels, and refuses longer chains', () => {
  const offset = AFTER_QUESTION + 12;
  const ends = (length: number) => {
    const target = rawRr(u16(0xc000 | (offset + 2 * (length - 1))), 1, unhex('c0000201'));
    return decodeMessage(reply(rawRr(QNAME, 1000, chain(length, offset)), target));
  };
  assert.deepEqual(ends(126)?.answer[1]?.owner, nameOf('skydns.local'));
  for (const length of [127, 128, 1000, 8000]) assert.equal(ends(length), undefined, `${length}`);
});

test('Names that share one long chain or one long name stay within the decoder’s budget', () => {
  const offset = AFTER_QUESTION + 12;
  const chained = rawRr(QNAME, 1000, chain(126, offset));
  const longName = rawRr(
    QNAME,
    1000,
    Buffer.concat([...Array.from({ length: 120 }, () => label(1)), unhex('00')]),
  );
  for (const first of [chained, longName]) {
    // Each name starts at another offset of the chain or the long name, so none was read before.
    const names = Array.from({ length: 4500 }, (_, i) =>
      rawRr(u16(0xc000 | (offset + 2 * (i % 119))), 1, Buffer.of(1, 2, 3, 4)),
    );
    const packet = reply(first, ...names).subarray(0, 65535);
    assert.ok(bestMs(5, () => decodeMessage(packet)) < 20);
  }
});

test('decodeMessage refuses a packet that makes it read long names too often', () => {
  const offset = AFTER_QUESTION + 12;
  const long = rawRr(
    QNAME,
    1000,
    Buffer.concat([...Array.from({ length: 120 }, () => label(1)), unhex('00')]),
  );
  // Each name has its own label before the pointer, so it costs all of its labels.
  const names = Array.from({ length: 3500 }, () =>
    rawRr(Buffer.concat([label(1), u16(0xc000 | offset)]), 1000, Buffer.of()),
  );
  assert.equal(decodeMessage(reply(long, ...names)), undefined);
  assert.ok(decodeMessage(reply(long, ...names.slice(0, 1000))));
});

test('decodeMessage refuses old types that expand a pointer to a long name too often', () => {
  const offset = AFTER_QUESTION + 12;
  const labels = Array.from({ length: 120 }, () => label(1));
  const long = rawRr(QNAME, 1000, Buffer.concat([...labels, unhex('00')]));
  const pointer = 0xc000 | offset;
  const bombs = (count: number) =>
    reply(long, ...Array.from({ length: count }, () => rawRr(QNAME, 14, u16(pointer, pointer))));
  assert.equal(decodeMessage(bombs(100))?.answer.length, 101);
  assert.equal(decodeMessage(bombs(3500)), undefined);
  assert.ok(bestMs(5, () => decodeMessage(bombs(3500))) < 50);
});

test('A real message of 64 KB is within the decoder’s budget', () => {
  const deep = wireName(`${'0.'.repeat(32)}ip6.arpa`);
  const rrs = Array.from({ length: 4000 }, (_, i) =>
    rawRr(Buffer.concat([unhex('02'), u16(i), QNAME]), 1000, Buffer.of()),
  );
  const packet = rawPacket({
    flags: RESPONSE,
    counts: [1, rrs.length, 0, 0],
    body: [deep, u16(255, 1), ...rrs],
  });
  assert.equal(decodeMessage(packet)?.answer.length, 4000);
});

test('False counts cost no more than the packet’s octets', () => {
  for (const length of [12, 512, 65535]) {
    for (const fill of [0x00, 0x01, 0x3f, 0xc0, 0xff]) {
      const packet = Buffer.alloc(length, fill);
      unhex('1234 8000 ffff ffff ffff ffff').copy(packet);
      assert.equal(decodeMessage(packet), undefined);
      assert.ok(bestMs(5, () => decodeMessage(packet)) < 20);
    }
  }
});
