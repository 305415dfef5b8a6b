/**
 * Whatever happens to containers, events, engine, store, lease and registrar, in any order: once it is quiet, the store
 * holds what should be there by looking at the containers alone, nothing of others was touched, and nothing is written
 * any more.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { keysOfName, nameKeyOf, storedKey } from '../../src/docker/claim.ts';
import { describe as describeContainer } from '../../src/docker/describe.ts';
import type { EngineEvent, Inspection } from '../../src/docker/engine.ts';
import type { FakeContainer } from '../support/fakeContainer.ts';
import { registrarContext } from '../support/inspection.ts';
import { onBench, type RegistrarBench, type Running } from '../support/registrarBench.ts';
import type { StoreLink } from '../support/storeLink.ts';

const FOREIGN = '{"host":"192.0.2.99"}';
const FOREIGN_TARGET = '192.0.2.99:undefined';
/** Several of a name, so that they are in each other's way; one of them has both families. */
const SETUPS = [
  { env: { DNS_NAME: 'a' }, exposed: ['80/tcp'] },
  { env: { DNS_NAME: 'a' }, exposed: ['82/tcp'], ip6: 'fd00::9' },
  { env: { DNS_NAME: 'a' }, exposed: ['81/tcp'] },
  { env: { DNS_NAME: 'b,c.d' }, exposed: ['80/tcp'], health: 'healthy' },
  { env: { DNS_NAME: 'c.d', DNS_STOP: 'die' }, exposed: ['80/tcp'] },
  { env: { DNS_SERVICE: 'n', DNS_INSTANCE: 'auto' }, exposed: ['80/tcp'] },
  { env: { DNS_SERVICE: 'n', DNS_INSTANCE: 'auto' }, exposed: ['80/tcp'] },
  { env: { DNS_SERVICE: 'n', DNS_INSTANCE: 'auto' }, exposed: ['82/tcp'], ip6: 'fd00::8' },
  { env: {}, exposed: ['80/tcp'] },
] as const;
const NAMES = ['a', 'b', 'd/c', 'n/1', 'n/2', 'a/ipv6', 'n/2/ipv4'];

const SLOW_MS = 3_000;
const STOP_SECONDS = 60;

const which = fc.nat({ max: SETUPS.length - 1 });
const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('turn' as const), which }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('restart' as const), which }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('pause' as const), which }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('signal' as const), which }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('health' as const), which }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('network' as const), which }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('foreign' as const),
      at: fc.nat({ max: NAMES.length - 1 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('vandal' as const),
      at: fc.nat({ max: NAMES.length - 1 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      ms: fc.constantFrom(0, 1, 60, 700, 6_000, 15_000, 45_000),
    }),
  },
  ...(
    [
      'dropEvents',
      'holdEvents',
      'letEvents',
      'loseEngine',
      'findEngine',
      'cutEvents',
      'loseStore',
    ] as const
  ).map((kind) => ({ weight: 1, arbitrary: fc.record({ kind: fc.constant(kind) }) })),
  ...(
    [
      'findStore',
      'loseAnswers',
      'slowWrites',
      'cutWatches',
      'revoke',
      'kill',
      'end',
      'twin',
    ] as const
  ).map((kind) => ({
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant(kind) }),
  })),
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

class World {
  readonly bench: RegistrarBench;
  readonly #slots: (FakeContainer | undefined)[] = [];
  readonly #held: EngineEvent[] = [];
  #running: Running[] = [];

  constructor(bench: RegistrarBench) {
    this.bench = bench;
    this.#running = [this.#start()];
  }

