/**
 * Makes a new store from a damaged one: writes the readable rows into another file, which then takes the damaged file's
 * name. The damaged file stays beside it under another name. If the process ends meanwhile, data.mdb is either the new
 * store or the damaged one. A key with a TTL or a lease is kept only if its lifetime can be read too; the writer of a
 * lost key writes it again.
 */
import { closeSync } from 'node:fs';
import { link, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { leaseIdOf, MEMBER_ROW, membersPrefix } from '../embedded/leases.ts';
import type { KeyedRow, RowWriter } from '../embedded/table.ts';
import { damageOf, openSource, treesOf } from './check.ts';
import { DirectoryLock } from './directoryLock.ts';
import { assertRoom } from './folder.ts';
import { LmdbEnvironment } from './lmdbTable.ts';
import { orphansOf } from './orphans.ts';
import { type TableState, unpackRow, unpackState } from './rowCodec.ts';
import { rowFault } from './rows.ts';
import { PageSet, type TreeEntry, walk } from './walk.ts';

export type SalvageResult =
  | {
      readonly kind: 'done';
      readonly damage: string;
      /** The path of the damaged file. */
      readonly path: string;
      /** The number of keys in the new store. */
      readonly keys: number;
    }
  /** Another process has repaired the store meanwhile. */
  | { readonly kind: 'whole' }
  /** Another process is repairing the store or has it open. */
  | { readonly kind: 'inUse' };

const ROWS_A_TRANSACTION = 10_000;
const ROW_OVERHEAD_OCTETS = 64;
const FIRST_OCTETS = 64 * 1024;

export async function salvage(dir: string, wallMs: number): Promise<SalvageResult> {
  const repairDir = join(dir, 'repair');
  const lock = await acquireLock(dir, repairDir);
  if (lock === undefined) return { kind: 'inUse' };
  try {
    return await salvageAlone(dir, repairDir, wallMs);
  } finally {
    await lock.release();
  }
}

/** lmdb must not open the damaged file, so the new file's environment provides the write lock for `acquire`. */
async function acquireLock(dir: string, repairDir: string): Promise<DirectoryLock | undefined> {
  await mkdir(repairDir, { recursive: true, mode: 0o700 });
  const environment = await LmdbEnvironment.open(repairDir, 'r+');
  try {
    return await environment.exclusively(() => DirectoryLock.acquire(dir));
  } finally {
    await environment.close();
  }
}

async function salvageAlone(
  dir: string,
  repairDir: string,
  wallMs: number,
): Promise<SalvageResult> {
  const path = join(dir, 'data.mdb');
  const damage = await damageOf(path);
  if (damage === undefined) return { kind: 'whole' };
  const found = readRecoverable(path);
  // An earlier attempt may have left files.
  await rm(repairDir, { recursive: true, force: true });
  await mkdir(repairDir, { recursive: true, mode: 0o700 });
  await writeNewStore(repairDir, found, wallMs);
  const time = new Date(wallMs).toISOString().replace(/[-:]|\.\d+/g, '');
  const aside = `${path}.damaged-${time}`;
  await link(path, aside);
  await rm(join(dir, 'lock.mdb'), { force: true });
  await rename(join(repairDir, 'data.mdb'), path);
  await rm(repairDir, { recursive: true, force: true });
  const keys = found.rows.filter(({ key }) => key.startsWith('/')).length;
  return { kind: 'done', damage, path: aside, keys };
}

interface RecoveredData {
  readonly rows: readonly KeyedRow[];
  readonly state: TableState | undefined;
}

function readRecoverable(path: string): RecoveredData {
  const source = openSource(path, 'tolerant');
  if (source === undefined || typeof source === 'string') return { rows: [], state: undefined };
  try {
    const used = new PageSet(source.meta.lastPage);
    let isWhole = true;
    const onDamage = () => {
      isWhole = false;
    };
    const trees = treesOf(source, used, onDamage);
    const entriesOf = (name: string): readonly TreeEntry[] => {
      const tree = trees.get(name);
      if (tree !== undefined) {
        return [...walk(source, tree, used, { compare: Buffer.compare, onDamage })];
      }
      onDamage();
      return [];
    };
    const states = entriesOf('state');
    const rows = entriesOf('rows');
    if (isWhole) return recoveredFrom(rows, states);
    const orphans = orphansOf(source, used);
    return recoveredFrom([...rows, ...orphans.rows], [...states, ...orphans.states]);
  } finally {
    closeSync(source.fd);
  }
}

function recoveredFrom(rows: readonly TreeEntry[], states: readonly TreeEntry[]): RecoveredData {
  const state = stateIn(states);
  return { rows: soundRows(rows, state), state };
}

function stateIn(entries: Iterable<TreeEntry>): TableState | undefined {
  for (const entry of entries) {
    if (entry.key.toString() !== 'state') continue;
    try {
      return unpackState(entry.value());
    } catch {
      // A later entry may have a readable state.
    }
  }
  return undefined;
}

function soundRows(entries: Iterable<TreeEntry>, state: TableState | undefined): KeyedRow[] {
  const rows: KeyedRow[] = [];
  const leases = new Set<number>();
  for (const entry of entries) {
    if (rowFault(entry) !== undefined) continue;
    const key = entry.key.toString('utf8');
    const row = unpackRow(entry.value());
    const lease = leaseIdOf(key);
    // Without the store's time the end of a lifetime is unknown.
    if (row.lifetime !== undefined && state === undefined) continue;
    if (lease !== undefined) leases.add(lease);
    if (lease !== undefined || key.startsWith('/')) rows.push({ key, row });
  }
  return rows.filter(({ row }) => row.lease === undefined || leases.has(row.lease));
}

async function writeNewStore(
  dir: string,
  { rows, state }: RecoveredData,
  wallMs: number,
): Promise<void> {
  await assertRoom(dir, octetsFor(rows));
  const environment = await LmdbEnvironment.open(dir, 'r+');
  // The new store gets the damaged store's time, so the next opening adds the time that the store was down.
  const { timelineMs, wallMs: writtenAtMs } = state ?? { timelineMs: 0, wallMs };
  const now = () => ({ timelineMs, wallMs: writtenAtMs });
  const table = environment.table(await environment.identity(), state, now);
  const newest = rows.reduce((max, { row }) => Math.max(max, row.modRevision), 0);
  const revision = Math.max(newest, state?.revision ?? 0);
  for (let from = 0; from < rows.length; from += ROWS_A_TRANSACTION) {
    await table.write((writer) => {
      for (const row of rows.slice(from, from + ROWS_A_TRANSACTION)) writeRow(writer, row);
      return { revision };
    });
  }
  await table.close();
}

/** The most space that a store of these rows takes on the disk. */
function octetsFor(rows: readonly KeyedRow[]): number {
  const octetsOf = ({ key, row }: KeyedRow) => key.length + row.value.length + ROW_OVERHEAD_OCTETS;
  return rows.reduce((sum, row) => sum + 2 * octetsOf(row), FIRST_OCTETS);
}

function writeRow(writer: RowWriter, { key, row }: KeyedRow): void {
  writer.set(key, row, undefined);
  if (row.lease !== undefined) writer.set(membersPrefix(row.lease) + key, MEMBER_ROW, undefined);
}
