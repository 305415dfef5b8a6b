/**
 * Tests both embedded stores against a Map as their model: random writes, conditions, leases and steps of time. After
 * every command the snapshot equals the model. At the end a Map to which the watch's changes were applied equals the model too.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { createMemoryStore } from '../../src/store/embedded/memoryStore.ts';
import { openFileStore } from '../../src/store/file/fileStore.ts';
import {
  type Condition,
  type LeaseStore,
  StoreError,
  type WatchBatch,
} from '../../src/store/store.ts';
import { FakeClock } from '../support/fakeClock.ts';
import { withTempDir } from '../support/tempDir.ts';

interface ModelLease {
  readonly id: string;
  readonly ttlSeconds: number;
  deadlineMs: number;
}

interface ModelRow {
  readonly text: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly deadlineMs: number;
  readonly lease: ModelLease | undefined;
}

/** The simplest model of a store. */
class Model {
  readonly rows = new Map<string, ModelRow>();
  /** The existing leases by id. */
  readonly leases = new Map<string, ModelLease>();
  revision = 0;
  nowMs = 0;

  put(key: string, text: string, life: Life, condition: Spec): boolean {
    if (!this.holds(key, condition)) return false;
    const { ttlSeconds } = life;
    const lease = life.lease === undefined ? undefined : this.leases.get(life.lease);
    if (life.lease !== undefined && lease === undefined) throw new Error('no such lease');
    const modRevision = ++this.revision;
    const createRevision = this.rows.get(key)?.createRevision ?? modRevision;
    const deadlineMs = ttlSeconds === undefined ? Infinity : this.nowMs + ttlSeconds * 1000;
    this.rows.set(key, { text, createRevision, modRevision, deadlineMs, lease });
    return true;
  }

  renew(id: string): boolean {
    const lease = this.leases.get(id);
    if (lease !== undefined) lease.deadlineMs = this.nowMs + lease.ttlSeconds * 1000;
    return lease !== undefined;
  }

  endLease(id: string): void {
    const keys = [...this.rows].filter(([, row]) => row.lease?.id === id);
    if (keys.length > 0) this.revision++;
    for (const [key] of keys) this.rows.delete(key);
    this.leases.delete(id);
  }

  delete(key: string, condition: Spec): boolean {
    if (!this.rows.has(key) || !this.holds(key, condition)) return false;
    this.revision++;
    return this.rows.delete(key);
  }

  deleteTree(prefix: string): number {
    const keys = [...this.rows.keys()].filter((key) => key.startsWith(prefix));
    if (keys.length > 0) this.revision++;
    for (const key of keys) this.rows.delete(key);
    return keys.length;
  }

  pass(ms: number): void {
    this.nowMs += ms;
    for (const [id, lease] of this.leases) if (lease.deadlineMs <= this.nowMs) this.endLease(id);
    for (const [key, row] of this.rows) {
      if (row.deadlineMs > this.nowMs) continue;
      this.rows.delete(key);
      this.revision++;
    }
  }

  holds(key: string, condition: Spec): boolean {
    const row = this.rows.get(key);
    if (condition === 'absent') return row === undefined;
    if (condition === 'present' || condition === 'its revision') return row !== undefined;
    if (condition === 'old revision') return false;
    return condition === 'none' || row?.text === condition.value;
  }
}

interface Life {
  readonly ttlSeconds?: number | undefined;
  readonly lease?: string | undefined;
}

type Spec = 'none' | 'absent' | 'present' | 'its revision' | 'old revision' | { value: string };

type Command =
  | { readonly kind: 'put'; key: string; text: string; ttlSeconds: number | undefined; if: Spec }
  | { readonly kind: 'putOnLease'; key: string; text: string; slot: number; if: Spec }
  | { readonly kind: 'grant'; slot: number; ttlSeconds: number }
  | { readonly kind: 'renew' | 'revoke'; slot: number }
  | { readonly kind: 'delete'; key: string; if: Spec }
  | { readonly kind: 'deleteTree'; prefix: string }
  | { readonly kind: 'pass'; ms: number }
  | { readonly kind: 'stall'; ms: number }
  | { readonly kind: 'jumpWall'; ms: number }
  | { readonly kind: 'restart'; downMs: number };

const key = fc.constantFrom('/a', '/a/', '/a/b', '/a/c', '/ab', '/é/😀', '/é/\uffee', '/__proto__');
const text = fc.constantFrom('', 'x', 'y', '\u0000\u00ff');
const condition: fc.Arbitrary<Spec> = fc.oneof(
  { arbitrary: fc.constant('none' as const), weight: 4 },
  fc.constantFrom<Spec>('absent', 'present', 'its revision', 'old revision'),
  text.map((value) => ({ value })),
);
const ttlSeconds = fc.option(fc.constantFrom(1, 2, 3, 10, 4_320_000), { nil: undefined });
const ms = fc.constantFrom(0, 1, 500, 999, 1000, 2001, 10_000, 4_320_000_000);

