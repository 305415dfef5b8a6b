/** The domains inside our zones that other servers answer for, as readers find them. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { Holes, packHoles } from '../../src/dataplane/reply/holes.ts';
import { QuestionReader } from '../../src/dataplane/reply/question.ts';
import { encodeQuery } from '../../src/dns/encode.ts';
import { isSubdomainOf, type Name, nameOctets, wireName } from '../../src/dns/name.ts';

const label = fc.oneof(
  fc.constantFrom('a', 'b', 'dev', 'skydns'),
  fc.stringMatching(/^[a-z]{1,63}$/),
);
const name: fc.Arbitrary<Name> = fc
  .array(label, { minLength: 1, maxLength: 5 })
  .filter((labels) => nameOctets(labels) < 200);

/** Octets of the longest of the names that a question’s name is in. */
function longestOf(names: readonly Name[], qname: Name): number {
  const seed = 7;
  const at = 40;
  const section = packHoles(names.map(wireName), 8);
  const words = new Int32Array(at + 8 + section.length);
  words.set(section, at + 8);
  const question = new QuestionReader(seed);
  const packet = encodeQuery({
    id: 1,
    question: { qname, qtype: 1, qclass: 1 },
    recursionDesired: true,
    checkingDisabled: false,
    edns: undefined,
  });
  assert.ok(question.read(packet, 0, packet.length));
  return new Holes(words, new Uint8Array(words.buffer), question).longest(at, at + 8);
}

test('A reader finds the longest domain that a name is in, whatever the number of domains', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(name, { minLength: 1, maxLength: 200, selector: (each) => each.join('.') }),
      fc.array(label, { maxLength: 2 }),
      fc.nat(),
      name,
      (names, below, index, other) => {
        const inside = [...below, ...(names[index % names.length] ?? [])];
        for (const qname of [inside, other]) {
          if (nameOctets(qname) > 255) continue;
          const lengths = names.filter((each) => isSubdomainOf(qname, each)).map(nameOctets);
          assert.equal(longestOf(names, qname), Math.max(0, ...lengths));
        }
      },
    ),
  );
});
