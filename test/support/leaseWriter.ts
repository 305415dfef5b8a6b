/**
 * A process that holds a lease of a file store until it is killed: `leaseWriter.ts DIR`. It puts `/a` and `/b` on a
 * lease of 600 s, renews the lease 1.5 s later, and then prints one line: the lease's id and the wall clock before the
 * renewal.
 */
import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { openFileStore } from '../../src/store/file/fileStore.ts';

const [dir = ''] = process.argv.slice(2);
const store = await openFileStore(dir);
const { id } = await store.grantLease(600);
for (const key of ['/a', '/b']) await store.put(key, Buffer.from('x'), { lease: id });
await sleep(1500);
const renewedAtMs = Date.now();
if (!(await store.renewLease(id))) throw new Error('the lease is gone');
writeSync(1, `${id} ${renewedAtMs}\n`);
await sleep(60_000);
