import assert from 'node:assert/strict';
import test from 'node:test';
import { decode } from 'dns-packet';
import { QuestionCursor } from '../../../bench/generator/cursor.ts';
import { type Edns, parseQuestions } from '../../../bench/generator/questions.ts';

const text = (lines: string): Buffer => Buffer.from(lines);

/** The messages that a cursor writes, decoded by another library. */
function written(lines: string, count: number, options: { edns?: Edns; first?: number } = {}) {
  const cursor = new QuestionCursor(
    parseQuestions(text(lines), options.edns ?? false),
    options.first ?? 0,
  );
  return Array.from({ length: count }, (_, index) => {
    const room = new Uint8Array(600).fill(0xee);
    const length = cursor.write(room, 20, 1000 + index);
    assert.equal(room[19], 0xee);
    assert.equal(room[20 + length], 0xee);
    return decode(Buffer.from(room.subarray(20, 20 + length)));
  });
}

test('QuestionCursor writes a line of questions as a query', () => {
  const [srv, a] = written('1.rails.skydns.local SRV\nwww.skydns.local. A\n', 2);
  assert.equal(srv?.id, 1000);
  assert.deepEqual(srv?.questions, [{ name: '1.rails.skydns.local', type: 'SRV', class: 'IN' }]);
  assert.deepEqual(a?.questions, [{ name: 'www.skydns.local', type: 'A', class: 'IN' }]);
  assert.equal(srv?.flag_rd, true);
  assert.deepEqual(srv?.additionals, []);
});

test('QuestionCursor adds an OPT record with EDNS', () => {
  const [query] = written('a.local A\n', 1, { edns: true });
  const [opt] = query?.additionals ?? [];
  assert.equal(opt?.type, 'OPT');
  assert.equal(opt?.type === 'OPT' && opt.udpPayloadSize, 1232);
});

test('QuestionCursor sets DO and adds options to the OPT record', () => {
  const edns = { dnssecOk: true, options: '000300021234' };
  const [query] = written('a.local A\n', 1, { edns });
  const [opt] = query?.additionals ?? [];
  assert.equal(opt?.type === 'OPT' && opt.flag_do, true);
  const [option] = opt?.type === 'OPT' ? opt.options : [];
  assert.deepEqual([option?.code, option?.data], [3, Buffer.from('1234', 'hex')]);
});

test('QuestionCursor repeats the questions from the given first one', () => {
  const names = written('a A\nb A\nc A\n', 5, { first: 7 }).map(
    ({ questions }) => questions?.[0]?.name,
  );
  assert.deepEqual(names, ['b', 'c', 'a', 'b', 'c']);
});

test('QuestionCursor replaces each ? by a new character, and the same start gives the same names', () => {
  const lines = '????????????.x.local A\n*.???.local A\n';
  const names = (first: number): string[] =>
    written(lines, 200, { first }).map(({ questions }) => questions?.[0]?.name ?? '');
  const all = names(0);
  for (const [index, name] of all.entries()) {
    assert.match(name, index % 2 === 0 ? /^[a-z2-7]{12}\.x\.local$/ : /^\*\.[a-z2-7]{3}\.local$/);
  }
  assert.equal(new Set(all.filter((_, index) => index % 2 === 0)).size, 100);
  assert.deepEqual(names(0), all);
  assert.notDeepEqual(names(2), all);
});

test('parseQuestions refuses text that is not a list of questions', () => {
  const long = `${'a'.repeat(64)}.local A\n`;
  const huge = `${Array.from({ length: 130 }, () => 'a').join('.')} A\n`;
  for (const lines of ['', 'a A', 'a\n', ' A\n', 'a..b A\n', '. A\n', 'a NONSENSE\n', long, huge]) {
    assert.throws(() => parseQuestions(text(lines), false), /^Error: questions: /, lines);
  }
});
