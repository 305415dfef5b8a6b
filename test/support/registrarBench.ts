/** A registrar between a fake engine and a memory store, all on one clock that only the test moves. */
import assert from 'node:assert/strict';
import type { RegistrarContext } from '../../src/docker/context.ts';
import type { Engine } from '../../src/docker/engine.ts';
import {
  createRegistrar,
  type Registrar,
  type RegistrarEvent,
  type RegistrarOptions,
} from '../../src/docker/registrar.ts';
import { createMemoryStore } from '../../src/store/memory.ts';
import type { LeaseStore } from '../../src/store/store.ts';
import { FakeClock } from './fakeClock.ts';
import { FakeEngine } from './fakeEngine.ts';
import { registrarContext } from './inspection.ts';

export interface BenchSetup extends Partial<Omit<RegistrarOptions, 'context'>> {
  readonly context?: Partial<RegistrarContext>;
}

let made = 0;

export class RegistrarBench {
  readonly clock = new FakeClock();
  readonly engine = new FakeEngine(this.clock);
  readonly store: LeaseStore = createMemoryStore({ clock: this.clock });
  readonly events: RegistrarEvent[] = [];
  /** What the host's address is found to be. */
  hostAddress: string | undefined = '192.0.2.1';
  readonly #registrars = new Set<Registrar>();

  /** A registrar of the engine, started; internal mode, so that addresses are the containers' own. */
  start(setup: BenchSetup = {}): Registrar {
    const { context, ...options } = setup;
    const number = ++made;
    const registrar = createRegistrar({
      engine: this.engine as Engine,
      store: this.store,
      context: registrarContext({ mode: 'internal', ...context }),
      surroundings: async () => ({
        hostAddresses: this.hostAddress === undefined ? {} : { v4: this.hostAddress },
        ownNetworks: [],
      }),
      probe: async () => true,
      instance: `instance-${number}`,
      host: `host-${number}`,
      clock: this.clock,
      random: () => 0.5,
      onEvent: (event) => this.events.push(event),
      ...options,
    });
    this.#registrars.add(registrar);
    registrar.start();
    return registrar;
  }

  /** Everything that can happen without time passing happens. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 40; turn++) await new Promise((resolve) => setImmediate(resolve));
  }

  async advance(ms: number): Promise<void> {
    await this.settle();
    await this.clock.advance(ms);
    await this.settle();
  }

  /** Keys below `/skydns/`, shortened by that, with their values. */
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

  /** The same as `HOST` by key. */
  async hosts(): Promise<Record<string, string>> {
    const records = Object.entries(await this.records());
    return Object.fromEntries(records.map(([key, { host }]) => [key, host]));
  }

  async revision(): Promise<number> {
    return (await this.store.get('/revision')).revision;
  }

  /** Fails when anything is written within that time. */
  async assertQuiet(ms: number): Promise<void> {
    await this.settle();
    const before = await this.revision();
    await this.advance(ms);
    assert.equal(await this.revision(), before, 'something was written');
  }

  /** Ends without a word, as by SIGKILL: nothing of it ever touches the store again. */
  async close(): Promise<void> {
    for (const registrar of this.#registrars) {
      const closing = registrar.close({ end: 'keep', lingerMs: 0 });
      await this.advance(5_000);
      await closing;
    }
    await this.store.close();
  }
}

export interface StoredRecord {
  readonly host: string;
  readonly port?: number;
  readonly ttl: number;
  readonly owner?: { readonly r: string; readonly c: string; readonly s: string };
}
