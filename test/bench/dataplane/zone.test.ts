import assert from 'node:assert/strict';
import test from 'node:test';
import { changeOf } from '../../../bench/dataplane/changes.ts';
import { QUESTION_KINDS, questionsOf } from '../../../bench/dataplane/zone.ts';
import { parseQuestions } from '../../../bench/generator/questions.ts';
import { benchNames } from '../../../bench/names.ts';

const names = benchNames(100);
const linesOf = (kind: (typeof QUESTION_KINDS)[number]): string[] =>
  questionsOf(kind, names).trim().split('\n');

test('The generator can parse every kind of questions', () => {
  for (const kind of QUESTION_KINDS) {
    const { count } = parseQuestions(Buffer.from(questionsOf(kind, names)), false);
    assert.equal(count, linesOf(kind).length);
  }
});

test('The kind hits has each name once, half by SRV, and every has each name by A and by SRV', () => {
  assert.equal(linesOf('hits').length, 100);
  assert.equal(linesOf('hits').filter((line) => line.endsWith(' SRV')).length, 50);
  assert.equal(new Set(linesOf('every')).size, 200);
  assert.ok(names.every(({ name }) => linesOf('every').includes(`${name} SRV`)));
});

test('The kinds below, outside and wildcard have names at the right place in the tree', () => {
  assert.ok(
    linesOf('below').every((line) => /^\?{12}\.service\d+\.\S+\.skydns\.local /.test(line)),
  );
  assert.ok(linesOf('outside').every((line) => /^\?{12}\.example\.com /.test(line)));
  assert.ok(linesOf('wildcard').every((line) => /^\*\.\S+\.skydns\.local /.test(line)));
});

test('Changes keep every queried name and at most 110 others', () => {
  const keys = new Set(names.map(({ key }) => key));
  const kinds = { value: 0, added: 0, deleted: 0 };
  for (let index = 0; index < 20_000; index++) {
    const change = changeOf(index, names.length);
    if (change.kind === 'delete') {
      assert.ok(keys.delete(change.key), 'a change deletes a missing key');
      kinds.deleted += 1;
    } else {
      kinds[keys.has(change.key) ? 'value' : 'added'] += 1;
      keys.add(change.key);
    }
    assert.ok(keys.size <= names.length + 110);
  }
  assert.ok(names.every(({ key }) => keys.has(key)));
  assert.ok(kinds.value > 9900 && kinds.added > 4900 && kinds.deleted > 4800);
});
