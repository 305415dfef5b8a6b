/**
 * A new store out of a damaged one: the rows that can still be read make up another file, which then takes the place of
 * the damaged one. That one stays beside it. Whatever ends the process meanwhile leaves one of the two in the place, whole
 * or as damaged as before. Keys that end by themselves are kept only where their lives can be read too: who keeps them
 * alive writes them again.
 */
import { closeSync } from 'node:fs';
import { link, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { leaseIdOf, MEMBER_ROW, membersPrefix } from '../embedded/leases.ts';
import type { KeyedRow, RowWriter } from '../embedded/table.ts';
import { damageOf, openSource, treesOf } from './check.ts';
import { assertRoom, DirectoryLock } from './folder.ts';
import { type TableState, unpackRow, unpackState } from './lmdbFiles.ts';
import { LmdbEnvironment } from './lmdbTable.ts';
import { orphansOf } from './orphans.ts';
import { rowFault } from './rows.ts';
import { PageSet, type TreeEntry, walk } from './walk.ts';

export type SalvageResult =
  | {
      readonly kind: 'done';
      readonly damage: string;
      /** Where the damaged file is. */
      readonly path: string;
      /** How many keys the new store begins with. */
      readonly keys: number;
    }
  /** Another process has done it meanwhile. */
  | { readonly kind: 'whole' }
  /** Another process does it, or has the store open. */
  | { readonly kind: 'inUse' };

const ROWS_A_TRANSACTION = 10_000;
const ROW_OVERHEAD_OCTETS = 64;
const FIRST_OCTETS = 64 * 1024;

export async function salvage(dir: string, wallMs: number): Promise<SalvageResult> {
  const workshop = join(dir, 'repair');
  const owner = await claim(dir, workshop);
  if (owner === undefined) return { kind: 'inUse' };
  try {
    return await salvageAlone(dir, workshop, wallMs);
  } finally {
    await owner.release();
  }
}

/** lmdb must not see the damaged file, so the lock under which an owner is made is that of the new one. */
async function claim(dir: string, workshop: string): Promise<DirectoryLock | undefined> {
  await mkdir(workshop, { recursive: true, mode: 0o700 });
  const environment = await LmdbEnvironment.open(workshop, 'r+');
  try {
    return await environment.exclusively(() => DirectoryLock.acquire(dir));
  } finally {
    await environment.close();
  }
}

async function salvageAlone(dir: string, workshop: string, wallMs: number): Promise<SalvageResult> {
  const path = join(dir, 'data.mdb');
  const damage = await damageOf(path);
  if (damage === undefined) return { kind: 'whole' };
  const found = readWhatIsLeft(path);
  // An earlier attempt may have left something.
  await rm(workshop, { recursive: true, force: true });
  await mkdir(workshop, { recursive: true, mode: 0o700 });
  await begin(workshop, found, wallMs);
  const time = new Date(wallMs).toISOString().replace(/[-:]|\.\d+/g, '');
  const aside = `${path}.damaged-${time}`;
  await link(path, aside);
  await rm(join(dir, 'lock.mdb'), { force: true });
  await rename(join(workshop, 'data.mdb'), path);
  await rm(workshop, { recursive: true, force: true });
  const keys = found.rows.filter(({ key }) => key.startsWith('/')).length;
  return { kind: 'done', damage, path: aside, keys };
}

interface RecoveredData {
  readonly rows: readonly KeyedRow[];
  readonly state: TableState | undefined;
}

function readWhatIsLeft(path: string): RecoveredData {
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
    if (isWhole) return foundIn(rows, states);
    const orphans = orphansOf(source, used);
    return foundIn([...rows, ...orphans.rows], [...states, ...orphans.states]);
  } finally {
    closeSync(source.fd);
  }
}

function foundIn(rows: readonly TreeEntry[], states: readonly TreeEntry[]): RecoveredData {
  const state = stateIn(states);
  return { rows: soundRows(rows, state), state };
}

function stateIn(entries: Iterable<TreeEntry>): TableState | undefined {
  for (const entry of entries) {
    if (entry.key.toString() !== 'state') continue;
    try {
      return unpackState(entry.value());
    } catch {
      // Another page may have it.
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
    // Without the store's time nobody knows when a life ends.
    if (row.lifetime !== undefined && state === undefined) continue;
    if (lease !== undefined) leases.add(lease);
    if (lease !== undefined || key.startsWith('/')) rows.push({ key, row });
  }
  return rows.filter(({ row }) => row.lease === undefined || leases.has(row.lease));
}

async function begin(dir: string, { rows, state }: RecoveredData, wallMs: number): Promise<void> {
  await assertRoom(dir, octetsFor(rows));
  const environment = await LmdbEnvironment.open(dir, 'r+');
  // As the damaged file had it, so that what was down meanwhile is counted when the store is opened.
  const now = () => state ?? { timelineMs: 0, wallMs };
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

/** What a store of these rows takes on the disk at most. */
function octetsFor(rows: readonly KeyedRow[]): number {
  const octetsOf = ({ key, row }: KeyedRow) => key.length + row.value.length + ROW_OVERHEAD_OCTETS;
  return rows.reduce((sum, row) => sum + 2 * octetsOf(row), FIRST_OCTETS);
}

function writeRow(writer: RowWriter, { key, row }: KeyedRow): void {
  writer.set(key, row, undefined);
  if (row.lease !== undefined) writer.set(membersPrefix(row.lease) + key, MEMBER_ROW, undefined);
}
