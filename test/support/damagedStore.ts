/**
 * Opens the file store in argv[2] and reads and writes everywhere in it. With `repair` as argv[3] it repairs the store.
 * With `die` it kills itself while it writes. With `repair-only` it repairs and closes the store, and kills itself
 * argv[4] ms after the modules were loaded. On an error of the store it prints the reason on stdout and exits with 4 if
 * the store is damaged or not a database, else with 5.
 */
import { openFileStore } from '../../src/store/file/fileStore.ts';
import { StoreError } from '../../src/store/store.ts';

const [, , dir = '', how = '', killAfterMs] = process.argv;

if (killAfterMs !== undefined) {
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), Number(killAfterMs));
}

try {
  const store = await openFileStore(dir, { repair: how.startsWith('repair') });
  const read = async () => {
    let keys = 0;
    for await (const { entries } of store.snapshot('/')) keys += entries.length;
    return keys;
  };
  await read();
  if (how === 'repair-only') {
    await store.close();
    process.exit();
  }
  if (how === 'die') setTimeout(() => process.kill(process.pid, 'SIGKILL'), 100);
  for (let round = 0; round < (how === 'die' ? 1_000 : 2); round++) {
    const size = (n: number) => (n % 20 === 0 ? 20_000 : 100);
    for (let n = 0; n < 200; n++) await store.put(`/new/${n}`, Buffer.alloc(size(n), 'n'));
    for (let n = 600; n < 900; n++) await store.delete(`/skydns/local/skydns/e${n % 7}/s${n}`);
    await store.deleteTree('/big/');
    await store.deleteTree('/new/');
  }
  await read();
  await store.close();
} catch (error) {
  if (!(error instanceof StoreError)) throw error;
  console.log(error.message);
  process.exitCode = /is (damaged|not a database)/.test(error.message) ? 4 : 5;
}
