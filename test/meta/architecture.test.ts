/** docs/architecture.md names files, types and functions that exist, and its glossary stays short. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { pageAt } from '../support/pages.ts';
import { projectRoot, sourceFiles } from './sources.ts';

const MAX_TERMS = 48;

const { text } = pageAt('docs/architecture.md');
const prose = text.replace(/<!-- folders[\s\S]*<!-- end of folders -->/, '');
const quoted = [...prose.matchAll(/`([^`\n]+)`/g)].map(([, words = '']) => words);
const code = sourceFiles('src').map((file) => file.code);

test('Every path in docs/architecture.md exists', () => {
  const paths = quoted.filter((words) => /^(?:src|test|docs|bench)\//.test(words));
  assert.ok(paths.length > 50);
  assert.deepEqual(
    paths.filter((path) => !existsSync(join(projectRoot, path))),
    [],
  );
});

test('Every type in docs/architecture.md is declared in src', () => {
  const types = [...new Set(quoted.filter((words) => /^[A-Z][a-z]+\w*$/.test(words)))];
  assert.ok(types.length > 40);
  const isDeclared = (name: string): boolean => {
    const declaration = new RegExp(`^(?:export )?(?:interface|type|class|const) ${name}\\b`, 'm');
    return code.some((file) => declaration.test(file));
  };
  assert.deepEqual(
    types.filter((name) => !isDeclared(name)),
    [],
  );
});

test('Every function and constant in docs/architecture.md is declared in src', () => {
  const names = quoted.flatMap((words) => /^(?:(\w+)\(\)|([A-Z]+_[A-Z_]+))$/.exec(words) ?? []);
  const wanted = [...new Set(names.filter((name) => /^\w+$/.test(name ?? '')))];
  assert.ok(wanted.length > 5);
  const isDeclared = (name: string): boolean => {
    const declaration = new RegExp(
      `^(?:export )?(?:async )?(?:function\\*?|const) ${name}\\b`,
      'm',
    );
    return code.some((file) => declaration.test(file));
  };
  assert.deepEqual(
    wanted.filter((name) => !isDeclared(name)),
    [],
  );
});

test('The files of each walk in docs/architecture.md are numbered steps that name a file', () => {
  const steps = [...prose.matchAll(/^\d+\. (.*(?:\n {3}.*)*)/gm)].map(([, step = '']) => step);
  assert.ok(steps.length > 35);
  const without = steps.filter((step) => !/`src\/|^\*\*The file that uses it/.test(step));
  assert.deepEqual(without, []);
});

test('The glossary explains each word once, and at most 48 of them', () => {
  const [, glossary = ''] = text.split('## Glossary');
  const words = [...glossary.matchAll(/^\| (?!word \|)([a-z ]+) \| .+ \|$/gm)].map(
    ([, word]) => word,
  );
  assert.ok(words.length > 30 && words.length <= MAX_TERMS, `${words.length} words`);
  assert.equal(new Set(words).size, words.length);
});
