/**
 * The table of `file:`: rows, deadlines and the revision in one lmdb environment.
 *
 * A transaction's work runs on this thread, as a child transaction that is undone when it throws. lmdb's own thread
 * then commits and flushes, so the event loop never waits for the disk, and a crash leaves all of a transaction or
 * nothing.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { open, type RootDatabase, type Transaction } from 'lmdb';
import { dropFilePages } from '../../kernel/processMemory.ts';
import type {
  KeyedRow,
  RowWriter,
  Table,
  TableRow,
  TableView,
  Written,
} from '../embedded/table.ts';
import { StoreError } from '../store.ts';
import { assertRoomToOpen, PRIVATE_FILE } from './folder.ts';
import { type Access, assertLmdbFiles, assertLmdbWhole } from './lmdbFiles.ts';
import {
  deadlineKey,
  deadlineOf,
  type Octets,
  packRow,
  packState,
  readRows,
  type TableState,
  unpackRow,
  unpackState,
} from './rowCodec.ts';

/** Returns the instant for `TableState`. */
export type Now = () => { readonly timelineMs: number; readonly wallMs: number };

const OPTIONS = { encoding: 'binary', keyEncoding: 'binary' } as const;
const STATE_KEY = Buffer.from('state');
const IDENTITY_KEY = Buffer.from('identity');
const NOTHING = Buffer.alloc(1);
/** After this many rows in pages, the table drops the file's pages from the process, which would keep the whole file. */
const DROP_AFTER_ROWS = 10_000;

/** An opened environment before its directory is locked: it has read and written no rows yet. */
export class LmdbEnvironment {
  readonly #root: RootDatabase<Buffer, Buffer>;
  readonly #dir: string;
  readonly #access: Access;

  private constructor(dir: string, access: Access) {
    this.#dir = dir;
    this.#access = access;
    // overlappingSync would resolve a commit before it is flushed. eventTurnBatching creates promises without handlers,
    // so a full disk would end the process.
    const settings = { noSubdir: false, overlappingSync: false, eventTurnBatching: false };
    const mode = { permissionsMode: PRIVATE_FILE };
    this.#root = open({ path: dir, readOnly: access === 'r', ...settings, ...mode, ...OPTIONS });
  }

  /** Rejects when lmdb cannot use the directory's files. With `r` the files must exist. */
  static async open(dir: string, access: Access): Promise<LmdbEnvironment> {
    await assertLmdbFiles(dir, access);
    if (access === 'r+') await assertRoomToOpen(dir);
    return new LmdbEnvironment(dir, access);
  }

  /** Runs `work` while no other process runs it for this directory. The kernel releases the lock of a dead process. */
  async exclusively<T>(work: () => Promise<T>): Promise<T> {
    return this.#root.transaction(work);
  }

