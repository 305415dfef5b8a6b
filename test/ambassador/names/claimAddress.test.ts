import assert from 'node:assert/strict';
import test from 'node:test';
import { standingAddresses, storedAddresses } from '../../../src/ambassador/names/claimAddress.ts';
import { createMemoryStore } from '../../../src/store/embedded/memoryStore.ts';
import { name } from '../../support/zone.ts';

const PREFIX = '/skydns-vip/';

test('The standing addresses of all names are found in one pass over the stored ones', async (context) => {
  const store = createMemoryStore({ revision: 1 });
  context.after(() => store.close());
  // The keys are listed in another order than that in which they were created.
  for (const [address, text] of [
    ['198.18.0.9', 'db.skydns.local'],
    ['198.18.0.1', 'DB.skydns.local'],
    ['198.18.0.2', 'web.skydns.local'],
    ['fd00::2', 'db.skydns.local'],
  ])
    await store.put(`${PREFIX}${address}`, Buffer.from(JSON.stringify({ name: text })));
  await store.put(`${PREFIX}198.18.0.3`, Buffer.from('no JSON'));
  const stored = await storedAddresses(store, PREFIX);
  assert.equal(stored.length, 5);
  let read = 0;
  const counted = function* () {
    for (const row of stored) {
      read++;
      yield row;
    }
  };
  const standingOf = standingAddresses(counted());
  const found = ([4, 6] as const).flatMap((family) =>
    ['db', 'web', 'mail'].map(
      (label) => standingOf(name(`${label}.skydns.local`), family)?.address,
    ),
  );
  assert.deepEqual(found, [
    ...['198.18.0.9', '198.18.0.2', undefined],
    ...['fd00::2', undefined, undefined],
  ]);
  assert.equal(read, stored.length);
});