const slot = fc.constantFrom(0, 1, 2);
const putOnLease = fc.record({
  kind: fc.constant('putOnLease' as const),
  key,
  text,
  slot,
  if: condition,
});
const grant = fc.record({
  kind: fc.constant('grant' as const),
  slot,
  ttlSeconds: fc.constantFrom(1, 2, 3, 10, 86_400),
});

const put = fc.record({ kind: fc.constant('put' as const), key, text, ttlSeconds, if: condition });
const common: fc.Arbitrary<Command>[] = [
  put,
  put,
  putOnLease,
  putOnLease,
  grant,
  fc.record({ kind: fc.constantFrom('renew' as const, 'revoke' as const), slot }),
  fc.record({ kind: fc.constant('delete' as const), key, if: condition }),
  fc.record({
    kind: fc.constant('deleteTree' as const),
    prefix: fc.constantFrom('/', '/a/', '/é/'),
  }),
  fc.record({ kind: fc.constant('pass' as const), ms }),
  fc.record({ kind: fc.constant('stall' as const), ms }),
  fc.record({ kind: fc.constant('jumpWall' as const), ms: fc.constantFrom(-1e10, 1e10) }),
];
const restart = fc.record({ kind: fc.constant('restart' as const), downMs: ms });

type Open = (clock: FakeClock) => Promise<LeaseStore>;

/** The store, model and clock of one run, and the changes of its watch. */
class Run {
  readonly clock = new FakeClock();
  readonly model = new Model();
  readonly open: Open;
  store: LeaseStore;
  /** Ids of the last granted leases, by position. */
  readonly #slots = ['1', '1', '1'];
  #folded = new Map<string, string>();
  #seen = 0;
  #abort = new AbortController();
  #watching = Promise.resolve();
  #failure: { readonly error: unknown } | undefined;

  private constructor(open: Open, store: LeaseStore, clock: FakeClock) {
    this.open = open;
    this.store = store;
    this.clock = clock;
    this.#watch();
  }

  static async begin(open: Open): Promise<Run> {
    const clock = new FakeClock();
    return new Run(open, await open(clock), clock);
  }

  async do(command: Command): Promise<void> {
    const { model, store, clock } = this;
    switch (command.kind) {
      case 'put':
        return this.#put(command, { ttlSeconds: command.ttlSeconds });
      case 'putOnLease':
        return this.#put(command, { lease: this.#slots[command.slot] });
      case 'grant': {
        const { ttlSeconds } = command;
        const { id } = await store.grantLease(ttlSeconds);
        model.leases.set(id, { id, ttlSeconds, deadlineMs: model.nowMs + ttlSeconds * 1000 });
        this.#slots[command.slot] = id;
        return;
      }
      case 'renew': {
        const id = this.#slots[command.slot] ?? '';
        assert.equal(await store.renewLease(id), model.renew(id));
        return;
      }
      case 'revoke': {
        const id = this.#slots[command.slot] ?? '';
        await store.revokeLease(id);
        return model.endLease(id);
      }
      case 'delete': {
        const result = await store.delete(command.key, {
          if: this.#condition(command.key, command.if),
        });
        assert.equal(result.done, model.delete(command.key, command.if));
        return;
      }
      case 'deleteTree':
        assert.equal(
          (await store.deleteTree(command.prefix)).deleted,
          model.deleteTree(command.prefix),
        );
        return;
      case 'pass':
        await clock.advance(command.ms);
        return model.pass(command.ms);
      case 'stall':
        clock.stall(command.ms);
        return model.pass(command.ms);
      case 'jumpWall':
        return clock.jumpWall(command.ms);
      case 'restart':
        await this.#restart(command.downMs);
    }
  }

  async check(): Promise<void> {
    const keys: string[] = [];
    for await (const { entries } of this.store.snapshot('/')) {
      for (const entry of entries) {
        keys.push(entry.key);
        const row = this.model.rows.get(entry.key);
        assert.equal(shown(entry.value), row?.text, entry.key);
        const { createRevision, modRevision, lease } = entry;
        assert.deepEqual([createRevision, modRevision], [row?.createRevision, row?.modRevision]);
        const leftMs = (lease?.expiresAtMs ?? Infinity) - this.clock.monotonicMs();
        const deadlineMs = row?.lease?.deadlineMs ?? row?.deadlineMs ?? 0;
        assert.equal(leftMs, deadlineMs - this.model.nowMs);
        if (row?.lease !== undefined) assert.equal(lease?.id, row.lease.id);
      }
    }
    const expected = [...this.model.rows.keys()];
    assert.deepEqual(
      keys,
      expected.sort((a, b) => Buffer.compare(octetsOf(a), octetsOf(b))),
    );
  }

