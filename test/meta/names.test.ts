/** One name means one thing: no two types of src share a name, and no two exported functions do. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { parseSource, type SourceFile, sourceFiles } from './sources.ts';

const TYPE = /^(?:export )?(?:declare )?(?:abstract )?(?:interface|type|class) (\w+)/gm;
const EXPORTED_FUNCTION = /^export (?:async )?function\*? (\w+)/gm;

const files = sourceFiles('src');

/** The names that the pattern finds in several files, each with these files. */
function sharedNames(among: readonly SourceFile[], pattern: RegExp): readonly string[] {
  const found = new Map<string, string[]>();
  for (const { path, code } of among) {
    const names = new Set([...code.matchAll(pattern)].map(([, name = '']) => name));
    for (const name of names) found.set(name, [...(found.get(name) ?? []), path]);
  }
  return [...found]
    .filter(([, paths]) => paths.length > 1)
    .map(([name, paths]) => `${name}: ${paths.join(', ')}`)
    .sort();
}

test('No two types of src have the same name', () => {
  assert.deepEqual(sharedNames(files, TYPE), []);
});

test('No two exported functions of src have the same name', () => {
  assert.deepEqual(sharedNames(files, EXPORTED_FUNCTION), []);
});

test('The check of names finds types and exported functions that share a name, and ignores private functions', () => {
  const among = [
    parseSource('src/a.ts', 'interface Turn {}\nexport function list() {}\nfunction own() {}\n'),
    parseSource('src/b.ts', 'export type Turn = 1;\nexport async function list() {}\n'),
    parseSource('src/c.ts', '// interface Turn {}\nfunction own() {}\nclass Other {}\n'),
  ];
  assert.deepEqual(sharedNames(among, TYPE), ['Turn: src/a.ts, src/b.ts']);
  assert.deepEqual(sharedNames(among, EXPORTED_FUNCTION), ['list: src/a.ts, src/b.ts']);
});
