/**
 * The README's tables of options say what the program says. To write them anew after a change of the rows:
 * `UPDATE_README=1 node --import tsx --test test/meta/options.test.ts`
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { optionTables } from '../support/optionTables.ts';
import { projectRoot } from './sources.ts';

const BEGIN = '<!-- options: generated, see test/meta/options.test.ts -->';
const END = '<!-- end of options -->';

test('the README lists every option with its variables and its default', () => {
  const path = join(projectRoot, 'README.md');
  const readme = readFileSync(path, 'utf8');
  const [before, rest = ''] = readme.split(BEGIN);
  const [tables, after] = rest.split(END);
  const expected = `\n\n${optionTables()}\n\n`;
  if (process.env.UPDATE_README === '1') {
    writeFileSync(path, `${before}${BEGIN}${expected}${END}${after}`);
    return;
  }
  assert.equal(tables, expected);
});