  async act(action: Action): Promise<void> {
    const { engine } = this.bench;
    switch (action.kind) {
      case 'turn':
      case 'restart':
      case 'pause':
      case 'signal':
      case 'health':
      case 'network':
        return this.#actOn(action.kind, action.which);
      case 'foreign':
        return this.#writeForeign(NAMES[action.at] ?? '');
      case 'vandal':
        await this.bench.store.delete(keyOf(NAMES[action.at] ?? ''));
        return;
      case 'wait':
        return this.bench.advance(action.ms);
      case 'dropEvents':
        engine.faults.drop = () => true;
        return;
      case 'holdEvents':
        engine.faults.drop = (event) => this.#held.push(event) > 0;
        return;
      case 'letEvents':
        return this.#letEvents();
      case 'loseEngine':
        return engine.lose();
      case 'findEngine':
        return engine.restore();
      case 'cutEvents':
        return engine.cutEvents();
      case 'loseStore':
        return this.#running.forEach(({ link }) => void link.lose());
      case 'findStore':
        return this.#running.forEach(({ link }) => void link.restore());
      case 'cutWatches':
        return this.#running.forEach(({ link }) => void link.cutWatches());
      case 'loseAnswers':
        for (const { link } of this.#running) link.loseAnswer = (operation) => operation === 'put';
        return;
      case 'slowWrites':
        for (const { link } of this.#running) link.delay = this.#slowly;
        return;
      case 'revoke':
        return this.#revoke();
      default:
        return this.#replace(action.kind);
    }
  }

  /** All faults end, and time enough passes. */
  async quieten(): Promise<void> {
    await this.#letEvents();
    this.bench.engine.restore();
    for (const { link } of this.#running) {
      link.restore();
      link.loseAnswer = undefined;
      link.delay = undefined;
    }
    await this.bench.advance(90_000);
  }

  /** What containers want, by the key of the name: the records of each that wants it, as `HOST:PORT` by stored key. */
  wanted(): Map<string, Map<string, string>[]> {
    const wanted = new Map<string, Map<string, string>[]>();
    for (const container of this.bench.engine.containers.values()) {
      const inspection = container.inspection() as Inspection;
      const description = describeContainer(inspection, registrarContext({ mode: 'internal' }));
      if (description.kind !== 'described') continue;
      const names = new Map<string, Map<string, string>>();
      for (const { key, family, fields } of description.records) {
        const records = names.get(key) ?? new Map<string, string>();
        names.set(key, records.set(storedKey(key, family), `${fields.host}:${fields.port}`));
      }
      for (const [key, records] of names) wanted.set(key, [...(wanted.get(key) ?? []), records]);
    }
    return wanted;
  }

  #actOn(kind: 'turn' | 'restart' | 'pause' | 'signal' | 'health' | 'network', at: number): void {
    const { engine } = this.bench;
    const container = this.#slots[at];
    if (container === undefined) {
      this.#slots[at] = engine.run(SETUPS[at] ?? {});
      return;
    }
    if (kind === 'turn' && container.isRunning) engine.die(container);
    else if (kind === 'turn') this.#removeOrStart(container, at);
    else if (kind === 'restart') engine.restart(container);
    else if (!container.isRunning) return;
    else if (kind === 'pause' && container.state === 'paused') engine.unpause(container);
    else if (kind === 'pause') engine.pause(container);
    else if (kind === 'signal') engine.signal(container, '15');
    else if (kind === 'network') engine.connect(container, 'bridge');
    else if (container.health !== undefined)
      engine.setHealth(container, container.health === 'healthy' ? 'unhealthy' : 'healthy');
  }

  #removeOrStart(container: FakeContainer, at: number): void {
    if (at % 2 === 0) {
      this.bench.engine.start(container);
      return;
    }
    this.bench.engine.remove(container);
    this.#slots[at] = undefined;
  }

  async #writeForeign(name: string): Promise<void> {
    const { store } = this.bench;
    const { entry } = await store.get(keyOf(name));
    if (entry !== undefined && Buffer.from(entry.value).toString() === FOREIGN)
      await store.delete(entry.key);
    else await store.put(keyOf(name), Buffer.from(FOREIGN));
  }

  /** Longer than anybody waits for a write, which arrives all the same. */
  readonly #slowly: StoreLink['delay'] = (operation) => {
    if (operation !== 'put' && operation !== 'delete') return undefined;
    return new Promise((resolve) => this.bench.clock.startTimer(SLOW_MS, resolve));
  };

  /** Last come, first heard. */
  #letEvents(): void {
    this.bench.engine.faults.drop = undefined;
    for (const event of this.#held.splice(0).reverse()) this.bench.engine.replay(event);
  }

  async #revoke(): Promise<void> {
    for (const { registrar } of this.#running) {
      const { lease } = registrar.status();
      if (lease !== undefined) await this.bench.store.revokeLease(lease.id);
    }
  }

  async #replace(how: 'kill' | 'end' | 'twin'): Promise<void> {
    if (how !== 'twin') {
      for (const running of this.#running.splice(0)) {
        if (how === 'kill') this.bench.kill(running);
        else await this.bench.end(running);
      }
    }
    if (this.#running.length < 2) this.#running.push(this.#start());
  }

  #start(): Running {
    return this.bench.start({ context: { stopSeconds: STOP_SECONDS } });
  }
}

