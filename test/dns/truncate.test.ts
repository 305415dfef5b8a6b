import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { decodeMessage } from '../../src/dns/decode.ts';
import { encodeResponse } from '../../src/dns/encode.ts';
import type { Message, Query, Response } from '../../src/dns/message.ts';
import { foldName } from '../../src/dns/name.ts';
import { splitText } from '../../src/dns/rdata.ts';
import type { Rr } from '../../src/dns/rr.ts';
import { replyLimit } from '../../src/dns/truncate.ts';
import { nameOf } from '../support/messages.ts';
import { anyRr } from '../support/records.ts';
import { addressRr, queryFor, responseWith, rrOf, srvRr } from '../support/replies.ts';

test('A UDP reply is as large as the client and the operator allow', () => {
  const limits = [512, 1232, 1400, 4096].map((maxUdpOctets) =>
    [undefined, 100, 1300, 65_535].map((udpSize) =>
      replyLimit(
        queryFor('x', 1, udpSize === undefined ? undefined : { udpSize }),
        { transport: 'udp' },
        maxUdpOctets,
      ),
    ),
  );
  assert.deepEqual(limits, [
    [512, 512, 512, 512],
    [512, 512, 1232, 1232],
    [512, 512, 1300, 1400],
    [512, 512, 1300, 4096],
  ]);
});

test('A UDP reply has at most the client’s size, from 512 to 1232 octets, and a TCP reply is whole', () => {
  const limits = [0, 511, 512, 513, 1231, 1232, 1233, 4096, 65535].map((udpSize) =>
    replyLimit(queryFor('x', 1, { udpSize }), { transport: 'udp' }),
  );
  assert.deepEqual(limits, [512, 512, 512, 513, 1231, 1232, 1232, 1232, 1232]);
  assert.equal(replyLimit(queryFor('x'), { transport: 'udp' }), 512);
  assert.equal(replyLimit(queryFor('x'), { transport: 'tcp' }), 65535);
  assert.equal(replyLimit(queryFor('x', 1, { udpSize: 512 }), { transport: 'tcp' }), 65535);
});

function fitted(query: Query, response: Response, limitOctets: number, rotation = 0): Message {
  const octets = encodeResponse(query, response, limitOctets, rotation);
  assert.ok(octets.length <= limitOctets, `${octets.length} octets, at most ${limitOctets}`);
  const message = decodeMessage(octets);
  assert.ok(message, 'what is left is a whole message');
  assert.deepEqual(message.questions, [query.question]);
  assert.equal(message.edns !== undefined, query.edns !== undefined);
  return message;
}

const x = 'x.skydns.local';
const edns = queryFor(x, 33, {});
/** Fifty addresses of one owner: 16 octets each. */
const fifty = (owner: string) =>
  Array.from({ length: 50 }, (_, i) => addressRr(owner, `10.0.0.${i}`));

test('Truncation removes additional records first, without TC, and keeps the RRsets that fit', () => {
  const glue = ['a', 'b', 'c'].flatMap((host) => fifty(host).slice(0, 12));
  const response = responseWith({ answer: [srvRr(x, 'a')], additional: glue });
  const message = fitted(edns, response, 512);
  assert.equal(message.truncated, false);
  assert.deepEqual(message.answer, response.answer);
  assert.deepEqual(message.additional, glue.slice(0, 24));
});

test('A response that needs its additional section has TC if a part of it does not fit', () => {
  const glue = ['a', 'b', 'c'].flatMap((host) => fifty(host).slice(0, 12));
  for (const [additional, truncated] of [
    [glue.slice(0, 24), false],
    [glue, true],
  ] as const) {
    const response = responseWith({ authority: [srvRr(x, 'a')], additional });
    const message = fitted(edns, { ...response, needsAdditional: true }, 512);
    assert.equal(message.truncated, truncated);
    assert.deepEqual(message.additional, glue.slice(0, 24));
  }
});

test('An answer that does not fit has TC, the records that fit, and no later section', () => {
  const response = responseWith({
    answer: [rrOf(x, 5, { kind: 'name', target: nameOf('y') }), ...fifty('y')],
    authority: [addressRr('z', '1.2.3.4')],
    additional: [addressRr('z', '1.2.3.4')],
  });
  const message = fitted(edns, response, 512);
  assert.equal(message.truncated, true);
  assert.deepEqual(message.answer, response.answer.slice(0, 29));
  assert.deepEqual([...message.authority, ...message.additional], []);
});

test('Truncated replies start at different records, so that all records are sent in the end', () => {
  const cname = rrOf(x, 5, { kind: 'name', target: nameOf('y') });
  const response = responseWith({ answer: [cname, ...fifty('y')] });
  const seen = new Set<string>();
  for (let i = 0; i < 10; i++) {
    const { answer } = fitted(edns, response, 512, i / 10);
    assert.deepEqual(answer[0], cname, 'the CNAME stays first');
    for (const { rdata } of answer) seen.add(JSON.stringify(rdata));
  }
  assert.equal(seen.size, 51);
});

test('A record that is too long does not exclude shorter ones of its RRset', () => {
  const text = (octets: number) =>
    rrOf(x, 16, { kind: 'txt', strings: splitText('x'.repeat(octets)) });
  const response = responseWith({ answer: [text(449), text(460), text(210), text(220)] });
  for (const [rotation, kept] of [
    [0, [449]],
    [0.25, [210, 220]],
    [0.75, [220]],
  ] as const) {
    const message = fitted(queryFor(x), response, 500, rotation);
    assert.equal(message.truncated, true);
    const lengths = message.answer.map(({ rdata }) =>
      rdata.kind === 'txt' ? rdata.strings.join('').length : 0,
    );
    assert.deepEqual(lengths.slice(0, kept.length), kept, `rotation ${rotation}`);
  }
});