  /** The table's state at the last write. Rejects when the files are incomplete or have another format. */
  async state(): Promise<TableState | undefined> {
    const { lastPageNumber, pageSize } = this.#root.getStats() as {
      lastPageNumber: number;
      pageSize: number;
    };
    await assertLmdbWhole(this.#dir, lastPageNumber + 1, pageSize);
    return unpackState(this.#root.openDB('state', OPTIONS).get(STATE_KEY));
  }

  /** The table's identity. A new table gets one here. */
  async identity(): Promise<string> {
    const states = this.#root.openDB<Buffer, Buffer>('state', OPTIONS);
    const known = states.get(IDENTITY_KEY);
    if (known !== undefined) return known.toString();
    const identity = randomUUID();
    const putIdentity = () => states.put(IDENTITY_KEY, Buffer.from(identity));
    await this.#root.transaction(putIdentity).catch(async (error) => {
      throw await commitReason(error);
    });
    return identity;
  }

  /** `identity` and `state` are the results of those methods. The table closes the environment. */
  table(identity: string, state: TableState | undefined, now: Now): LmdbTable {
    const databases = {
      root: this.#root,
      rows: this.#root.openDB('rows', OPTIONS),
      deadlines: this.#root.openDB('deadlines', OPTIONS),
      states: this.#root.openDB('state', OPTIONS),
    };
    const path = join(this.#dir, 'data.mdb');
    return new LmdbTable({
      ...{ databases, identity, now, path, access: this.#access },
      revision: state?.revision ?? 0,
    });
  }

  async close(): Promise<void> {
    await this.#root.close();
  }
}

interface Databases {
  readonly root: RootDatabase<Buffer, Buffer>;
  readonly rows: Octets;
  readonly deadlines: Octets;
  readonly states: Octets;
}

interface LmdbTableOptions {
  readonly databases: Databases;
  readonly identity: string;
  readonly revision: number;
  readonly now: Now;
  /** The real path of the environment's file. */
  readonly path: string;
  readonly access: Access;
}

class LmdbTable implements Table {
  readonly identity: string;
  readonly #db: Databases;
  readonly #now: Now;
  readonly #writer: LmdbRowWriter;
  readonly #access: Access;
  readonly #path: string;
  #revision: number;
  /** Rows that were read in pages since the file's pages were dropped. */
  #rowsRead = 0;
  /**
   * lmdb reuses the pages that a commit freed only from the second commit after it on. So after a failure, perhaps on a
   * full disk, the table makes a commit that needs little space before the next transaction.
   */
  #hasFailed = false;

  constructor({ databases, identity, revision, now, path, access }: LmdbTableOptions) {
    this.identity = identity;
    this.#access = access;
    this.#db = databases;
    this.#path = path;
    this.#writer = new LmdbRowWriter(databases);
    this.#now = now;
    this.#revision = revision;
  }

  get(key: string): { row: TableRow | undefined; revision: number } {
    const view = this.view();
    try {
      return { row: view.get(key), revision: view.revision };
    } finally {
      view.release();
    }
  }

  view(): TableView {
    const transaction = readingLmdb(() => this.#db.root.useReadTransaction());
    const { rows } = this.#db;
    return {
      revision: readingLmdb(() => this.#revisionAt(transaction)),
      get: (key) => readingLmdb(() => unpackRow(rows.get(Buffer.from(key), { transaction }))),
      page: (prefix, after, bounds) => {
        const page = readingLmdb(() => readRows(rows, prefix, { after, bounds, transaction }));
        this.#rowsRead += page.rows.length;
        return page;
      },
      release: () => {
        transaction.done();
        if (this.#rowsRead >= DROP_AFTER_ROWS) this.#dropPages();
      },
    };
  }

  #dropPages(): void {
    this.#rowsRead = 0;
    dropFilePages(this.#path);
  }

  due(nowMs: number, limit: number): string[] {
    const keys: string[] = [];
    for (const deadline of this.#db.deadlines.getKeys({ limit })) {
      const { deadlineMs, key } = deadlineOf(deadline);
      if (deadlineMs > nowMs) break;
      keys.push(key);
    }
    return keys;
  }

  earliestDeadlineMs(): number | undefined {
    for (const deadline of this.#db.deadlines.getKeys({ limit: 1 })) {
      return deadlineOf(deadline).deadlineMs;
    }
    return undefined;
  }

  async write<T extends Written>(work: (rows: RowWriter, revision: number) => T): Promise<T> {
    if (this.#hasFailed) await this.#commit(() => this.#putState(this.#revision));
    const { writes } = this.#writer;
    const written = await this.#commit(() => {
      const done = work(this.#writer, this.#revision);
      if (this.#writer.writes > writes) this.#putState(done.revision);
      return done;
    });
    this.#revision = written.revision;
    return written;
  }

  async close(): Promise<void> {
    // This write only updates the time, so a disk that accepts no writes does not keep the table from closing.
    await this.#commit(() => this.#putState(this.#revision)).catch(() => undefined);
    await this.#db.root.close();
  }

  async #commit<T>(work: () => T): Promise<T> {
    if (this.#access === 'r') throw new Error('its volume is read-only');
    try {
      const done = await this.#db.root.childTransaction(work);
      this.#hasFailed = false;
      return done;
    } catch (error) {
      this.#hasFailed = true;
      throw await commitReason(error);
    }
  }

  #putState(revision: number): void {
    this.#db.states.put(STATE_KEY, packState({ ...this.#now(), revision }));
  }

  #revisionAt(transaction: Transaction): number {
    return unpackState(this.#db.states.get(STATE_KEY, { transaction }))?.revision ?? 0;
  }
}

/** Valid inside a transaction only. */
class LmdbRowWriter implements RowWriter {
  readonly #rows: Octets;
  readonly #deadlines: Octets;
  /** The number of rows set or deleted since the store was opened. */
  writes = 0;

  constructor({ rows, deadlines }: Databases) {
    this.#rows = rows;
    this.#deadlines = deadlines;
  }

  get(key: string): TableRow | undefined {
    return unpackRow(this.#rows.get(Buffer.from(key)));
  }

  below(prefix: string): readonly KeyedRow[] {
    return readRows(this.#rows, prefix, {}).rows;
  }

  set(key: string, row: TableRow, previous: TableRow | undefined): void {
    this.writes++;
    this.#endDeadline(key, previous);
    this.#rows.put(Buffer.from(key), packRow(row));
    if (row.lifetime) this.#deadlines.put(deadlineKey(key, row.lifetime.deadlineMs), NOTHING);
  }

  delete(key: string, previous: TableRow): void {
    this.writes++;
    this.#endDeadline(key, previous);
    this.#rows.remove(Buffer.from(key));
  }

  #endDeadline(key: string, previous: TableRow | undefined): void {
    const lifetime = previous?.lifetime;
    if (lifetime !== undefined) this.#deadlines.remove(deadlineKey(key, lifetime.deadlineMs));
  }
}

/** A failure here comes from the disk, or from damage since the store was opened, and not from a bug of the caller. */
function readingLmdb<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new StoreError('unavailable', `data.mdb cannot be read: ${reason}`, { cause });
  }
}

/** The system's message without the position in the file. */
function withoutPosition(reason: unknown): unknown {
  const text = reason instanceof Error ? reason.message : '';
  const short = text.replace(/: Attempting to write page .*$/s, '');
  return short === text ? reason : new Error(short, { cause: reason });
}

/**
 * The cause of an error: lmdb's error "Commit failed" has it in `commitError`, a promise that rejects with the cause.
 */
async function commitReason(error: unknown): Promise<unknown> {
  const inner = error instanceof Error && 'commitError' in error ? error.commitError : undefined;
  try {
    await inner;
    return error;
  } catch (reason) {
    return withoutPosition(reason);
  }
}
