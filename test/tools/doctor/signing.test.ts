/** doctor's judgement about the keys of a signed domain. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { judgeSigning, type SigningFacts } from '../../../src/tools/doctor/judge/signing.ts';

const NOW = 1_796_000_000;

for (const [what, created, signing, level, message] of [
  ['a key that signs', NOW - 5, [7], 'ok', /skydns\.local are signed with key 7$/],
  ['a clock that is slow by minutes', NOW + 200, [7], 'ok', /signed with key 7$/],
  [
    'a clock before the key',
    NOW + 600,
    [7],
    'problem',
    /clock is at least 600 s behind: .* key 7 /,
  ],
  ['a clock of years ago', NOW + 9 * 86_400 + 1, [], 'problem', /at least 9 d behind/],
  ['no active key', undefined, [], 'problem', /no key of skydns\.local is active/],
] as const)
  test(`${what} is judged: ${level}`, () => {
    const keys = [{ tag: 7, createdUnixSeconds: created }];
    const facts: SigningFacts = { domain: ['skydns', 'local'], keys, signing };
    const found = judgeSigning(facts, NOW);
    assert.equal(found.level, level);
    assert.match(found.message, message);
    assert.equal(found.fix === undefined, level === 'ok');
  });
