import assert from 'node:assert/strict';
import { describe, it, test } from 'node:test';
import { EXIT_CODES, Failure, failureOf } from '../../src/app/process/failure.ts';
import { tree } from '../../src/cli/commands/ls.ts';
import { printFailure, table, wantsColour } from '../../src/cli/output.ts';
import { StoreError, type StoreErrorCode } from '../../src/store/store.ts';

function output(colour = false) {
  let text = '';
  return {
    isTty: false,
    colour,
    write(more: string) {
      text += more;
    },
    get text() {
      return text;
    },
  };
}

describe('colour', () => {
  const cases: [Record<string, string>, boolean, boolean][] = [
    [{}, true, true],
    [{}, false, false],
    [{ NO_COLOR: '1' }, true, false],
    [{ NO_COLOR: '' }, true, true],
    [{ TERM: 'dumb' }, true, false],
    [{ FORCE_COLOR: '1' }, false, true],
    [{ FORCE_COLOR: '1', NO_COLOR: '1' }, false, true],
    [{ FORCE_COLOR: '0' }, true, false],
  ];
  for (const [env, isTty, expected] of cases) {
    const where = isTty ? 'a terminal' : 'a pipe';
    it(`Colour with ${JSON.stringify(env)} on ${where} is ${expected ? 'on' : 'off'}`, () => {
      assert.equal(wantsColour(env, isTty), expected);
    });
  }
});

describe('failures', () => {
  it('A failure is printed in one line with its hint', () => {
    const stderr = output();
    printFailure(new Failure('usage', '--x: is\nwrong', 'write --y'), false, stderr);
    assert.equal(stderr.text, 'soradns: --x: is\\010wrong (write --y)\n');
  });

  it('A failure is printed as one JSON object with --json', () => {
    const stderr = output();
    printFailure(new Failure('conflict', 'a', 'b'), true, stderr);
    assert.equal(stderr.text, '{"error":{"code":"conflict","message":"a","hint":"b"}}\n');
  });

  it('Every thrown value becomes a failure with the right exit code', () => {
    const coded = (code: string) => Object.assign(new Error('no'), { code });
    const store = (code: StoreErrorCode) => new StoreError(code, 'no');
    const cases: [unknown, number][] = [
      [store('unavailable'), 4],
      [store('denied'), 6],
      [store('invalid'), 7],
      [store('compacted'), 1],
      [coded('EADDRINUSE'), 4],
      [coded('ECONNREFUSED'), 4],
      [coded('EACCES'), 6],
      [coded('ESOMETHING'), 1],
      [new TypeError('no'), 1],
      ['no', 1],
      [undefined, 1],
    ];
    for (const [thrown, exitCode] of cases) {
      assert.equal(EXIT_CODES[failureOf(thrown).code], exitCode, String(thrown));
    }
  });
});

it('A table has columns as wide as their widest cell and no trailing spaces', () => {
  const text = table(
    [
      ['A', 'B'],
      ['long', ''],
      ['x', 'y'],
    ],
    output(),
  );
  assert.equal(text, 'A     B\nlong\nx     y\n');
});

it('A wide character of a table takes two columns, and a combining mark none', () => {
  const rows = ['A', '名前', '🐳', 'e\u0301'].map((cell) => [cell, 'B']);
  assert.equal(table(rows, output()), 'A     B\n名前  B\n🐳    B\ne\u0301     B\n');
});

test('The tree of ls has a line for each of many names below one label', () => {
  const names = Array.from({ length: 150_000 }, (_, i) => `n${i}.local.`);
  const entry = { key: '', service: {}, createRevision: 1, modRevision: 1 };
  const views = names.map((name) => ({ ...entry, name }));
  assert.equal(tree(views, output()).split('\n').length, 1 + names.length + 1);
});
