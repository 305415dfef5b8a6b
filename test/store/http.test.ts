import assert from 'node:assert/strict';
import { openHttpStore } from '../../src/store/http.ts';
import { createMemoryStore } from '../../src/store/memory.ts';
import type { Store } from '../../src/store/store.ts';
import { startHttp } from '../support/http.ts';
import { storeContract } from './contract.ts';

const history = { changes: 4000, octets: 1e8 };
let behind: Store | undefined;

storeContract(
  'http://',
  async () => {
    behind = createMemoryStore({ history });
    const server = await startHttp({ store: behind, token: 'secret' });
    const store = openHttpStore({ url: server.url, token: 'secret' });
    return {
      store,
      close: async () => {
        await store.close();
        await server.stop();
      },
    };
  },
  {
    async canCompact() {
      assert.ok(behind !== undefined);
      for (let i = 0; i <= history.changes; i++) await behind.put('/filler', new Uint8Array(0));
    },
  },
);
