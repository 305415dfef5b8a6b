/** The patterns of `--allow`. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  matchesBelow,
  matchesPattern,
  type NamePattern,
  needsProject,
  parseNamePattern,
  printPattern,
  UNKNOWN_LABEL,
} from '../../src/service/namePattern.ts';

function patternOf(text: string): NamePattern {
  const pattern = parseNamePattern(text);
  assert.ok(pattern, `${text} is a pattern`);
  return pattern;
}

describe('name patterns', () => {
  const table: readonly (readonly [
    pattern: string,
    allowed: readonly string[],
    others: readonly string[],
  ])[] = [
    ['web.x.local', ['web.x.local'], ['a.web.x.local', 'web-admin.x.local', 'x.local', 'web.x']],
    ['WEB.X.Local.', ['web.x.local'], ['web.x.local.local']],
    ['*.x.local', ['web.x.local', '_a.x.local'], ['x.local', 'a.web.x.local', 'web.y.local']],
    ['a.*.local', ['a.x.local'], ['a.local', 'a.b.x.local', 'b.x.local']],
    ['*.*.x.local', ['1.web.x.local'], ['web.x.local', '2.1.web.x.local']],
    ['**.x.local', ['x.local', 'web.x.local', '1.web.x.local'], ['foo-x.local', 'xx.local', 'x']],
    ['**.*.x.local', ['web.x.local', '1.web.x.local'], ['x.local']],
    ['**', ['web.x.local', 'x'], []],
    [
      '{project}.x.local',
      ['shop.x.local'],
      ['a.shop.x.local', 'shop-a.x.local', '{project}.x.local'],
    ],
    ['*.{Project}.x.local', ['a.shop.x.local'], ['a.other.x.local', 'shop.x.local']],
    [
      '**.{project}.x.local',
      ['shop.x.local', '1.a.shop.x.local'],
      ['a.shop.y.local', 'shop.a.x.local'],
    ],
  ];
  for (const [text, allowed, others] of table)
    it(`The pattern ${text} allows ${allowed.join(', ')} and nothing else`, () => {
      const pattern = patternOf(text);
      const matches = (name: string) => matchesPattern(pattern, name.split('.'), 'shop');
      assert.deepEqual(allowed.filter(matches), allowed);
      assert.deepEqual(others.filter(matches), []);
    });

  it('A pattern matches names below a zone if its last labels and those of the zone agree', () => {
    const below = ['x.local', '*.x.local', '**', '**.local', 'a.{project}.x.local', '*.*'];
    const outside = ['y.local', 'x', 'local', '**.y.local', 'a.x.y'];
    const matches = (text: string) => matchesBelow(patternOf(text), ['x', 'local']);
    assert.deepEqual(below.filter(matches), below);
    assert.deepEqual(outside.filter(matches), []);
  });

  it('A pattern with {project} allows nothing to a container without a project', () => {
    const pattern = patternOf('*.{project}.x.local');
    assert.equal(needsProject(pattern), true);
    for (const name of ['a.undefined.x.local', 'a.{project}.x.local', 'a.shop.x.local'])
      assert.equal(matchesPattern(pattern, name.split('.'), undefined), false, name);
  });

  it('A pattern allows an instance number that is not assigned yet only where it allows every label', () => {
    const name = [UNKNOWN_LABEL, 'web', 'x', 'local'];
    for (const text of ['*.web.x.local', '**.web.x.local', '**'])
      assert.equal(matchesPattern(patternOf(text), name, undefined), true, text);
    for (const text of ['1.web.x.local', 'web.x.local', '{project}.web.x.local'])
      assert.equal(matchesPattern(patternOf(text), name, '1'), false, text);
  });

  it('A pattern is printed unchanged, or with the project in place of {project}', () => {
    for (const text of ['web.x.local', '**.*.{project}.x.local', '**', '*'])
      assert.equal(printPattern(patternOf(text)), text);
    assert.equal(printPattern(patternOf('**.{project}.x.local'), 'shop'), '**.shop.x.local');
  });

  const mistakes: readonly (readonly [what: string, text: string])[] = [
    ['no text', ''],
    ['the root', '.'],
    ['an empty label', 'web..local'],
    ['a dot in front', '.x.local'],
    ['a wildcard in a part of a label', 'web-*.x.local'],
    ['{project} in a part of a label', '{project}-db.x.local'],
    ['an unknown placeholder', '{service}.x.local'],
    ['** behind a label', 'a.**.x.local'],
    ['** twice', '**.**.x.local'],
    ['a regular expression', '^.*\\.x\\.local$'],
    ['a label above 63 octets', `${'a'.repeat(64)}.x.local`],
    ['more labels than a name has', Array(128).fill('*').join('.')],
  ];
  for (const [what, text] of mistakes)
    it(`parseNamePattern refuses ${what}`, () => assert.equal(parseNamePattern(text), undefined));
});
