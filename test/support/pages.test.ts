import assert from 'node:assert/strict';
import test from 'node:test';
import { anchorsOf, blocksOf, examplesOf, linksOf, matches, optionsOf } from './pages.ts';

test('blocksOf reads each block with its language, its attributes, its line and its heading', () => {
  const [first, second, third] = blocksOf(
    '# A\n```sh\nno\n```\n## B, c\n- x\n  ```console on=docker background\n  $ a\n  ```\n```ini unrun="needs systemd"\n```\n',
  );
  assert.deepEqual(first, {
    language: 'sh',
    attributes: new Map(),
    text: 'no\n',
    line: 3,
    heading: '',
  });
  assert.deepEqual(second, {
    language: 'console',
    attributes: new Map([
      ['on', 'docker'],
      ['background', ''],
    ]),
    text: '$ a\n',
    line: 8,
    heading: 'B, c',
  });
  assert.deepEqual(third?.attributes, new Map([['unrun', 'needs systemd']]));
});

test('examplesOf reads the examples of a session, and matches compares them, by the rules of the pages', () => {
  const text = '$ a \\\n  b\nx ... y\n...\nz\n$ c # exits 4\n';
  const [first, second, ...rest] = examplesOf({ text, line: 5 });
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

test('optionsOf collects by command the options that a page uses', () => {
  const uses = optionsOf(
    '`soradns set NAME --host H` and\n\n    soradns set \\\n  --port 1 | soradns ls --json # --no\n`docker exec soradns soradns rm -r --quiet` soradns query-alias set a --tag b',
  );
  assert.deepEqual(
    [...uses].map(([command, options]) => [command, [...options]]),
    [
      ['set', ['--host', '--port']],
      ['ls', ['--json']],
      ['rm', ['--quiet']],
      ['query-alias', ['--tag']],
    ],
  );
});

test('linksOf finds the links into the project, and anchorsOf finds the anchors of headings', () => {
  assert.deepEqual(linksOf('[a](b.md#c-d) [e](https://example.com) [f](#g)'), ['b.md#c-d', '#g']);
  assert.deepEqual(
    [...anchorsOf("# Names, and `x`\n```sh\n# no\n```\n## One host's own\n")],
    ['names-and-x', 'one-hosts-own'],
  );
});
