/**
 * A process that puts 300 values of 3 kB into a file store while its disk (or `ulimit -f`) refuses some of them,
 * deletes them and puts another value: `storeFiller.ts DIR`. It prints the results as JSON.
 */
import { openFileStore } from '../../src/store/file/fileStore.ts';
import { StoreError } from '../../src/store/store.ts';

const [dir = ''] = process.argv.slice(2);
const store = await openFileStore(dir);
const codes = new Set<string>();
let stored = 0;
for (let i = 0; i < 300; i++) {
  try {
    await store.put(`/${i}`, new Uint8Array(3000), { ttlSeconds: 1000 });
    stored++;
  } catch (error) {
    codes.add(error instanceof StoreError ? error.code : String(error));
  }
}
const { revision } = await store.get('/0');
const { deleted } = await store.deleteTree('/');
const after = await store.put('/after', new Uint8Array(3000));
await store.close();
console.log(JSON.stringify({ stored, revision, deleted, codes: [...codes], after: after.done }));
