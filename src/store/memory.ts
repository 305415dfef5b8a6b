/**
 * `memory:`, the store that lives as long as its process: rows in a copy-on-write tree, deadlines in a heap.
 *
 * Values are kept as strings of one octet a character: an octet string costs a fifth of what a small Uint8Array does.
 */
import { randomUUID } from 'node:crypto';
import { type Clock, systemClock } from './clock.ts';
import { EmbeddedStore } from './embedded/core.ts';
import { Deadlines } from './embedded/deadlines.ts';
import type { Bounds } from './embedded/history.ts';
import type {
  KeyedRow,
  Lifetime,
  Page,
  PageBounds,
  Row,
  RowWriter,
  Table,
  TableView,
  Written,
} from './embedded/table.ts';
import { Timeline } from './embedded/timeline.ts';
import { find, OctetTree, page, type TreeNode } from './embedded/tree.ts';
import type { LeaseStore } from './store.ts';

export interface MemoryStoreOptions {
  readonly clock?: Clock | undefined;
  /** What a watch can begin with; see `EmbeddedParts.history`. */
  readonly history?: Bounds | undefined;
  /**
   * Where revisions begin; default 0. A server says something that is above all that its predecessor can have given out,
   * such as the time in ms: a client that watches on from those then hears `compacted`, and does not wait for a future
   * that was.
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

function boundedPage(
  root: TreeNode<PackedRow>,
  prefix: string,
  after: string | undefined,
  bounds: PageBounds,
): Page {
  let octets = 0;
  let isCut = false;
  const rows = page(root, prefix, after, bounds.rows, (key, row) => {
    isCut = octets > 0 && octets + key.length + row.octets.length > bounds.octets;
    octets += key.length + row.octets.length;
    return !isCut;
  });
  return { rows: rows.map(keyedRow), isLast: !isCut && rows.length < bounds.rows };
}

interface PackedRow {
  /** Octets as characters. */
  readonly octets: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly lifetime: Lifetime | undefined;
  readonly lease: number | undefined;
}

class MemoryTable implements Table {
  readonly identity = randomUUID();
  readonly #tree = new OctetTree<PackedRow>();
  readonly #deadlines = new Deadlines();
  readonly #writer: RowWriter = {
    get: (key) => unpack(this.#tree.get(key)),
    below: (prefix) => this.#tree.page(prefix, undefined, Number.MAX_SAFE_INTEGER).map(keyedRow),
    set: (key, row, previous) => this.#set(key, row, previous),
    delete: (key, previous) => this.#delete(key, previous),
  };
  #revision: number;

  constructor(revision: number) {
    this.#revision = revision;
  }

  get(key: string): { row: Row | undefined; revision: number } {
    return { row: unpack(this.#tree.get(key)), revision: this.#revision };
  }

  view(): TableView {
    const root: TreeNode<PackedRow> = this.#tree.snapshot();
    return {
      revision: this.#revision,
      get: (key) => unpack(find(root, key)),
      page: (prefix, after, bounds) => boundedPage(root, prefix, after, bounds),
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

  #set(key: string, row: Row, previous: Row | undefined): void {
    this.#tree.set(key, pack(row));
    if (row.lifetime !== undefined) this.#deadlines.set(key, row.lifetime.deadlineMs);
    else if (previous?.lifetime !== undefined) this.#deadlines.delete(key);
  }

  #delete(key: string, previous: Row): void {
    this.#tree.delete(key);
    if (previous.lifetime !== undefined) this.#deadlines.delete(key);
  }
}

function pack(row: Row): PackedRow {
  const { value, createRevision, modRevision, lifetime, lease } = row;
  const octets = Buffer.from(value.buffer, value.byteOffset, value.length).toString('latin1');
  return { octets, createRevision, modRevision, lifetime, lease };
}

function unpack(packed: PackedRow): Row;
function unpack(packed: PackedRow | undefined): Row | undefined;
function unpack(packed: PackedRow | undefined): Row | undefined {
  if (packed === undefined) return undefined;
  const { octets, createRevision, modRevision, lifetime, lease } = packed;
  return { value: Buffer.from(octets, 'latin1'), createRevision, modRevision, lifetime, lease };
}

function keyedRow([key, packed]: [string, PackedRow]): KeyedRow {
  return { key, row: unpack(packed) };
}
