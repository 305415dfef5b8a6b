/**
 * `memory:`, the store that lives as long as its process: rows in a copy-on-write B+ tree, deadlines in a heap.
 *
 * A value is stored as a string with one octet per character, which takes a fifth of the memory of a small Uint8Array.
 */
import { randomUUID } from 'node:crypto';
import sortedBtree from 'sorted-btree';
import { type Clock, systemClock } from '../../timing/clock.ts';
import type { LeaseStore } from '../store.ts';
import { Deadlines } from './deadlines.ts';
import { EmbeddedStore } from './embeddedStore.ts';
import type { ChangeBounds } from './history.ts';
import {
  compareOctets,
  type KeyedRow,
  type Lifetime,
  type PageBounds,
  PageFill,
  type RowPage,
  type RowWriter,
  type Table,
  type TableRow,
  type TableView,
  UNBOUNDED,
  type Written,
} from './table.ts';
import { Timeline } from './timeline.ts';

export interface MemoryStoreOptions {
  readonly clock?: Clock | undefined;
  /** See `EmbeddedStoreOptions.history`. */
  readonly history?: ChangeBounds | undefined;
  /**
   * The revision before the first write; default 0. A server passes a number above every revision that its predecessor
   * can have assigned, such as the time in ms. A client that resumes a watch from such a revision then gets
   * `compacted`; with a smaller number it would wait for a revision that the store has not reached yet.
   */
  readonly revision?: number | undefined;
}

/** An empty store. */
export function createMemoryStore(options: MemoryStoreOptions = {}): LeaseStore {
  const clock = options.clock ?? systemClock;
  return new EmbeddedStore({
    label: 'memory:',
    table: new MemoryTable(options.revision ?? 0),
    clock,
    timeline: new Timeline(clock, clock.monotonicMs()),
    history: options.history,
  });
}

/** The package is CommonJS, so its class is a member of the default import. */
const BTree = sortedBtree.default;
type RowTree = InstanceType<typeof BTree<string, PackedRow>>;

interface PackedRow {
  /** The value, one octet per character. */
  readonly octets: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly lifetime: Lifetime | undefined;
  readonly lease: number | undefined;
}

export class MemoryTable implements Table {
  readonly identity = randomUUID();
  readonly #tree: RowTree = new BTree(undefined, compareOctets);
  readonly #deadlines = new Deadlines();
  readonly #writer: RowWriter = {
    get: (key) => unpack(this.#tree.get(key)),
    below: (prefix) => readPage(this.#tree, prefix, undefined, UNBOUNDED).rows,
    set: (key, row, previous) => this.#set(key, row, previous),
    delete: (key, previous) => this.#delete(key, previous),
  };
  #revision: number;

  constructor(revision: number) {
    this.#revision = revision;
  }

  get(key: string): { row: TableRow | undefined; revision: number } {
    return { row: unpack(this.#tree.get(key)), revision: this.#revision };
  }

  view(): TableView {
    // Copies nothing: a later write copies the nodes that it changes.
    const tree = this.#tree.clone();
    return {
      revision: this.#revision,
      get: (key) => unpack(tree.get(key)),
      page: (prefix, after, bounds) => readPage(tree, prefix, after, bounds),
      release: () => undefined,
    };
  }

  due(nowMs: number, limit: number): string[] {
    return this.#deadlines.due(nowMs, limit);
  }

  earliestDeadlineMs(): number | undefined {
    return this.#deadlines.earliestMs();
  }

  async write<T extends Written>(work: (rows: RowWriter, revision: number) => T): Promise<T> {
    const written = work(this.#writer, this.#revision);
    this.#revision = written.revision;
    return written;
  }

  async close(): Promise<void> {}

  #set(key: string, row: TableRow, previous: TableRow | undefined): void {
    this.#tree.set(key, pack(row));
    if (row.lifetime !== undefined) this.#deadlines.set(key, row.lifetime.deadlineMs);
    else if (previous?.lifetime !== undefined) this.#deadlines.delete(key);
  }

  #delete(key: string, previous: TableRow): void {
    this.#tree.delete(key);
    if (previous.lifetime !== undefined) this.#deadlines.delete(key);
  }
}

function pack(row: TableRow): PackedRow {
  const { value, createRevision, modRevision, lifetime, lease } = row;
  const octets = Buffer.from(value.buffer, value.byteOffset, value.length).toString('latin1');
  return { octets, createRevision, modRevision, lifetime, lease };
}

function unpack(packed: PackedRow): TableRow;
function unpack(packed: PackedRow | undefined): TableRow | undefined;
function unpack(packed: PackedRow | undefined): TableRow | undefined {
  if (packed === undefined) return undefined;
  const { octets, createRevision, modRevision, lifetime, lease } = packed;
  return { value: Buffer.from(octets, 'latin1'), createRevision, modRevision, lifetime, lease };
}

/** As `TableView.page`. */
function readPage(
  tree: RowTree,
  prefix: string,
  after: string | undefined,
  bounds: PageBounds,
): RowPage {
  const rows: KeyedRow[] = [];
  const fill = new PageFill(bounds);
  for (const [key, packed] of tree.entries(after ?? prefix)) {
    if (key === after) continue;
    if (!key.startsWith(prefix)) break;
    if (!fill.add(key.length + packed.octets.length)) return { rows, isLast: false };
    rows.push({ key, row: unpack(packed) });
  }
  return { rows, isLast: true };
}