test('An authority section that does not fit sets TC', () => {
  const response = responseWith({
    answer: [addressRr(x, '1.2.3.4')],
    authority: fifty('y'),
    additional: [addressRr('z', '1.2.3.4')],
  });
  const message = fitted(edns, response, 512);
  assert.equal(message.truncated, true);
  assert.deepEqual(message.answer, response.answer);
  assert.deepEqual([...message.authority, ...message.additional], []);
});

test('Glue of one RRset whose records are apart or differ in case is removed whole', () => {
  const [first, ...rest] = fifty('y');
  assert.ok(first);
  const additional = [
    addressRr('a', '1.1.1.1'),
    first,
    addressRr('b', '1.1.1.1'),
    ...rest.map((rr) => ({ ...rr, owner: ['Y'] })),
  ];
  const message = fitted(edns, responseWith({ additional }), 512);
  assert.equal(message.truncated, false);
  assert.deepEqual(message.additional, additional.slice(0, 1));
});

test('A reply of exactly the size is not truncated, and one octet less removes one record', () => {
  for (const query of [queryFor(x), edns]) {
    const response = responseWith({ answer: fifty(x) });
    const { length } = encodeResponse(query, response, 65535);
    assert.equal(fitted(query, response, length).answer.length, 50);
    const cut = fitted(query, response, length - 1);
    assert.equal(cut.answer.length, 49);
    assert.equal(cut.truncated, true);
  }
});

test('A record that fits no message is left out with TC', () => {
  const huge: readonly Rr[] = [
    rrOf(x, 16, { kind: 'txt', strings: Array.from({ length: 300 }, () => 'x'.repeat(255)) }),
    rrOf(x, 1000, { kind: 'unknown', octets: new Uint8Array(65_500) }),
    rrOf(x, 1000, { kind: 'unknown', octets: new Uint8Array(200_000) }),
  ];
  for (const rr of huge) {
    const message = fitted(edns, responseWith({ answer: [rr] }), 65535);
    assert.equal(message.truncated, true);
    assert.deepEqual(message.answer, []);
    assert.equal(fitted(edns, responseWith({ additional: [rr] }), 65535).truncated, false);
  }
});

/** The same for records of one RRset. */
function rrsetOf({ owner, type }: Rr): string {
  return JSON.stringify([foldName(owner), type]);
}

/** How many of the first records fit the message. */
function prefixThatFits(query: Query, { answer }: Response, limitOctets: number): number {
  let [fits, tooMany] = [0, answer.length + 1];
  while (tooMany - fits > 1) {
    const count = (fits + tooMany) >> 1;
    const part = responseWith({ answer: answer.slice(0, count) });
    if (decodeMessage(encodeResponse(query, part, limitOctets))?.truncated === false) fits = count;
    else tooMany = count;
  }
  return fits;
}

/** The rules in the header of truncate.ts. */
function assertFits(query: Query, response: Response, limitOctets: number): void {
  const message = fitted(query, response, limitOctets);
  const isAnswerCut = message.answer.length < response.answer.length;
  const isCut = isAnswerCut || message.authority.length < response.authority.length;
  assert.equal(message.truncated, isCut);
  assert.ok(message.answer.length >= prefixThatFits(query, response, limitOctets));
  if (isAnswerCut) assert.equal(message.authority.length + message.additional.length, 0);
  if (isCut) assert.equal(message.additional.length, 0);
  for (const section of ['authority', 'additional'] as const) {
    const [all, kept] = [response[section], message[section]];
    assert.deepEqual(kept.map(rrsetOf), all.slice(0, kept.length).map(rrsetOf));
    const rrsets = new Set(kept.map(rrsetOf));
    const isParted = all.slice(kept.length).some((rr) => rrsets.has(rrsetOf(rr)));
    assert.equal(isParted, false, `half an RRset in ${section}`);
  }
}

const limit = fc.constantFrom(512, 1232, 65535);
const maybeEdns = fc.constantFrom(queryFor(x), edns);

test('An SRV RRset of 1 to 2000 instances is truncated by the rules', () => {
  const count = fc.oneof(fc.integer({ min: 1, max: 2000 }), fc.integer({ min: 1, max: 40 }));
  fc.assert(
    fc.property(
      count,
      fc.integer({ min: 1, max: 50 }),
      maybeEdns,
      limit,
      (instances, owners, query, octets) => {
        const targets = Array.from({ length: instances }, (_, i) => `h${i}.east.skydns.local`);
        const answer = targets.map((target, i) =>
          srvRr(i % owners === 0 ? x : `o${i % owners}.local`, target),
        );
        const additional = targets.flatMap((target) => [
          addressRr(target, '10.0.0.1'),
          addressRr(target, '::1'),
        ]);
        assertFits(query, responseWith({ answer, additional }), octets);
      },
    ),
    { numRuns: 60 },
  );
});

test('Arbitrary sections with mixed RRsets are truncated by the rules', () => {
  const owners = fc.constantFrom('a', 'A', 'b', x).map(nameOf);
  const mixed = fc
    .tuple(anyRr, fc.option(owners))
    .map(([rr, owner]): Rr => (owner === null ? rr : { ...rr, owner }));
  const section = fc.array(mixed, { maxLength: 12 });
  fc.assert(
    fc.property(
      section,
      section,
      section,
      maybeEdns,
      limit,
      (answer, authority, additional, query, octets) => {
        assertFits(query, responseWith({ answer, authority, additional }), octets);
      },
    ),
    { numRuns: 800 },
  );
});
