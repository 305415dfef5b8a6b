/**
 * Tests which names `--store-repair` recovers from a data.mdb whose pages with names are intact and whose pages that
 * lead to them are not.
 */
import assert from 'node:assert/strict';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { damageOf } from '../../src/store/file/check.ts';
import { openFileStore } from '../../src/store/file/fileStore.ts';
import { type LeafNode, readTreePage } from '../../src/store/file/format.ts';
import { unpackState } from '../../src/store/file/rowCodec.ts';
import { type LeaseStore, StoreError } from '../../src/store/store.ts';
import { newTempDir, removeDir, withTempDir } from '../support/tempDir.ts';

const PAGE = 4096;
const META = { transactionAt: 24 + 128, sizeAt: 24 + 16 };
const KIND_AT = 18;
const BRANCH = 1;
const OVERFLOW = 4;
const skip = ['x64', 'arm64'].includes(process.arch) ? false : 'optional: other files elsewhere';

let dir: string;
let whole: Buffer;
const ending = new Set<string>();
let names: ReadonlyMap<string, string>;
/** The page of each name. */
let pages: ReadonlyMap<string, number>;

before(async () => {
  dir = await newTempDir();
  const store = await openFileStore(join(dir, 'whole'));
  const put = (n: number, port: number, ttl = {}) =>
    store.put(`/skydns/local/e${n % 7}/s${n}`, Buffer.from(`{"port":${port}}`.padEnd(60)), ttl);
  for (let n = 0; n < 3_000; n += 250) {
    await Promise.all(Array.from({ length: 250 }, (_, k) => put(n + k, 1)));
  }
  for (let n = 0; n < 3_000; n += 3) await store.delete(`/skydns/local/e${n % 7}/s${n}`);
  for (let n = 1; n < 3_000; n += 30) await put(n, 2);
  for (let n = 2; n < 300; n += 30) {
    await put(n, 3, { ttlSeconds: 5_000 });
    ending.add(`/skydns/local/e${n % 7}/s${n}`);
  }
  await store.put('/big', Buffer.alloc(20_000, 'x'));
  names = await namesOf(store);
  whole = readFileSync(join(dir, 'whole', 'data.mdb'));
  pages = pagesOf(whole);
});
after(() => removeDir(dir));

async function namesOf(store: LeaseStore): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for await (const { entries } of store.snapshot('/')) {
    for (const { key, value, modRevision } of entries) {
      found.set(key, `${modRevision} ${Buffer.from(value).toString('base64')}`);
    }
  }
  await store.close();
  return found;
}

const pageAt = (file: Buffer, page: number): Buffer =>
  file.subarray(page * PAGE, (page + 1) * PAGE);

function pagesOf(file: Buffer): Map<string, number> {
  const found = new Map<string, number>();
  const transactionOf = (page: number) => pageAt(file, page).readUInt32LE(8);
  for (let page = 2; page < file.length / PAGE; page++) {
    for (const { key } of nodesOf(file, page)) {
      const other = found.get(key.toString());
      if (other === undefined || transactionOf(other) < transactionOf(page)) {
        found.set(key.toString(), page);
      }
    }
  }
  return found;
}

/** Empty if the page is not a leaf of a tree. */
function nodesOf(file: Buffer, page: number): readonly LeafNode[] {
  try {
    const read = readTreePage(pageAt(file, page), page, Number.MAX_SAFE_INTEGER);
    return read.kind === 'leaf' ? read.nodes : [];
  } catch {
    return [];
  }
}

const hasKey = (file: Buffer, page: number, wanted: string): boolean =>
  nodesOf(file, page).some(({ key }) => key.toString('latin1') === wanted);

/** The revision of the store's state on a page. */
function revisionOn(file: Buffer, page: number): number | undefined {
  const state = nodesOf(file, page).find(({ key }) => key.toString() === 'state');
  return unpackState(state?.data)?.revision;
}

