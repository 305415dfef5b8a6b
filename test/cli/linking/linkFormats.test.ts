import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import fc from 'fast-check';
import type { Variable } from '../../../src/ambassador/linkVariables.ts';
import { formatLinks, type PrintedLink } from '../../../src/cli/linking/linkFormats.ts';
import { printable } from '../../../src/observability/printable.ts';

/** A folder without files, so that patterns match nothing; every program that a hostile text starts could leave one. */
const folder = mkdtempSync(join(tmpdir(), 'soradns-links-'));
const texts = mkdtempSync(join(tmpdir(), 'soradns-links-'));
after(() => {
  for (const each of [folder, texts]) rmSync(each, { recursive: true });
});

function linkOf(variables: readonly Variable[], host = '198.18.73.12'): PrintedLink {
  return { alias: 'db', name: 'db.skydns.local.', via: 'vip', host, variables };
}

const ATTACKS = [
  '$(touch hacked)',
  '`touch hacked`',
  "'; touch hacked; '",
  '"; touch hacked; "',
  '\n touch hacked\n',
  'x --privileged -v /:/host',
  "x' --privileged '",
  '&& touch hacked',
  '| touch hacked',
  '> hacked',
  '*',
  '~root',
  '!!',
  '\\',
  '{a,b}',
  '#',
  '-e',
  '',
];
const hostile = fc.oneof(
  fc.constantFrom(...ATTACKS),
  fc.string({ unit: 'binary' }),
  fc.array(fc.constantFrom(...ATTACKS, 'a', ' ', "'", '\\')).map((parts) => parts.join('')),
);
const hostileVariables = fc.uniqueArray(
  fc
    .tuple(
      fc.oneof(
        hostile.map((text) => `DB_ENV_${text}`),
        fc.stringMatching(/^DB_[A-Z]{1,9}$/),
      ),
      hostile,
    )
    .map(([name, value]) => ({ name, value })),
  { maxLength: 8, selector: ({ name }) => name },
);

const SHELLS: Readonly<Record<string, readonly string[]>> = { sh: [], bash: ['--norc'] };

/** Runs the script; returns its output, split at NULs. */
function run(shell: string, script: string): readonly string[] {
  const args = [...(SHELLS[shell] ?? []), '-c', script];
  const env = { PATH: process.env.PATH };
  return execFileSync(shell, args, { cwd: folder, env, encoding: 'utf8' }).split('\0').slice(0, -1);
}

/** The words that the shell makes of the line. */
function wordsOf(shell: string, line: string): readonly string[] {
  return run(shell, `printf '%s\\0' ${line}`);
}

for (const shell of Object.keys(SHELLS))
  test(`${shell} runs nothing of the sh format, and sets each variable to its exact value or not at all`, () => {
    fc.assert(
      fc.property(hostileVariables, (variables) => {
        const { text, leftOut } = formatLinks([linkOf(variables)], 'sh');
        const set = run(shell, `${text}\nexec env -0`).filter((pair) => pair.startsWith('DB_'));
        const carried = variables.filter(({ name }) => !leftOut.includes(name));
        assert.deepEqual(set.sort(), carried.map(({ name, value }) => `${name}=${value}`).sort());
        assert.deepEqual(readdirSync(folder), []);
      }),
    );
  });

test('The sh format carries every printable text, and line breaks', () => {
  const variables = ['a b', "it's", '$(x)', '"', '\\', 'a\nb', 'ü', '*'].map((value, i) => {
    return { name: `DB_${i}`, value };
  });
  assert.deepEqual(formatLinks([linkOf(variables)], 'sh').leftOut, []);
  const unprintable = [{ name: 'DB_A', value: '\u001b[2J' }];
  assert.deepEqual(formatLinks([linkOf(unprintable)], 'sh'), { text: '', leftOut: ['DB_A'] });
});

test('The docker format gives docker run the same words in a script and in a command substitution', () => {
  fc.assert(
    fc.property(hostileVariables, (variables) => {
      const { text, leftOut } = formatLinks([linkOf(variables)], 'docker');
      const carried = variables.filter(({ name }) => !leftOut.includes(name));
      const expected = [
        ...carried.flatMap(({ name, value }) => ['-e', `${name}=${value}`]),
        ...['--add-host', 'db:198.18.73.12'],
      ];
      const file = join(texts, 'line');
      writeFileSync(file, text);
      assert.deepEqual(wordsOf('sh', text), expected);
      assert.deepEqual(wordsOf('sh', `$(cat ${file})`), expected);
      assert.deepEqual(wordsOf('bash', `$(cat ${file})`), expected);
      assert.deepEqual(readdirSync(folder), []);
    }),
  );
});

test('The docker format carries addresses of both families, and no value that a shell would change', () => {
  const variables = [
    { name: 'DB_PORT', value: 'tcp://[fd53::12]:5432' },
    { name: 'DB_NAME', value: '/db.skydns.local' },
    { name: 'DB_ENV_A', value: 'two words' },
    { name: 'DB_ENV_B', value: '~root' },
  ];
  assert.deepEqual(formatLinks([linkOf(variables, 'fd53::12')], 'docker'), {
    text: '-e DB_PORT=tcp://[fd53::12]:5432 -e DB_NAME=/db.skydns.local --add-host db:fd53::12\n',
    leftOut: ['DB_ENV_A', 'DB_ENV_B'],
  });
});

test('The docker format adds no host for a link through a name', () => {
  const link = linkOf([{ name: 'DB_NAME', value: '/db' }], 'db.skydns.local');
  assert.equal(formatLinks([link], 'docker').text, '-e DB_NAME=/db\n');
});

test('A line of the env format is one variable, whatever the texts are', () => {
  fc.assert(
    fc.property(hostileVariables, (variables) => {
      const { text, leftOut } = formatLinks([linkOf(variables)], 'env');
      const carried = variables.filter(({ name }) => !leftOut.includes(name));
      const read = text
        .split(/\r\n|\n|\r/)
        .slice(0, -1)
        .map((line) => {
          const at = line.indexOf('=');
          return { name: line.slice(0, at), value: line.slice(at + 1) };
        });
      assert.deepEqual(read, carried);
    }),
  );
  const kept = [{ name: 'DB_A', value: ' a  "b" \'c\' $d ' }];
  assert.deepEqual(formatLinks([linkOf(kept)], 'env'), {
    text: 'DB_A= a  "b" \'c\' $d \n',
    leftOut: [],
  });
});

test('The json format carries every variable in one printable line', () => {
  fc.assert(
    fc.property(hostileVariables, (variables) => {
      const { text, leftOut } = formatLinks([linkOf(variables)], 'json');
      assert.deepEqual(leftOut, []);
      const [link] = JSON.parse(text);
      assert.deepEqual(
        link.variables,
        Object.fromEntries(variables.map(({ name, value }) => [name, value])),
      );
      assert.equal(printable(text.slice(0, -1)), text.slice(0, -1));
    }),
  );
});
