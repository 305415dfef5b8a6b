/**
 * `memory:`, the store that lives as long as its process: rows in a copy-on-write tree, deadlines in a heap.
 *
 * Values are kept as strings of one octet a character: an octet string costs a fifth of what a small Uint8Array does.
 */
import { randomUUID } from 'node:crypto';
import { type Clock, systemClock } from '../../timing/clock.ts';
import type { LeaseStore } from '../store.ts';
import { EmbeddedStore } from './core.ts';
import { type ChangeBounds, Timeline } from './history.ts';
import type {
  KeyedRow,
  Lifetime,
  PageBounds,
  RowPage,
  RowWriter,
  Table,
  TableRow,
  TableView,
  Written,
} from './table.ts';
import { find, OctetTree, page, type TreeNode } from './tree.ts';

export interface MemoryStoreOptions {
  readonly clock?: Clock | undefined;
  /** What a watch can begin with; see `EmbeddedParts.history`. */
  readonly history?: ChangeBounds | undefined;
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
): RowPage {
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

  get(key: string): { row: TableRow | undefined; revision: number } {
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

function keyedRow([key, packed]: [string, PackedRow]): KeyedRow {
  return { key, row: unpack(packed) };
}

/**
 * Keys by deadline: a binary heap that knows where each key is, so that a key is in it at most once however often it
 * is renewed. Invariant: no deadline is below its parent's (at `(i - 1) >> 1`), and `#places` holds every key's index.
 */
export class Deadlines {
  readonly #keys: string[] = [];
  readonly #times: number[] = [];
  readonly #positions = new Map<string, number>();

  earliestMs(): number | undefined {
    return this.#times[0];
  }

  /** Up to `limit` keys whose deadline is at or before the instant, the earliest of them first. */
  due(nowMs: number, limit: number): string[] {
    const positions: number[] = [];
    const open = [0];
    for (
      let position = open.pop();
      position !== undefined && positions.length < limit;
      position = open.pop()
    ) {
      if (position >= this.#keys.length || this.#time(position) > nowMs) continue;
      positions.push(position);
      open.push(2 * position + 1, 2 * position + 2);
    }
    positions.sort((a, b) => this.#time(a) - this.#time(b));
    return positions.map((position) => this.#keys[position] as string);
  }

  set(key: string, deadlineMs: number): void {
    const position = this.#positions.get(key) ?? this.#keys.length;
    this.#put(position, key, deadlineMs);
    this.#restoreOrder(position);
  }

  delete(key: string): void {
    const position = this.#positions.get(key);
    if (position === undefined) return;
    this.#positions.delete(key);
    const lastKey = this.#keys.pop() as string;
    const lastTime = this.#times.pop() as number;
    if (position === this.#keys.length) return;
    this.#put(position, lastKey, lastTime);
    this.#restoreOrder(position);
  }

  #restoreOrder(position: number): void {
    if (this.#rise(position) === position) this.#sink(position);
  }

  #rise(from: number): number {
    let position = from;
    while (position > 0) {
      const parent = (position - 1) >> 1;
      if (this.#time(parent) <= this.#time(position)) break;
      this.#swap(parent, position);
      position = parent;
    }
    return position;
  }

  #sink(from: number): void {
    let position = from;
    for (;;) {
      const left = 2 * position + 1;
      if (left >= this.#keys.length) return;
      const right = left + 1;
      const least =
        right < this.#keys.length && this.#time(right) < this.#time(left) ? right : left;
      if (this.#time(position) <= this.#time(least)) return;
      this.#swap(position, least);
      position = least;
    }
  }

  #time(position: number): number {
    return this.#times[position] as number;
  }

  #swap(a: number, b: number): void {
    const key = this.#keys[a] as string;
    const time = this.#time(a);
    this.#put(a, this.#keys[b] as string, this.#time(b));
    this.#put(b, key, time);
  }

  #put(position: number, key: string, deadlineMs: number): void {
    this.#keys[position] = key;
    this.#times[position] = deadlineMs;
    this.#positions.set(key, position);
  }
}
