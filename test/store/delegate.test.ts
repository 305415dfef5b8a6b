import assert from 'node:assert/strict';
import { test } from 'node:test';
import { delegateStore } from '../../src/store/delegate.ts';
import { createMemoryStore } from '../../src/store/embedded/memoryStore.ts';
import type { LeaseStore } from '../../src/store/store.ts';

test('A delegating store reports why the store behind it accepts no writes', async (t) => {
  const store: LeaseStore = createMemoryStore();
  t.after(() => store.close());
  store.writeTrouble = () => 'the disk is full';
  assert.equal(delegateStore(store, {}).writeTrouble?.(), 'the disk is full');
});

test('A delegating store accepts writes if the store behind it does', async (t) => {
  const store = createMemoryStore();
  t.after(() => store.close());
  assert.equal(delegateStore(store, {}).writeTrouble?.(), undefined);
});
