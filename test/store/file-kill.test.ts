/**
 * A file store's process is killed (SIGKILL) at random moments while it writes, repeatedly over the same directories.
 * After each kill no acknowledged write may be missing, no value torn, and no revision lower than before. SORADNS_KILLS
 * sets the number of kills.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { it } from 'node:test';
import type { Entry } from '../../src/service/change.ts';
import { openFileStore } from '../../src/store/file/fileStore.ts';
import { compileInto } from '../support/compiled.ts';
import { withTempDir } from '../support/tempDir.ts';

const KILLS = Number(process.env.SORADNS_KILLS ?? 200);
const SIDES = 2;
const LONGEST_WRITING_MS = 60;
const WRITER = new URL('../support/storeWriter.ts', import.meta.url);

/** The last acknowledged write of each key. */
type Acknowledged = Map<string, { readonly modRevision: number; readonly write: string }>;

it(`A file: store loses no acknowledged write in ${KILLS} kills`, { timeout: 600_000 }, () =>
  withTempDir(async (parent) => {
    const program = join(parent, 'program');
    await mkdir(program);
    const writer = await compileInto(program, WRITER);
    const sides = Array.from({ length: SIDES }, (_, side) =>
      killAgainAndAgain(writer, join(parent, `${side}`), Math.ceil(KILLS / SIDES)),
    );
    // Both processes end before their directories are deleted.
    for (const side of await Promise.allSettled(sides)) {
      if (side.status === 'rejected') throw side.reason;
      assert.ok(side.value > KILLS / SIDES, `only ${side.value} writes were acknowledged`);
    }
  }),
);

/** Returns the number of acknowledged writes. */
async function killAgainAndAgain(writer: string, dir: string, kills: number): Promise<number> {
  const last: Acknowledged = new Map();
  let count = 0;
  for (let run = 0; run < kills; run++) {
    const lines = await writeUntilKilled(writer, dir, run);
    for (const line of lines) acknowledge(last, line);
    count += lines.length;
    await verify(dir, last);
  }
  return count;
}

/** The writer's lines about acknowledged writes. */
async function writeUntilKilled(writer: string, dir: string, run: number): Promise<string[]> {
  const child = spawn(process.execPath, [writer, dir, `${run}`], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const opened = new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk) => {
      output += chunk;
      resolve();
    });
  });
  const closed = once(child, 'close');
  await Promise.race([opened, closed]);
  await killAfter(child, randomInt(LONGEST_WRITING_MS));
  const [, signal] = await closed;
  assert.equal(signal, 'SIGKILL', errors);
  // The last line may be cut; it does not count.
  return output.split('\n').slice(1, -1);
}

async function killAfter(child: ChildProcess, ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
  child.kill('SIGKILL');
}

function acknowledge(last: Acknowledged, line: string): void {
  const [key = '', modRevision = '', run = '', count = ''] = line.split(' ');
  last.set(key, { modRevision: Number(modRevision), write: `${key} ${run} ${count};` });
}

async function verify(dir: string, last: Acknowledged): Promise<void> {
  const store = await openFileStore(dir);
  try {
    const entries = new Map<string, Entry>();
    let storeRevision = 0;
    for await (const page of store.snapshot('/')) {
      storeRevision = page.revision;
      for (const entry of page.entries) entries.set(entry.key, entry);
    }
    for (const entry of entries.values()) {
      assert.ok(entry.modRevision <= storeRevision, `${entry.key} is ahead of the store`);
      assertWhole(entry);
    }
    const revisions = [...entries.values()].map((entry) => entry.modRevision);
    assert.equal(new Set(revisions).size, revisions.length, 'each write has its own revision');
    for (const [key, { modRevision, write }] of last) {
      const entry = entries.get(key);
      assert.ok(entry !== undefined && entry.modRevision >= modRevision, `${key} was lost`);
      if (entry.modRevision === modRevision) assert.ok(textOf(entry).startsWith(write));
    }
  } finally {
    await store.close();
  }
}

/** A value is the text of its write, repeated as often as the write's count says. */
function assertWhole(entry: Entry): void {
  const text = textOf(entry);
  const unit = text.slice(0, text.indexOf(';') + 1);
  const count = Number(unit.split(' ')[2]?.slice(0, -1));
  assert.ok(unit.startsWith(`${entry.key} `), `${entry.key} holds ${unit}`);
  assert.equal(text, unit.repeat(1 + ((count * 13) % 100)), `${entry.key} is torn`);
}

function textOf(entry: Entry): string {
  return Buffer.from(entry.value).toString('utf8');
}
