/** When a running server reads its DNSSEC keys again, and what it does with those that it cannot use. */
import assert from 'node:assert/strict';
import { readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { Dnssec, type DnssecOptions } from '../../src/app/answering/dnssec.ts';
import { readConfig } from '../../src/config/config.ts';
import type { Log } from '../../src/observability/log.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';
import { lacking, makeKeys } from '../support/validators.ts';

const ZONE = ['skydns', 'local'];

interface Scene {
  readonly dnssec: Dnssec;
  readonly errors: readonly string[];
  /** Looks at the files, as after a reload. */
  look(): void;
  /** The tags of the zone's keys. */
  tags(): readonly number[];
}

/** A server's keys, from the path. `onWarning` is called in the midst of reading. The clock is `later` seconds ahead. */
function sceneFor(
  t: TestContext,
  path: string,
  onWarning = (): void => {},
  later = (): number => 0,
): Scene {
  const read = readConfig({
    flags: { store: 'memory:', dnssec: path },
    env: {},
    readFile: () => ({ problem: 'ENOENT' }),
    stateDirectory: '/nonexistent',
  });
  assert.ok(read.kind === 'config');
  const errors: string[] = [];
  const write = (): void => {};
  const log: Log = {
    ...{ debug: write, info: write, warn: onWarning, close: write, setLevel: write },
    error: (_, line) => void errors.push(line),
  };
  let look = (): void => {};
  const onChanged = (listener: () => void): void => {
    look = listener;
  };
  const liveConfig = { config: read.config, onChanged } as unknown as DnssecOptions['liveConfig'];
  const dnssec = new Dnssec({
    ...{ liveConfig, log },
    unixSeconds: () => Math.floor(Date.now() / 1000) + later(),
    monotonicMs: () => performance.now(),
    onError: (error) => assert.fail(String(error)),
  });
  t.after(() => dnssec.close());
  const tags = () => dnssec.keysOf(ZONE)?.published.map(({ tag }) => tag) ?? [];
  return { dnssec, errors, look: () => look(), tags };
}

async function folderFor(t: TestContext): Promise<string> {
  const folder = await newTempDir();
  t.after(() => removeDir(folder));
  return folder;
}

describe('the files of DNSSEC keys', { skip: lacking('dnssec-keygen') }, () => {
  const replacements: readonly [string, (path: string) => void][] = [
    ['a file', (path) => writeFileSync(path, '')],
    ['a link to itself', (path) => symlinkSync(path, path)],
    ['nothing', () => {}],
  ];
  for (const [what, replace] of replacements)
    it(`A folder of keys that ${what} replaces changes nothing, and is logged once`, async (t) => {
      const path = join(await folderFor(t), 'keys');
      makeKeys(path, 'skydns.local');
      const { errors, look, tags } = sceneFor(t, path);
      const before = tags();
      assert.equal(before.length, 2);
      renameSync(path, `${path}.old`);
      replace(path);
      for (let i = 0; i < 3; i++) look();
      assert.equal(errors.length, 1, errors.join('\n'));
      assert.match(errors[0] ?? '', /^--dnssec: .*; keeping the previous keys$/);
      assert.deepEqual(tags(), before);
      rmSync(path, { force: true });
      renameSync(`${path}.old`, path);
      look();
      assert.equal(errors.length, 1);
    });

  it('The base name of a key in what is a file now changes nothing, and does not throw', async (t) => {
    const path = join(await folderFor(t), 'keys');
    makeKeys(path, 'skydns.local', [['-f', 'KSK']]);
    const [file = ''] = readdirSync(path);
    const { errors, look, tags } = sceneFor(t, join(path, file.replace(/\.key$|\.private$/, '')));
    renameSync(path, `${path}.old`);
    writeFileSync(path, '');
    for (let i = 0; i < 3; i++) look();
    assert.equal(errors.length, 1);
    assert.match(errors[0] ?? '', /ENOTDIR/);
    assert.equal(tags().length, 1);
  });

  it('Without an active key a domain is unsigned and not ready, until a reload brings one', async (t) => {
    const path = join(await folderFor(t), 'keys');
    makeKeys(path, 'skydns.local', [['-f', 'KSK', '-P', 'now', '-A', '+30d']]);
    const { dnssec, errors, look, tags } = sceneFor(t, path);
    assert.equal(dnssec.isSigned(ZONE), false);
    assert.deepEqual(dnssec.readiness(), ['dnssec: no key of skydns.local. is active']);
    assert.deepEqual(errors, ['no key is active: answers are not signed']);
    assert.equal(tags().length, 1);
    makeKeys(path, 'skydns.local', [['-f', 'KSK']]);
    look();
    assert.deepEqual([dnssec.isSigned(ZONE), dnssec.readiness(), tags().length], [true, [], 2]);
  });

  it('A file beside a key asks the parent to remove the DS, and one without a date is not taken', async (t) => {
    const path = join(await folderFor(t), 'keys');
    makeKeys(path, 'skydns.local', [['-f', 'KSK']]);
    const file = join(path, `${readdirSync(path)[0]?.replace(/\.\w+$/, '')}.unsign`);
    const { dnssec, errors, look } = sceneFor(t, path);
    const isUnsigning = () => dnssec.keysOf(ZONE)?.isUnsigning;
    assert.equal(isUnsigning(), false);
    writeFileSync(file, '20260101000000\n');
    look();
    assert.equal(isUnsigning(), true);
    assert.equal(sceneFor(t, path).dnssec.keysOf(ZONE)?.isUnsigning, true, 'after a restart');
    writeFileSync(file, 'now');
    look();
    assert.match(errors[0] ?? '', /the \.unsign file has no date; keeping/);
    assert.equal(isUnsigning(), true);
    rmSync(file);
    look();
    assert.equal(isUnsigning(), false);
  });

  it('Within a minute, and without a question, dates that have come and new files count', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] });
    const path = join(await folderFor(t), 'keys');
    makeKeys(path, 'skydns.local', [
      ['-f', 'KSK', '-I', '+1d', '-D', '+1d'],
      ['-f', 'KSK', '-A', '+1d'],
    ]);
    let later = 0;
    const { dnssec } = sceneFor(t, path, undefined, () => later);
    let announced = 0;
    dnssec.onChanged(() => announced++);
    const signing = () => dnssec.keysOf(ZONE)?.zoneSigning.map(({ tag }) => tag) ?? [];
    const [before] = signing();
    t.mock.timers.tick(60_000);
    await Promise.resolve();
    assert.equal(announced, 0);
    later = 86_401;
    t.mock.timers.tick(60_000);
    await Promise.resolve();
    assert.equal(announced, 1);
    assert.equal(signing().length, 1);
    assert.notEqual(signing()[0], before);
    makeKeys(path, 'skydns.local', [['-f', 'KSK']]);
    t.mock.timers.tick(60_000);
    await Promise.resolve();
    assert.deepEqual([announced, signing().length], [2, 2]);
  });

  it('A key that comes while the files are read is found the next time', async (t) => {
    const path = join(await folderFor(t), 'keys');
    // The server warns of this algorithm once it has read the files.
    makeKeys(path, 'skydns.local', [['-f', 'KSK']], 'RSASHA256');
    let isFirst = true;
    const { look, tags } = sceneFor(t, path, () => {
      if (isFirst) makeKeys(path, 'skydns.local', [['-f', 'KSK']], 'RSASHA256');
      isFirst = false;
    });
    assert.equal(tags().length, 1);
    look();
    assert.equal(tags().length, 2);
  });
});
