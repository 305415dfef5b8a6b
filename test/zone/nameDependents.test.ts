/** Which values a change of the zone may change. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Catalog } from '../../src/zone/tree/catalog.ts';
import { NameDependents } from '../../src/zone/tree/nameDependents.ts';
import type { Node } from '../../src/zone/tree/tree.ts';
import { name } from '../support/zone.ts';

const PREFIX = '/skydns/';

/** What the changes affect, one after the other. The words are keys; those with a minus sign in front are deleted. */
function affectedBy(dependents: NameDependents<string>, ...words: string[]): readonly string[][] {
  const affected: string[][] = [];
  const catalog = new Catalog({
    prefix: PREFIX,
    onApplied: (nodes: readonly Node[]) =>
      affected.push([...dependents.affected(catalog.root, nodes)].sort()),
  });
  words.forEach((word, i) => {
    const modRevision = i + 1;
    const key = `${PREFIX}local/skydns/${word.replace(/^-/, '')}`;
    const previous = undefined;
    if (word.startsWith('-')) {
      catalog.apply([{ kind: 'delete', key, modRevision, previous }]);
      return;
    }
    const value = Buffer.from('{"host":"192.0.2.1"}');
    const entry = { key, value, createRevision: modRevision, modRevision, lease: undefined };
    catalog.apply([{ kind: 'put', entry, previous }]);
  });
  return affected;
}

describe('NameDependents', () => {
  const dependents = new NameDependents<string>();
  dependents.note('below', { names: [name('a.skydns.local.')], presences: [] });
  dependents.note('presence', { names: [], presences: [name('a.skydns.local.')] });

  it('A value depends on changes at and below its names, and on names leaving', () => {
    assert.deepEqual(affectedBy(dependents, 'a/1', 'a/2', 'b', '-a/1', '-a/2'), [
      ['below'],
      ['below'],
      [],
      ['below'],
      ['below', 'presence'],
    ]);
  });

  it('A forgotten value depends on nothing', () => {
    dependents.forget('below');
    dependents.forget('presence');
    assert.ok(dependents.isEmpty);
    assert.deepEqual(affectedBy(dependents, 'a', '-a'), [[], []]);
  });
});
