import assert from 'node:assert/strict';
import { createMemoryStore } from '../../src/store/memory.ts';
import type { Store } from '../../src/store/store.ts';
import { storeContract } from './contract.ts';

const history = { changes: 4000, octets: 1e8 };
let opened: Store | undefined;

storeContract(
  'memory:',
  async () => {
    const store = createMemoryStore({ history });
    opened = store;
    return { store, close: () => store.close() };
  },
  {
    async canCompact() {
      const store = opened;
      assert.ok(store !== undefined);
      for (let i = 0; i <= history.changes; i++) await store.put('/filler', new Uint8Array(0));
    },
  },
);
