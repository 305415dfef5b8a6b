/**
 * store/file/: The embedded store on disk, its check and its repair. The only folder that opens lmdb.
 * Imports: kernel, store, store/embedded, timing.
 * Used by: app/process.
 *
 * `file:DIR` is the embedded store over an lmdb environment. Deadlines are on a timeline that follows the monotonic
 * clock while the store is open, and the wall clock from the last write to the next opening. So keys expire while the
 * store is down, and a jump of the wall clock expires nothing. The history of changes is not stored: after a restart a
 * watch from an older revision gets `compacted`.
 *
 * A store on a read-only volume can be read: `writeTrouble` reports the volume, and writes are refused.
 */
import { access, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, systemClock } from '../../timing/clock.ts';
import { EmbeddedStore } from '../embedded/embeddedStore.ts';
import type { ChangeBounds } from '../embedded/history.ts';
import { Timeline } from '../embedded/timeline.ts';
import { type LeaseStore, StoreError } from '../store.ts';
import { damageOf } from './check.ts';
import { DirectoryLock } from './directoryLock.ts';
import { exposureWarning, isReadOnly, makeFolder, plainReason, restrictFiles } from './folder.ts';
import { assertLmdbFiles } from './lmdbFiles.ts';
import { LmdbEnvironment } from './lmdbTable.ts';
import type { TableState } from './rowCodec.ts';
import { salvage } from './salvage.ts';

const DATA_FILE = 'data.mdb';

export interface FileStoreOptions {
  readonly clock?: Clock | undefined;
  /** See `EmbeddedStoreOptions.history`. */
  readonly history?: ChangeBounds | undefined;
  /** Moves a damaged store aside and starts a new one with the rows that can still be read. */
  readonly repair?: boolean | undefined;
  /** Receives a line for each problem that does not keep the store from serving. */
  readonly onWarning?: ((line: string) => void) | undefined;
}

/**
 * Opens the store in a directory, and makes the directory if it does not exist. Rejects with StoreError `unavailable`,
 * naming the directory, when another process has the store open or its files cannot be used.
 */
export async function openFileStore(
  dir: string,
  options: FileStoreOptions = {},
): Promise<LeaseStore> {
  try {
    await makeFolder(dir);
    const path = await realpath(dir);
    if (await isReadOnly(path))
      return await openReadOnly(path, { ...options, label: `file:${dir}` });
    if (await DirectoryLock.isHeld(path)) throw inUse(`file:${dir}`);
    const exposure = await exposureWarning(path);
    if (exposure !== undefined) options.onWarning?.(exposure);
    await restrictFiles(path);
    return await openHere(path, { ...options, label: `file:${dir}` });
  } catch (cause) {
    throw cause instanceof StoreError ? cause : unusable(dir, cause);
  }
}

/** `label` has the directory as the caller named it; `dir` beside it is the real path. */
interface LabelledOptions extends FileStoreOptions {
  readonly label: string;
}

/**
 * The directories that this process has open or is opening. lmdb shares an environment within a process, so a second
 * opening must stop before lmdb.
 */
const openedHere = new Set<string>();

async function openHere(dir: string, options: LabelledOptions): Promise<LeaseStore> {
  if (openedHere.has(dir)) throw inUse(options.label);
  openedHere.add(dir);
  try {
    await assertWhole(dir, options);
    const environment = await LmdbEnvironment.open(dir, 'r+');
    try {
      return await openLocked(dir, environment, options);
    } catch (error) {
      await environment.close();
      throw error;
    }
  } catch (error) {
    openedHere.delete(dir);
    throw error;
  }
}

/** lmdb ends the process on some damage and hides other damage, so this file checks every file before lmdb opens it. */
async function assertWhole(
  dir: string,
  { label, repair, onWarning, clock = systemClock }: LabelledOptions,
): Promise<void> {
  await assertLmdbFiles(dir, 'r+', 'damaged');
  const damage = await damageOf(join(dir, DATA_FILE));
  if (damage === undefined) return;
  // A file that another process is writing looks damaged too.
  if (await DirectoryLock.isHeld(dir)) throw inUse(label);
  if (repair !== true) throw damaged(label, damage);
  const salvaged = await salvage(dir, clock.wallMs());
  switch (salvaged.kind) {
    case 'inUse':
      throw inUse(label);
    case 'whole':
      return;
    case 'done': {
      const { path, keys } = salvaged;
      onWarning?.(
        `${DATA_FILE} was damaged (${salvaged.damage}): moved to ${path}; ${keys} keys recovered`,
      );
    }
  }
}

async function openLocked(
  dir: string,
  environment: LmdbEnvironment,
  options: LabelledOptions,
): Promise<LeaseStore> {
  const lock = await environment.exclusively(() => DirectoryLock.acquire(dir));
  if (lock === undefined) throw inUse(options.label);
  try {
    const afterClose = async () => {
      openedHere.delete(dir);
      await lock.release();
    };
    return await openStore(environment, options, afterClose);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** No process can write to the volume, so the store needs no lock. */
async function openReadOnly(dir: string, options: LabelledOptions): Promise<LeaseStore> {
  await access(join(dir, DATA_FILE)); // otherwise lmdb would try to create it
  await assertLmdbFiles(dir, 'r');
  const damage = await damageOf(join(dir, DATA_FILE));
  if (damage !== undefined) throw damaged(options.label, damage);
  const environment = await LmdbEnvironment.open(dir, 'r');
  try {
    return await openStore(environment, options, undefined);
  } catch (error) {
    await environment.close();
    throw error;
  }
}

async function openStore(
  environment: LmdbEnvironment,
  options: LabelledOptions,
  afterClose: (() => Promise<void>) | undefined,
): Promise<LeaseStore> {
  const clock = options.clock ?? systemClock;
  const state = await environment.state();
  const identity = await environment.identity();
  const timeline = new Timeline(clock, resumedMs(state, clock.wallMs()));
  const now = () => ({ timelineMs: timeline.nowMs(), wallMs: clock.wallMs() });
  const store = new EmbeddedStore({
    label: options.label,
    table: environment.table(identity, state, now),
    clock,
    timeline,
    history: options.history,
    afterClose,
  });
  await store.start();
  return store;
}

/**
 * The start of the timeline: its last value plus the time since the last write. A wall clock that went back adds
 * nothing.
 */
function resumedMs(stored: TableState | undefined, wallMs: number): number {
  return stored === undefined ? 0 : stored.timelineMs + Math.max(0, wallMs - stored.wallMs);
}

function damaged(label: string, damage: string): StoreError {
  return new StoreError(
    'unavailable',
    `${label} cannot be opened: ${DATA_FILE} is damaged: ${damage}`,
  );
}

function inUse(label: string): StoreError {
  return new StoreError('unavailable', `${label} is in use by a running server`);
}

function unusable(dir: string, cause: unknown): StoreError {
  const line = `file:${dir} cannot be opened: ${plainReason(cause)}`;
  return new StoreError('unavailable', line, { cause });
}
