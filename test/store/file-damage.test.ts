/** Stores with damaged files. Each is refused with one line before lmdb opens it, or works. None crashes a process. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { damageOf } from '../../src/store/file/check.ts';
import { openFileStore } from '../../src/store/file/fileStore.ts';
import type { LeaseStore } from '../../src/store/store.ts';
import { compileInto } from '../support/compiled.ts';
import { FakeClock } from '../support/fakeClock.ts';
import { newTempDir, removeDir, withTempDir } from '../support/tempDir.ts';

const PAGE = 4096;
const META_OCTETS = 168;
const skip = ['x64', 'arm64'].includes(process.arch) ? false : 'optional: other files elsewhere';

let dir: string;
let program: string;
/** The files of a store with 2,000 names (some with TTLs and leases), large values and free pages. */
let whole: Buffer;

before(async () => {
  dir = await newTempDir();
  const compiled = join(dir, 'compiled');
  mkdirSync(compiled);
  program = await compileInto(compiled, new URL('../support/damagedStore.ts', import.meta.url));
  const store = await openFileStore(join(dir, 'whole'));
  await fill(store);
  await store.close();
  whole = readFileSync(join(dir, 'whole', 'data.mdb'));
});
after(() => removeDir(dir));

const keyOf = (n: number): string => `/skydns/local/skydns/e${n % 7}/s${n}`;

async function fill(store: LeaseStore): Promise<void> {
  for (let n = 0; n < 2_000; n += 500) {
    const group = Array.from({ length: 500 }, (_, k) => n + k);
    const value = (k: number) => Buffer.from(`{"host":"10.0.0.${k % 250}","port":${k}}`);
    const options = (k: number) => (k % 5 === 0 ? { ttlSeconds: 5_000 } : {});
    await Promise.all(group.map((k) => store.put(keyOf(k), value(k), options(k))));
  }
  const { id } = await store.grantLease(600);
  for (let n = 0; n < 100; n++) await store.put(`/leased/${n}`, Buffer.from('x'), { lease: id });
  await store.put('/big/1', Buffer.alloc(300_000, 'z'));
  await store.put('/big/2', Buffer.alloc(9_000, 'y'));
  await store.put('/big/2', Buffer.alloc(5_000, 'y'));
  for (let n = 0; n < 500; n++) await store.delete(keyOf(n));
}

