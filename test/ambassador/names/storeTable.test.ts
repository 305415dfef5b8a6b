/** What the store's tables take from their keys. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { chooseInstance } from '../../../src/ambassador/names/chooseInstance.ts';
import { utf8Octets } from '../../../src/dns/name.ts';
import { createMemoryStore } from '../../../src/store/embedded/memoryStore.ts';
import { Catalog } from '../../../src/zone/tree/catalog.ts';
import { tablePut, tablesOf } from '../../support/nameTables.ts';
import { name } from '../../support/zone.ts';

const PREFIX = '/skydns/';

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
