/** A registrar between a fake engine and a memory store, all on one clock that only the test advances. */
import assert from 'node:assert/strict';
import type { RegistrarContext } from '../../src/registrar/describe/context.ts';
import { isLockKey, LOCKS } from '../../src/registrar/leadership/lock.ts';
import { Registrar, type RegistrarOptions } from '../../src/registrar/registrar.ts';
import type { RegistrarEvent } from '../../src/registrar/registrarEvents.ts';
import { printReason } from '../../src/registrar/status.ts';
import { createMemoryStore } from '../../src/store/embedded/memoryStore.ts';
import type { LeaseStore } from '../../src/store/store.ts';
import { FakeClock } from './fakeClock.ts';
import { FakeEngine } from './fakeEngine.ts';
import { registrarContext } from './inspection.ts';
import { entriesOf } from './storeCalls.ts';
import { StoreLink } from './storeLink.ts';

export const LEASE_MS = 30_000;

/** A container with that name in the zone skydns.local and the exposed port 80. */
export function named(name: string, more: Record<string, string> = {}) {
  return { env: { DNS_NAME: `${name}.skydns.local`, ...more }, exposed: ['80/tcp'] };
}

export const WEB = named('web');
/** The key of `WEB` below `/skydns/`. */
export const KEY = 'local/skydns/web';

/** The printed reasons why a registrar is not ready. */
export function troubles({ registrar }: Pick<Running, 'registrar'>): string {
  return registrar.readiness().reasons.map(printReason).join();
}

export function kindsOf({ events }: Running): string[] {
  return events.map(({ kind }) => kind);
}

export interface FixtureSetup extends Partial<Omit<RegistrarOptions, 'context'>> {
  readonly context?: Partial<RegistrarContext>;
}

let made = 0;

export class RegistrarFixture {
  readonly clock = new FakeClock();
  readonly engine = new FakeEngine(this.clock);
  readonly store: LeaseStore = createMemoryStore({ clock: this.clock });
  /** The host's address; `undefined`: unknown. */
  hostAddress: string | undefined = '192.0.2.1';
  readonly #running = new Set<Running>();

  /** Starts a registrar of the engine, in internal mode: records have the containers' own addresses. */
  start(setup: FixtureSetup = {}): Running {
    const { context, ...options } = setup;
    const number = ++made;
    const link = new StoreLink(this.store);
    const events: RegistrarEvent[] = [];
    const registrar = new Registrar({
      engine: this.engine,
      store: link,
      context: { ...registrarContext({ mode: 'internal', ...context }) },
      readHostFacts: async () => ({
        hostAddresses: this.hostAddress === undefined ? {} : { v4: this.hostAddress },
        ownNetworks: [],
      }),
      probe: async () => true,
      runId: `instance-${number}`,
      host: `host-${number}`,
      bootKey: 'this machine and its engine',
      clock: this.clock,
      random: () => 0.5,
      onEvent: (event) => events.push(event),
      ...options,
    });
    const running = { registrar, link, events };
    this.#running.add(running);
    registrar.start();
    return running;
  }

  /** Like SIGKILL: the registrar no longer reaches the store. */
  kill(running: Running): void {
    running.link.kill();
    this.#running.delete(running);
  }

  /** Like SIGTERM. */
  async end(running: Running, onExit: 'keep' | 'revoke' = 'keep', lingerMs = 0): Promise<void> {
    this.#running.delete(running);
    let isClosed = false;
    const closing = running.registrar.close({ onExit, lingerMs }).finally(() => {
      isClosed = true;
    });
    await this.advance(Math.max(lingerMs, 1_000) + 100);
    // The test's store may be slow.
    while (!isClosed) await this.advance(1_000);
    await closing;
  }

  /** Runs everything that is due at the present time. */
  async settle(): Promise<void> {
    for (let round = 0; round < 40; round++) await new Promise((resolve) => setImmediate(resolve));
  }

  async advance(ms: number): Promise<void> {
    await this.settle();
    await this.clock.advance(ms);
    await this.settle();
  }

  /** The values below `/skydns/`, by the rest of their keys. */
  async records(): Promise<Record<string, StoredRecord>> {
    await this.settle();
    const records: Record<string, StoredRecord> = {};
    for await (const { entries } of this.store.snapshot('/skydns/')) {
      for (const { key, value } of entries) {
        records[key.slice('/skydns/'.length)] = JSON.parse(Buffer.from(value).toString());
      }
    }
    return records;
  }

  async keys(): Promise<string[]> {
    return Object.keys(await this.records());
  }

  /** The hosts of the records, by key. */
  async hosts(): Promise<Record<string, string>> {
    const records = Object.entries(await this.records());
    return Object.fromEntries(records.map(([key, { host }]) => [key, host]));
  }

  /** The keys of all locks. */
  async locks(): Promise<string[]> {
    await this.settle();
    const entries = await entriesOf(this.store, LOCKS);
    return entries.map(({ key }) => key).filter(isLockKey);
  }

  async revision(): Promise<number> {
    return (await this.store.get('/revision')).revision;
  }

  /** Fails if a write happens within that time. */
  async assertQuiet(ms: number): Promise<void> {
    await this.settle();
    const before = await this.revision();
    await this.advance(ms);
    assert.equal(await this.revision(), before, 'something was written');
  }

  async close(): Promise<void> {
    for (const running of this.#running) {
      running.link.restore();
      await this.end(running);
    }
    await this.store.close();
  }
}

/** Runs a test on a new fixture and closes it afterwards. */
export async function withRegistrarFixture(
  use: (fixture: RegistrarFixture) => Promise<void>,
): Promise<void> {
  const fixture = new RegistrarFixture();
  try {
    await use(fixture);
  } finally {
    await fixture.close();
  }
}

export interface Running {
  readonly registrar: Registrar;
  /** Its connection to the store, which a test can cut. */
  readonly link: StoreLink;
  /** Its events so far. */
  readonly events: RegistrarEvent[];
}

export interface StoredRecord {
  readonly host: string;
  readonly port?: number;
  readonly ttl: number;
  readonly owner?: { readonly r: string; readonly c: string; readonly s: string };
}

/** Collects the keys that are deleted from now on. */
export function watchDeletes(fixture: RegistrarFixture): { keys: string[]; stop(): void } {
  const abort = new AbortController();
  const keys: string[] = [];
  void (async () => {
    const { revision } = await fixture.store.get('/x');
    for await (const { changes } of fixture.store.watch('/skydns/', revision + 1, abort.signal)) {
      for (const change of changes) if (change.kind === 'delete') keys.push(change.key);
    }
  })();
  return { keys, stop: () => abort.abort() };
}