const newestRevision = (): number =>
  Math.max(...[...names.values()].map((text) => Number(text.split(' ')[0])));

/** Zeroes every page for which `isLost` is true, outdated copies included. */
function without(isLost: (file: Buffer, page: number) => boolean): Buffer {
  const file = Buffer.from(whole);
  let lost = 0;
  for (let page = 2; page < file.length / PAGE; page++) {
    if (!isLost(whole, page)) continue;
    pageAt(file, page).fill(0);
    lost++;
  }
  assert.ok(lost > 0, 'some page is lost');
  return file;
}

const isBranch = (file: Buffer, page: number): boolean =>
  pageAt(file, page).readUInt16LE(KIND_AT) === BRANCH;
const isMain = (file: Buffer, page: number): boolean => hasKey(file, page, 'rows\0');

/** Repairs a store with this file, checks the warning, and returns the recovered names. */
async function repaired(file: Buffer): Promise<Map<string, string>> {
  return withTempDir(async (temp) => {
    writeFileSync(join(temp, 'data.mdb'), file);
    const told: string[] = [];
    const store = await openFileStore(temp, {
      repair: true,
      onWarning: (line) => void told.push(line),
    });
    await store.close();
    assert.equal(await damageOf(join(temp, 'data.mdb')), undefined);
    const found = await namesOf(await openFileStore(temp));
    assert.match(told.join('\n'), new RegExp(`^data\\.mdb was .*; ${found.size} keys recovered$`));
    return found;
  });
}

function assertNothingElse(found: ReadonlyMap<string, string>): void {
  for (const [key, value] of found) assert.equal(value, names.get(key), key);
}

describe('repair', { skip }, () => {
  for (const share of [0.999, 0.99, 0.985, 0.95, 0.9, 0.7, 0.5, 0.3, 0.1]) {
    it(`A repair keeps every name whose page is in the first ${share * 100} % of the file`, async () => {
      const file = whole.subarray(0, Math.floor(whole.length * share));
      const found = await repaired(file);
      const wholePages = Math.floor(file.length / PAGE);
      const readable = [...names.keys()].filter((key) => (pages.get(key) ?? 0) < wholePages);
      assert.ok(readable.length > names.size * share * 0.3, `${readable.length} of ${names.size}`);
      // Without the store's time a repair cannot say when a name with a TTL ends.
      const hasTime = Array.from({ length: wholePages }, (_, page) => page).some((page) =>
        hasKey(file, page, 'state'),
      );
      const mustBeThere = readable.filter((key) => key !== '/big' && (hasTime || !ending.has(key)));
      assert.deepEqual(
        mustBeThere.filter((key) => found.get(key) !== names.get(key)),
        [],
      );
    });
  }

  it('A repair keeps every name and no deleted one when all branch pages are lost', async () => {
    assert.deepEqual(await repaired(without(isBranch)), names);
  });

  it('A repair keeps every name when no page has the roots of the trees', async () => {
    assert.deepEqual(await repaired(without(isMain)), names);
  });

  it('A repair keeps every name when branch pages and roots are lost', async () => {
    const isLost = (file: Buffer, page: number) => isBranch(file, page) || isMain(file, page);
    assert.deepEqual(await repaired(without(isLost)), names);
  });

  for (const [what, from, octets] of [
    ['magic number', 24, 4],
    ['content', 0, PAGE],
  ] as const) {
    for (const number of [0, 1]) {
      it(`A store whose page ${number} has lost its ${what} is damaged, and a repair keeps its names`, async () => {
        const file = Buffer.from(whole);
        pageAt(file, number).fill(0, from, from + octets);
        await withTempDir(async (temp) => {
          writeFileSync(join(temp, 'data.mdb'), file);
          await assert.rejects(openFileStore(temp), /data\.mdb is damaged: page/);
        });
        // The other page may be that of the transaction before, whose names are fewer by one.
        const found = await repaired(file);
        assertNothingElse(found);
        assert.ok(found.size >= names.size - 1, `${found.size} of ${names.size}`);
      });
    }
  }

  it('A repaired store is usable when only an earlier state than that of its names is left', async () => {
    const revisions = new Set<number>();
    const file = without((of, page) => {
      const revision = revisionOn(of, page);
      if (revision !== undefined) revisions.add(revision);
      return revision !== undefined && revision >= newestRevision();
    });
    assert.ok(revisions.size > 1, 'an earlier state is left');
    assert.deepEqual(await repaired(file), names);
  });

  it('A repair keeps the latest value of every name when both meta pages are unreadable', async () => {
    const file = Buffer.from(whole);
    for (const page of [0, 1]) pageAt(file, page).fill(0xff, META.sizeAt, META.sizeAt + 8);
    const found = await repaired(file);
    for (const [key, value] of names) assert.equal(found.get(key), value, key);
    const deleted = [...found.keys()].filter((key) => !names.has(key));
    assert.ok(deleted.length < names.size / 20, `${deleted.length} deleted names are back`);
  });

  it('A repair makes no names from a value that looks like a page', async () => {
    const file = without((page, number) => isBranch(page, number) || isMain(page, number));
    const head = Array.from({ length: file.length / PAGE }, (_, page) => page).findLast(
      (page) => page > 1 && pageAt(file, page).readUInt16LE(KIND_AT) === OVERFLOW,
    );
    assert.ok(head !== undefined);
    const leaf = pages.get('/skydns/local/e1/s1');
    assert.ok(leaf !== undefined);
    const forged = Buffer.from(pageAt(file, leaf));
    for (let at = forged.indexOf('/local/'); at >= 0; at = forged.indexOf('/local/')) {
      forged.write('/other/', at);
    }
    const newest = [0, 1].map((page) => pageAt(file, page).readUInt32LE(META.transactionAt));
    forged.writeUInt32LE(Math.max(...newest), 8);
    forged.writeUInt32LE(head + 1, 0);
    forged.copy(pageAt(file, head + 1));
    assert.ok(nodesOf(file, head + 1).length > 0, 'it looks like a page');
    const found = await repaired(file);
    assert.ok(found.has('/big'), 'the value is read');
    found.set('/big', names.get('/big') ?? '');
    assertNothingElse(found);
    assert.equal(found.size, names.size);
  });
});

