import assert from 'node:assert/strict';
import test from 'node:test';
import { examplesOf, matches, optionsOf } from './readme.ts';

test('examples are read and compared as their convention says', () => {
  const [first, second, ...rest] = examplesOf(
    '```sh\n$ no\n```\n```console\n$ a \\\n  b\nx ... y\n...\nz\n$ c # exits 4\n```\n$ no\n',
  );
  assert.deepEqual(first, {
    command: 'a \\\n  b',
    expected: ['x ... y', '...', 'z'],
    exitCode: 0,
    line: 5,
  });
  assert.deepEqual(second, { command: 'c # exits 4', expected: [], exitCode: 4, line: 10 });
  assert.deepEqual(rest, []);
  assert.ok(matches(['x ... y', '...', 'z'], 'x 1 y\nq\nq\nz\n'));
  assert.ok(matches(['a.b'], 'a.b'));
  assert.ok(!matches(['a.b'], 'axb\n'));
  assert.ok(!matches(['a'], 'a\nb\n'));
  assert.ok(!matches([], 'a\n'));
});

test('options are collected by command', () => {
  const uses = optionsOf(
    '`soradns set NAME --host H` and\n\n    soradns set \\\n  --port 1 | soradns ls --json # --no\n`docker exec soradns soradns rm -r --quiet`',
  );
  assert.deepEqual(
    [...uses].map(([command, options]) => [command, [...options]]),
    [
      ['set', ['--host', '--port']],
      ['ls', ['--json']],
      ['rm', ['--quiet']],
    ],
  );
});