  /** Makes a last write, whose revision shows that no change was lost or invented. */
  async end(): Promise<void> {
    await this.do({ kind: 'put', key: '/end', text: 'x', ttlSeconds: undefined, if: 'none' });
    const { entry, revision } = await this.store.get('/end');
    assert.equal(entry?.modRevision, this.model.revision);
    assert.equal(revision, this.model.revision);
    while (this.#seen < revision && this.#failure === undefined) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    const expected = [...this.model.rows].map(([each, row]) => [each, row.text]);
    await this.close();
    assert.deepEqual([...this.#folded].sort(), expected.sort());
  }

  /** Throws the error of the watch. */
  async close(): Promise<void> {
    this.#abort.abort();
    await this.#watching;
    await this.store.close();
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #put(write: { key: string; text: string; if: Spec }, life: Life): Promise<void> {
    const { key, text } = write;
    const options = { ...life, if: this.#condition(key, write.if) };
    const outcome = await this.store.put(key, octets(text), options).then(
      ({ done }) => done,
      (error: unknown) => codeOf(error),
    );
    const noLease = life.lease !== undefined && !this.model.leases.has(life.lease);
    if (noLease && this.model.holds(key, write.if)) assert.equal(outcome, 'invalid');
    else assert.equal(outcome, this.model.put(key, text, life, write.if));
  }

  async #restart(downMs: number): Promise<void> {
    await this.close();
    this.clock.stall(downMs);
    this.model.pass(downMs);
    this.store = await this.open(this.clock);
    this.#abort = new AbortController();
    this.#watch();
  }

  #watch(): void {
    this.#watching = this.#follow().catch((error: unknown) => {
      this.#failure = { error };
    });
  }

  async #follow(): Promise<void> {
    this.#folded = new Map();
    for await (const { revision, entries } of this.store.snapshot('/')) {
      this.#seen = revision;
      for (const entry of entries) this.#folded.set(entry.key, shown(entry.value));
    }
    const batches = this.store.watch('/', this.#seen + 1, this.#abort.signal);
    for await (const batch of batches) this.#fold(batch);
  }

  #fold({ revision, changes }: WatchBatch): void {
    const expected = changes.length === 0 ? this.#seen : this.#seen + 1;
    assert.equal(revision, expected, 'each revision comes once, in order');
    this.#seen = revision;
    for (const change of changes) {
      assert.ok(change.kind === 'put' || change.previous !== undefined);
      if (change.kind === 'put') this.#folded.set(change.entry.key, shown(change.entry.value));
      else this.#folded.delete(change.key);
    }
  }

  #condition(of: string, spec: Spec): Condition | undefined {
    const modRevision = this.model.rows.get(of)?.modRevision ?? 1e9;
    if (spec === 'none') return undefined;
    if (spec === 'its revision') return { kind: 'modRevision', modRevision };
    if (spec === 'old revision') return { kind: 'modRevision', modRevision: modRevision - 1 };
    return typeof spec === 'string' ? { kind: spec } : { kind: 'value', value: octets(spec.value) };
  }
}

function codeOf(error: unknown): string {
  if (error instanceof StoreError) return error.code;
  throw error;
}

function octets(characters: string): Uint8Array {
  return Buffer.from(characters, 'latin1');
}

function shown(value: Uint8Array): string {
  return Buffer.from(value).toString('latin1');
}

function octetsOf(name: string): Buffer {
  return Buffer.from(name);
}

async function play(open: Open, commands: Command[]): Promise<void> {
  const run = await Run.begin(open);
  try {
    for (const command of commands) {
      await run.do(command);
      await run.check();
    }
    await run.end();
  } finally {
    await run.close();
  }
}

it('A memory: store behaves like a map with revisions and deadlines', {
  timeout: 120_000,
}, async () => {
  const commands = fc.array(fc.oneof(...common), { minLength: 10, maxLength: 80 });
  const open = async (clock: FakeClock) => createMemoryStore({ clock });
  await fc.assert(
    fc.asyncProperty(commands, (list) => play(open, list)),
    { numRuns: 300 },
  );
});

it('A file: store behaves like a map with revisions and deadlines, even across restarts', {
  timeout: 120_000,
}, async () => {
  const commands = fc.array(fc.oneof(...common, restart), { minLength: 5, maxLength: 40 });
  const property = fc.asyncProperty(commands, (list) =>
    withTempDir((dir) => play((clock) => openFileStore(dir, { clock }), list)),
  );
  await fc.assert(property, { numRuns: 60 });
});
