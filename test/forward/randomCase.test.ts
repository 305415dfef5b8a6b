import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import test from 'node:test';
import fc from 'fast-check';
import { equalNames, foldName, isValidName } from '../../src/dns/name.ts';
import {
  identicalNames,
  letterCount,
  randomizeCase,
  withoutRandomCase,
} from '../../src/forward/exchange/randomCase.ts';
import { messageOf, nameOf, printed, questionOf } from '../support/messages.ts';

const octetLabel = fc
  .uint8Array({ minLength: 1, maxLength: 20 })
  .map((octets) => String.fromCharCode(...octets));
const anyName = fc.array(octetLabel, { maxLength: 6 }).filter(isValidName);

test('Random case changes only the case of ASCII letters in any octets', () => {
  fc.assert(
    fc.property(anyName, (name) => {
      const random = randomizeCase(name, randomInt);
      assert.deepEqual(foldName(random), foldName(name));
      if (letterCount(name) > 0) assert.ok(!identicalNames(random, foldName(name)));
    }),
  );
});

test('Random case gives every letter both cases', () => {
  const name = nameOf('abcdefghij.example');
  const patterns = Array.from({ length: 200 }, () => randomizeCase(name, randomInt).join('.'));
  for (let i = 0; i < 'abcdefghij.example'.length; i++) {
    if (i === 10) continue;
    assert.equal(new Set(patterns.map((pattern) => pattern[i])).size, 2, `letter ${i}`);
  }
});

test('Random case never leaves a name all lower case by chance', () => {
  assert.deepEqual(
    randomizeCase(nameOf('42.ab.c'), () => 0),
    nameOf('42.Ab.c'),
  );
  assert.deepEqual(
    randomizeCase(nameOf('1.2'), () => 0),
    nameOf('1.2'),
  );
});

test('Names are identical only octet by octet', () => {
  assert.ok(identicalNames(nameOf('a.B'), nameOf('a.B')));
  assert.ok(!identicalNames(nameOf('a.B'), nameOf('a.b')));
  assert.ok(!identicalNames(nameOf('a.b'), nameOf('b')));
});

test('Records lose the random case of the question and keep their own case', () => {
  const sent = nameOf('wWw.ExAmPle.oRG');
  const { answer } = messageOf(questionOf('www.example.org'), {
    answer: [
      'wWw.ExAmPle.oRG. 60 CNAME Web.ExAmPle.oRG.',
      'Web.ExAmPle.oRG. 60 MX 10 MAIL.ExAmPle.oRG.',
      '_x._tcp.ExAmPle.oRG. 60 SRV 1 2 3 Other.Example.ORG.',
      'ExAmPle.oRG. 60 SOA NS.ExAmPle.oRG. Host.oRG. 1 2 3 4 5',
      'Elsewhere.COM. 60 A 192.0.2.1',
    ],
  });
  assert.deepEqual(printed(answer.map((rr) => withoutRandomCase(rr, sent))), [
    'www.example.org. 60 IN CNAME Web.example.org.',
    'Web.example.org. 60 IN MX 10 MAIL.example.org.',
    '_x._tcp.example.org. 60 IN SRV 1 2 3 Other.Example.ORG.',
    'example.org. 60 IN SOA NS.example.org. Host.org. 1 2 3 4 5',
    'Elsewhere.COM. 60 IN A 192.0.2.1',
  ]);
});

test('Removing the random case keeps the name', () => {
  fc.assert(
    fc.property(anyName, anyName, (below, name) => {
      const sent = randomizeCase(name, randomInt);
      const owner = [...below, ...sent];
      if (!isValidName(owner)) return;
      const rdata = { kind: 'name', target: sent } as const;
      const rr = { owner, type: 2, class: 1, ttlSeconds: 1, rdata };
      const plain = withoutRandomCase(rr, sent);
      assert.ok(equalNames(plain.owner, owner));
      assert.deepEqual(plain.rdata, { kind: 'name', target: foldName(name) });
    }),
  );
});
