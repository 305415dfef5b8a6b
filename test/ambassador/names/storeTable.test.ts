/** What the store's tables take from their keys. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { chooseInstance } from '../../../src/ambassador/names/chooseInstance.ts';
import { StoreTable } from '../../../src/ambassador/names/storeTable.ts';
import { utf8Octets } from '../../../src/dns/name.ts';
import { createMemoryStore } from '../../../src/store/embedded/memoryStore.ts';
import { Catalog } from '../../../src/zone/tree/catalog.ts';
import { tableDelete, tablePut, tablesOf } from '../../support/nameTables.ts';
import { name } from '../../support/zone.ts';

const PREFIX = '/skydns/';

interface SmallTable {
  readonly table: StoreTable<string>;
  /** The paths of all rows, and those that the changes have left. */
  paths(): { readonly held: readonly string[]; readonly told: readonly string[] };
}

/** A table of two keys, whose rows are their paths. */
function smallTable(): SmallTable {
  const told = new Set<string>();
  const table = new StoreTable<string>({
    prefix: '/skydns-query/',
    maxKeys: 2,
    parse: (path) => ({ kind: 'row', row: path }),
    onChange(changes) {
      for (const { before, after } of changes) {
        if (before !== undefined) told.delete(before);
        if (after !== undefined) told.add(after);
      }
    },
    onInvalid: () => {},
  });
  return { table, paths: () => ({ held: [...table.rows()].sort(), told: [...told].sort() }) };
}

const put = (path: string, revision: number) => tablePut('query', path, '', revision);

it('A full table takes a new key from a set of changes that deletes another key after it', () => {
  const { table, paths } = smallTable();
  table.apply([put('a', 1), put('b', 2)]);
  table.apply([put('c', 4), tableDelete('query', 'a', 4)]);
  assert.deepEqual(paths(), { held: ['b', 'c'], told: ['b', 'c'] });
});

it('A key above a table’s limit takes effect when there is room, unless it was deleted', () => {
  const { table, paths } = smallTable();
  for (const [n, path] of ['a', 'b', 'gone', 'late'].entries()) table.apply([put(path, n + 1)]);
  assert.deepEqual(paths().held, ['a', 'b']);
  assert.equal([...table.revisions()].length, 4);
  table.apply([tableDelete('query', 'gone', 5)]);
  table.apply([tableDelete('query', 'a', 6)]);
  assert.deepEqual(paths(), { held: ['b', 'late'], told: ['b', 'late'] });
});

it('A key that is put and then deleted in one set of changes is absent', () => {
  const { table, paths } = smallTable();
  table.apply([put('a', 1), tableDelete('query', 'a', 2), put('b', 3)]);
  assert.deepEqual(paths(), { held: ['b'], told: ['b'] });
});

it('A chosen leader of a name with letters beyond ASCII takes effect', async () => {
  const store = createMemoryStore();
  const service = name('b\u00fccher.skydns.local');
  const instance = name('1.b\u00fccher.skydns.local');
  assert.equal((await chooseInstance(store, PREFIX, { name: service, instance })).kind, 'chosen');
  const { leader } = tablesOf(new Catalog({ prefix: PREFIX }));
  for await (const { entries } of store.snapshot('/skydns-leader/')) {
    leader.apply(entries.map((entry) => ({ kind: 'put', entry, previous: undefined })));
  }
  assert.deepEqual(leader.chosenLeader(service), instance);
  await store.close();
});

it('A query alias with letters beyond ASCII counts, and its other forms do not', () => {
  const refused: string[] = [];
  const onInvalid = (_: string, reason: string): void => void refused.push(reason);
  const { query } = tablesOf(new Catalog({ prefix: PREFIX }), onInvalid);
  for (const [revision, id] of ['b\u00fccher', 'B\u00fccher', 'b\\195\\188cher'].entries()) {
    query.apply([tablePut('query', id, { service: 'books' }, revision + 1)]);
  }
  assert.deepEqual([...query.ids()], [utf8Octets('b\u00fccher')]);
  assert.deepEqual(refused, Array(2).fill('the key is another form of /skydns-query/b\u00fccher'));
});
