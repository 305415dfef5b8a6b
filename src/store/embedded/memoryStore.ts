/**
 * `memory:`, the store that lives as long as its process: rows in a copy-on-write tree, deadlines in a heap.
 *
 * Values are kept as strings of one octet a character: an octet string costs a fifth of what a small Uint8Array does.
 */
import { randomUUID } from 'node:crypto';
import { type Clock, systemClock } from '../../timing/clock.ts';
import type { LeaseStore } from '../store.ts';
import { EmbeddedStore } from './core.ts';
import { type Bounds, Timeline } from './history.ts';
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
} from './table.ts';
import { find, OctetTree, page, type TreeNode } from './tree.ts';

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

/**
 * Keys by deadline: a binary heap that knows where each key is, so that a key is in it at most once however often it
 * is renewed. Invariant: no deadline is below its parent's (at `(i - 1) >> 1`), and `#places` holds every key's index.
 */
export class Deadlines {
  readonly #keys: string[] = [];
  readonly #times: number[] = [];
  readonly #places = new Map<string, number>();

  earliestMs(): number | undefined {
    return this.#times[0];
  }

  /** Up to `limit` keys whose deadline is at or before the instant, the earliest of them first. */
  due(nowMs: number, limit: number): string[] {
    const places: number[] = [];
    const open = [0];
    for (let place = open.pop(); place !== undefined && places.length < limit; place = open.pop()) {
      if (place >= this.#keys.length || this.#time(place) > nowMs) continue;
      places.push(place);
      open.push(2 * place + 1, 2 * place + 2);
    }
    places.sort((a, b) => this.#time(a) - this.#time(b));
    return places.map((place) => this.#keys[place] as string);
  }

  set(key: string, deadlineMs: number): void {
    const place = this.#places.get(key) ?? this.#keys.length;
    this.#put(place, key, deadlineMs);
    this.#settle(place);
  }

  delete(key: string): void {
    const place = this.#places.get(key);
    if (place === undefined) return;
    this.#places.delete(key);
    const lastKey = this.#keys.pop() as string;
    const lastTime = this.#times.pop() as number;
    if (place === this.#keys.length) return;
    this.#put(place, lastKey, lastTime);
    this.#settle(place);
  }

  #settle(place: number): void {
    if (this.#rise(place) === place) this.#sink(place);
  }

  #rise(from: number): number {
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (this.#time(parent) <= this.#time(place)) break;
      this.#swap(parent, place);
      place = parent;
    }
    return place;
  }

  #sink(from: number): void {
    let place = from;
    for (;;) {
      const left = 2 * place + 1;
      if (left >= this.#keys.length) return;
      const right = left + 1;
      const least =
        right < this.#keys.length && this.#time(right) < this.#time(left) ? right : left;
      if (this.#time(place) <= this.#time(least)) return;
      this.#swap(place, least);
      place = least;
    }
  }

  #time(place: number): number {
    return this.#times[place] as number;
  }

  #swap(a: number, b: number): void {
    const key = this.#keys[a] as string;
    const time = this.#time(a);
    this.#put(a, this.#keys[b] as string, this.#time(b));
    this.#put(b, key, time);
  }

  #put(place: number, key: string, deadlineMs: number): void {
    this.#keys[place] = key;
    this.#times[place] = deadlineMs;
    this.#places.set(key, place);
  }
}