function keyOf(name: string): string {
  return `/skydns/local/skydns/${name}`;
}

async function assertTrue(world: World, foreign: ReadonlyMap<string, string>): Promise<void> {
  const records = await world.bench.records();
  const wanted = world.wanted();
  const numbered = wanted.get(keyOf('n')) ?? [];
  wanted.delete(keyOf('n'));
  const left = new Map(
    Object.entries(records).map(([key, { host, port }]) => [`/skydns/${key}`, `${host}:${port}`]),
  );
  for (const key of foreign.keys()) {
    assert.equal(left.get(key), FOREIGN_TARGET, `${key} is another's`);
    left.delete(key);
  }
  for (const [name, wishes] of wanted) {
    const isTaken = keysOfName(name).some((key) => foreign.has(key));
    assertHeld(name, isTaken ? [new Map(), ...wishes] : wishes, take(left, keysOfName(name)));
  }
  const names = new Set([...left.keys()].map(nameKeyOf));
  for (const name of names) {
    assert.match(name, /\/n\/[1-9]$/, 'a ghost');
    const held = take(left, keysOfName(name));
    assertHeld(name, numbered, held);
    numbered.splice(numbered.map(printed).indexOf(printed(held)), 1);
  }
  assert.deepEqual(numbered, []);
}

/** One of those who want the name has it whole. */
function assertHeld(
  name: string,
  wishes: readonly ReadonlyMap<string, string>[],
  held: ReadonlyMap<string, string>,
): void {
  assert.ok(wishes.map(printed).includes(printed(held)), `${name}: ${printed(held)}`);
}

/** Families and targets, whatever the name is. */
function printed(records: ReadonlyMap<string, string>): string {
  return JSON.stringify([...records].map(([key, target]) => [/ipv[46]$/.exec(key)?.[0], target]));
}

function take(left: Map<string, string>, keys: readonly string[]): Map<string, string> {
  const taken = new Map<string, string>();
  for (const key of keys) {
    const target = left.get(key);
    if (target !== undefined) taken.set(key, target);
    left.delete(key);
  }
  return taken;
}

async function foreignIn(bench: RegistrarBench): Promise<Map<string, string>> {
  const foreign = new Map<string, string>();
  for await (const { entries } of bench.store.snapshot('/skydns/')) {
    for (const { key, value } of entries) {
      const text = Buffer.from(value).toString();
      if (text === FOREIGN) foreign.set(key, text);
    }
  }
  return foreign;
}

/** Two that both believe to hold the lock, one of which has not heard of a container that the other one lists. */
const RIVALS: Action[] = [
  { kind: 'dropEvents' },
  { kind: 'kill' },
  { kind: 'wait', ms: 15_000 },
  { kind: 'cutWatches' },
  { kind: 'revoke' },
  { kind: 'turn', which: 5 },
  { kind: 'twin' },
];

describe('convergence', () => {
  it(
    'comes to what the containers say, touches nothing else, then writes nothing',
    {
      timeout: 120_000,
    },
    () =>
      fc.assert(
        fc.asyncProperty(fc.array(action, { minLength: 5, maxLength: 40 }), (actions) =>
          onBench(async (bench) => {
            const world = new World(bench);
            let foreign = new Map<string, string>();
            for (const action of actions) {
              await world.act(action);
              if (action.kind === 'vandal' || action.kind === 'foreign')
                foreign = await foreignIn(bench);
            }
            await world.quieten();
            await assertTrue(world, foreign);
            await bench.assertQuiet(120_000);
          }),
        ),
        { numRuns: 150, endOnFailure: false, examples: [[RIVALS]] },
      ),
  );
});
