/**
 * A process that writes to a file store until it is killed: `storeWriter.ts DIR RUN`. It prints `open` when the store
 * is open, and then one line for each acknowledged write: key, modRevision, run, count.
 *
 * Eight loops write at once, each to ten keys of its own. A value is its key, the run and a count, repeated to fill up
 * to 3 kB, so that a torn value is noticed.
 */
import { writeSync } from 'node:fs';
import { openFileStore } from '../../src/store/file/fileStore.ts';

const LANES = 8;
const KEYS_PER_LANE = 10;

const [dir = '', run = ''] = process.argv.slice(2);
const store = await openFileStore(dir);
writeSync(1, 'open\n');
await Promise.all(Array.from({ length: LANES }, (_, lane) => writeForEver(lane)));

async function writeForEver(lane: number): Promise<void> {
  for (let count = 0; ; count++) {
    const key = `/lane/${lane}/${count % KEYS_PER_LANE}`;
    const unit = `${key} ${run} ${count};`;
    const value = Buffer.from(unit.repeat(1 + ((count * 13) % 100)));
    const result = await store.put(key, value);
    if (result.done) writeSync(1, `${key} ${result.entry.modRevision} ${run} ${count}\n`);
  }
}