/** A reproducible sequence of pseudo-random numbers. */
function randomBy(seed: number): (below: number) => number {
  let state = seed * 2_654_435_761 + 1;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

type Damaging = (file: Buffer, random: (below: number) => number) => Buffer;

const somePage = (file: Buffer, random: (below: number) => number): Buffer => {
  const page = 2 + random(file.length / PAGE - 2);
  return file.subarray(page * PAGE, (page + 1) * PAGE);
};

const flip = (octets: Buffer, at: number, bit: number): void => {
  octets[at] = (octets[at] ?? 0) ^ (1 << bit);
};

const DAMAGES: Readonly<Record<string, Damaging>> = {
  'five pages of noise': (file, random) => {
    for (let n = 0; n < 5; n++) {
      const page = somePage(file, random);
      for (let at = 0; at < PAGE; at++) page[at] = random(256);
    }
    return file;
  },
  'five pages of zeros': (file, random) => {
    for (let n = 0; n < 5; n++) somePage(file, random).fill(0);
    return file;
  },
  'half a page of zeros': (file, random) => {
    somePage(file, random).fill(0, 512);
    return file;
  },
  'fifty flipped bits': (file, random) => {
    for (let n = 0; n < 50; n++) flip(file, 2 * PAGE + random(file.length - 2 * PAGE), random(8));
    return file;
  },
  'a flipped bit at the beginning of a page': (file, random) => {
    flip(somePage(file, random), random(200), random(8));
    return file;
  },
  'four flipped bits in the meta pages': (file, random) => {
    for (let n = 0; n < 4; n++) flip(file, PAGE * random(2) + random(META_OCTETS), random(8));
    return file;
  },
  'two pages in each other’s place': (file, random) => {
    const [a, b] = [somePage(file, random), somePage(file, random)];
    const kept = Buffer.from(a);
    b.copy(a);
    kept.copy(b);
    return file;
  },
  'a missing end': (file, random) => file.subarray(0, random(file.length)),
};

/** Opens the store in its own process, and reads and writes everywhere in it. */
async function use(folder: string, ...args: readonly string[]) {
  const child = spawn(process.execPath, [program, folder, ...args], { timeout: 60_000 });
  const [closed, stdout, stderr] = await Promise.all([
    once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>,
    text(child.stdout),
    text(child.stderr),
  ]);
  const [status, signal] = closed;
  return { status, signal, stdout, stderr };
}

const EACH = 6;

describe('damaged stores', { skip, concurrency: 2 }, () => {
  for (const [what, damaging] of Object.entries(DAMAGES)) {
    it(
      `A store with ${what} is refused in one line, or opens and works`,
      { timeout: 240_000 },
      () =>
        withTempDir(async (temp) => {
          let refused = 0;
          for (let seed = 0; seed < EACH; seed++) {
            const folder = join(temp, String(seed));
            mkdirSync(folder, { mode: 0o700 });
            const file = damaging(Buffer.from(whole), randomBy(seed));
            writeFileSync(join(folder, 'data.mdb'), file);
            const { status, signal, stdout, stderr } = await use(folder);
            const said = `${seed}: ${signal} ${stdout} ${stderr}`;
            assert.ok(status === 0 || status === 4, said);
            if (status === 0) continue;
            refused++;
            assert.match(
              stdout,
              /^file:\S+ cannot be opened: data\.mdb is (damaged: .+|not a database)\n$/,
              said,
            );
            const isOurs = !/not a database/.test(stdout);
            const repaired = await use(folder, 'repair');
            assert.equal(repaired.status, isOurs ? 0 : 4, `${seed}: ${repaired.stdout}`);
            const kept = readdirSync(folder).find((name) => name.startsWith('data.mdb.damaged-'));
            if (isOurs) assert.deepEqual(readFileSync(join(folder, kept ?? '')), file);
          }
          assert.ok(refused > 0, 'some of it was seen');
        }),
    );
  }
});

describe('undamaged stores', { skip }, () => {
  it('A store that was closed or killed opens as undamaged', () =>
    withTempDir(async (temp) => {
      assert.equal(await damageOf(join(dir, 'whole', 'data.mdb')), undefined);
      for (let n = 0; n < 5; n++) {
        const { status, signal } = await use(temp, 'die');
        assert.deepEqual([status, signal], [null, 'SIGKILL']);
        assert.equal(await damageOf(join(temp, 'data.mdb')), undefined);
      }
    }));

  it('A missing or empty file opens as a new store', () =>
    withTempDir(async (temp) => {
      const path = join(temp, 'data.mdb');
      assert.equal(await damageOf(path), undefined);
      writeFileSync(path, '');
      assert.equal(await damageOf(path), undefined);
    }));
});

describe('repaired stores', { skip }, () => {
  it('A repair keeps every entry outside the damaged page with its TTL and lease, in a new history', () =>
    withTempDir(async (temp) => {
      const path = join(temp, 'data.mdb');
      copyFileSync(join(dir, 'whole', 'data.mdb'), path);
      const before = await contentOf(await openFileStore(temp));
      const file = readFileSync(path);
      file.fill(0, pageOf(file, keyOf(1_000)) * PAGE + 30, pageOf(file, keyOf(1_000)) * PAGE + 90);
      writeFileSync(path, file);
      const told: string[] = [];
      const onWarning = (line: string) => void told.push(line);
      const store = await openFileStore(temp, { repair: true, onWarning });
      const now = await contentOf(store, false);
      assert.match(
        told.join(),
        /^data\.mdb was damaged \(page \d+ .*\): moved to .*; \d+ keys recovered$/,
      );
      const lost = [...before.entries.keys()].filter((key) => !now.entries.has(key));
      assert.ok(lost.length > 0 && lost.length < 100, `${lost.length} keys are lost`);
      for (const [key, entry] of now.entries) assert.equal(entry, before.entries.get(key), key);
      assert.notEqual(now.history, before.history);
      assert.ok(now.revision >= before.revision);
      await store.deleteTree('/leased/');
      await store.put(keyOf(1), Buffer.from('again'));
      await store.close();
      assert.equal(await damageOf(path), undefined);
    }));

  it('A repair does not prolong TTLs and leases', () =>
    withTempDir(async (temp) => {
      const clock = new FakeClock();
      const store = await openFileStore(temp, { clock });
      const { id } = await store.grantLease(100);
      await store.put('/ttl', Buffer.from('x'), { ttlSeconds: 100 });
      await store.put('/lease', Buffer.from('x'), { lease: id });
      for (let n = 0; n < 500; n++) await store.put(`/plain/${n}`, Buffer.alloc(100));
      await store.close();
      const path = join(temp, 'data.mdb');
      const file = readFileSync(path);
      file.fill(0, pageOf(file, '/plain/300') * PAGE, (pageOf(file, '/plain/300') + 1) * PAGE);
      writeFileSync(path, file);
      clock.jumpWall(60_000);
      const repaired = await openFileStore(temp, { clock, repair: true });
      assert.notEqual((await repaired.get('/ttl')).entry, undefined);
      assert.notEqual((await repaired.get('/lease')).entry, undefined);
      await clock.advance(41_000);
      assert.equal((await repaired.get('/ttl')).entry, undefined);
      assert.equal((await repaired.get('/lease')).entry, undefined);
      await repaired.close();
    }));
});

describe('repair', { skip }, () => {
  /** A copy of the whole store without one page. */
  function damagedIn(folder: string): Buffer {
    mkdirSync(folder, { mode: 0o700 });
    const file = Buffer.from(whole);
    const page = pageOf(file, keyOf(1_000));
    file.fill(0, page * PAGE, (page + 1) * PAGE);
    writeFileSync(join(folder, 'data.mdb'), file);
    return file;
  }

  async function keysOf(folder: string): Promise<number> {
    const { entries } = await contentOf(await openFileStore(folder));
    return entries.size;
  }

  it('A killed repair leaves the damaged file or the repaired one', () =>
    withTempDir(async (temp) => {
      damagedIn(join(temp, 'done'));
      assert.equal((await use(join(temp, 'done'), 'repair-only')).status, 0);
      const keys = await keysOf(join(temp, 'done'));
      let killed = 0;
      for (let n = 0; n < 12; n++) {
        const folder = join(temp, String(n));
        damagedIn(folder);
        const { signal } = await use(folder, 'repair-only', String(n * 6));
        if (signal === 'SIGKILL') killed++;
        if ((await damageOf(join(folder, 'data.mdb'))) !== undefined) {
          assert.equal((await use(folder, 'repair-only')).status, 0);
        }
        assert.equal(await keysOf(folder), keys, `${n}`);
        assert.deepEqual(
          readdirSync(folder).filter((name) => name === 'repair'),
          [],
        );
      }
      assert.ok(killed > 3, `${killed} were killed`);
    }));

  it('One of two concurrent repairs is done, and the other opens the store or reports that it is in use', () =>
    withTempDir(async (temp) => {
      for (let n = 0; n < 5; n++) {
        const folder = join(temp, String(n));
        damagedIn(folder);
        const both = [0, 1].map(() => {
          const child = spawn(process.execPath, [program, folder, 'repair'], { stdio: 'ignore' });
          return once(child, 'exit');
        });
        const codes = (await Promise.all(both)).map(([code]) => code);
        assert.ok(codes.includes(0), `${codes}`);
        assert.ok(
          codes.every((code) => code === 0 || code === 5),
          `${codes}`,
        );
        const aside = readdirSync(folder).filter((name) => name.includes('damaged'));
        assert.equal(aside.length, 1, `${aside}`);
        assert.equal(await damageOf(join(folder, 'data.mdb')), undefined);
      }
    }));
});

/** The page of a tree that has this key, of the newest transaction. */
function pageOf(file: Buffer, key: string): number {
  let found = 0;
  let newest = -1;
  for (let page = 2; page < file.length / PAGE; page++) {
    const octets = file.subarray(page * PAGE, (page + 1) * PAGE);
    const isLeaf = octets.readUInt32LE(0) === page && octets.readUInt16LE(18) === 2;
    const isHere = octets.includes(key) && !octets.includes('deadlines');
    if (!isLeaf || !isHere) continue;
    if (octets.readUInt32LE(8) <= newest) continue;
    newest = octets.readUInt32LE(8);
    found = page;
  }
  assert.ok(found > 0, `${key} is on a page`);
  return found;
}

async function contentOf(store: LeaseStore, closes = true) {
  const entries = new Map<string, string>();
  let history = '';
  let revision = 0;
  for await (const page of store.snapshot('/')) {
    ({ history, revision } = page);
    for (const { key, value, modRevision, lease } of page.entries) {
      const digest = `${Buffer.from(value).toString('base64').slice(0, 100)} ${modRevision}`;
      entries.set(key, `${digest} ${lease?.ttlSeconds ?? ''}`);
    }
  }
  if (closes) await store.close();
  return { entries, history, revision };
}
