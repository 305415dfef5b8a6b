/** How a reader finds the stored wildcard that answers for a name. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { NameFinder } from '../../src/dataplane/reply/nameFinder.ts';
import { QuestionReader } from '../../src/dataplane/reply/question.ts';
import { WildcardFinder } from '../../src/dataplane/reply/wildcardFinder.ts';
import { AnswerTable } from '../../src/dataplane/table/table.ts';
import { encodeQuery } from '../../src/dns/encode.ts';
import { type Name, nameOctets, wireName } from '../../src/dns/name.ts';

class CountingFinder extends NameFinder {
  finds = 0;

  override find(hash: number, octets: number, words: Int32Array): number {
    this.finds++;
    return super.find(hash, octets, words);
  }
}

const APEX = ['skydns', 'local'];

/** A table with the names below the apex, and with a wildcard below each of the enclosers, which are names too. */
function lookUpIn(names: readonly Name[], enclosers: readonly Name[]) {
  const table = new AnswerTable(1 << 20, 7);
  for (const name of [APEX, ...names, ...enclosers]) table.add(wireName(name));
  const records = enclosers.map((encloser) => table.addWildcard(wireName(encloser)));
  const words = new Int32Array(table.handle.memory);
  const question = new QuestionReader(7);
  const counting = new CountingFinder(words);
  const finder = new WildcardFinder(words, question, counting);
  return (qname: Name) => {
    const packet = encodeQuery({
      ...{ id: 1, question: { qname, qtype: 1, qclass: 1 }, edns: undefined },
      ...{ recursionDesired: true, checkingDisabled: false },
    });
    assert.ok(question.read(packet, 0, packet.length));
    assert.ok(finder.begin());
    counting.finds = 0;
    const found = finder.find(nameOctets(APEX));
    const encloser = found === 0 ? undefined : enclosers[records.indexOf(found)];
    if (encloser !== undefined) assert.equal(finder.encloserOctets, nameOctets(encloser));
    return { encloser, finds: counting.finds };
  };
}

test('A name of more labels than any in the table takes no more look-ups than the table has labels', () => {
  const apps = ['apps', ...APEX];
  const deep = ['a', 'b', 'c', ...APEX];
  const lookUp = lookUpIn([deep], [apps]);
  const labels = Array.from({ length: 110 }, () => 'x');
  assert.deepEqual(lookUp([...labels, ...apps]), { encloser: apps, finds: deep.length - 2 });
  assert.deepEqual(lookUp([...labels, ...deep]), { encloser: undefined, finds: 1 });
  assert.deepEqual(lookUp(['x', ...apps]), { encloser: apps, finds: 1 });
  assert.equal(lookUp([...labels, 'b', 'c', ...APEX]).encloser, undefined);
});