describe('an empty data.mdb', { skip }, () => {
  const folderWith = (temp: string, name: string, lock: Buffer | undefined): string => {
    const folder = join(temp, name);
    mkdirSync(folder, { mode: 0o700 });
    closeSync(openSync(join(folder, 'data.mdb'), 'w'));
    if (lock !== undefined) writeFileSync(join(folder, 'lock.mdb'), lock);
    return folder;
  };

  it('An empty data.mdb is refused if lock.mdb counts transactions, and a repair moves it away', () =>
    withTempDir(async (temp) => {
      const lock = readFileSync(join(dir, 'whole', 'lock.mdb'));
      const folder = folderWith(temp, 'used', lock);
      await assert.rejects(openFileStore(folder), (error) => {
        assert.ok(error instanceof StoreError);
        assert.match(error.message, /data\.mdb is damaged: it is empty, but lock\.mdb counts/);
        return true;
      });
      const told: string[] = [];
      const onWarning = (line: string) => void told.push(line);
      const store = await openFileStore(folder, { repair: true, onWarning });
      assert.match(told.join('\n'), /^data\.mdb was damaged \(it is empty, .*; 0 keys recovered$/);
      await store.close();
      await (await openFileStore(folder)).close();
    }));

  it('An empty data.mdb opens as a new store if no transaction has been written', () =>
    withTempDir(async (temp) => {
      const lock = Buffer.from(readFileSync(join(dir, 'whole', 'lock.mdb')));
      lock.fill(0, 8, 16);
      for (const [name, of] of [['alone', undefined] as const, ['locked', lock] as const]) {
        await (await openFileStore(folderWith(temp, name, of))).close();
      }
    }));
});
