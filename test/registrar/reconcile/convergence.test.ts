/**
 * Whatever happens to containers, events, engines, store, leases and registrars, in any order: once it is quiet, the store
 * holds what should be there by looking at the containers alone, nothing of others was touched, and nothing is written
 * any more. There are two machines, whose engines have one id: no registrar ever changes a record of a container that its
 * own engine has never had.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  keysOfName,
  nameKeyOf,
  ownerOf,
  storedKey,
} from '../../../src/registrar/describe/record.ts';
import { describeContainer } from '../../../src/registrar/describeContainer.ts';
import { shortIdOf } from '../../../src/registrar/engine/containerId.ts';
import type { EngineEvent, Inspection } from '../../../src/registrar/engine/engine.ts';
import type { Entry } from '../../../src/service/change.ts';
import type { FakeContainer } from '../../support/fakeContainer.ts';
import { FakeEngine } from '../../support/fakeEngine.ts';
import { registrarContext } from '../../support/inspection.ts';
import {
  type RegistrarFixture,
  type Running,
  withRegistrarFixture,
} from '../../support/registrarFixture.ts';
import type { StoreLink } from '../../support/storeLink.ts';

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
/** Which of the machines. */
const site = fc.nat({ max: 1 });
const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('turn' as const), which, site }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('restart' as const), which, site }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('pause' as const), which, site }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('signal' as const), which, site }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('health' as const), which, site }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('network' as const), which, site }) },
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
  ).map((kind) => ({ weight: 1, arbitrary: fc.record({ kind: fc.constant(kind), site }) })),
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
      'reboot',
      'rename',
    ] as const
  ).map((kind) => ({
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant(kind), site }),
  })),
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

/** A machine with an engine, and the registrars of that. */
class Site {
  readonly engine: FakeEngine;
  readonly slots: (FakeContainer | undefined)[] = [];
  readonly held: EngineEvent[] = [];
  running: Running[] = [];
  /** What a registrar did to a record of a container that is not of this engine. */
  readonly trespasses: string[] = [];
  readonly #fixture: RegistrarFixture;
  readonly #number: number;
  readonly #made = new Set<string>();
  #bootedAtMs = 0;

  constructor(fixture: RegistrarFixture, number: number) {
    this.#fixture = fixture;
    this.#number = number;
    this.engine = new FakeEngine(fixture.clock, number * 4_096 + 2);
    this.start();
  }

  start(): void {
    const [number, bootedAtMs] = [this.#number, this.#bootedAtMs];
    const machine = {
      bootId: `boot ${number} at ${bootedAtMs}`,
      kernel: 'kernel',
      uptimeMs: () => this.#fixture.clock.monotonicMs() - bootedAtMs,
    };
    const hostAddresses = { v4: `192.0.2.${number}` };
    const running = this.#fixture.start({
      engine: this.engine,
      readHostFacts: async () => ({ hostAddresses, ownNetworks: [] }),
      bootKey: machine.bootId,
      machine,
      context: { stopTimeoutSeconds: STOP_SECONDS },
    });
    this.#guard(running.link);
    this.running.push(running);
  }

  run(at: number): void {
    const container = this.engine.run(SETUPS[at] ?? {});
    this.#made.add(shortIdOf(container.id));
    this.slots[at] = container;
  }

  /** SIGKILL to all that runs; `start` comes after. */
  reboot(): void {
    for (const running of this.running.splice(0)) this.#fixture.kill(running);
    this.#bootedAtMs = this.#fixture.clock.monotonicMs();
    this.engine.cutEvents();
    for (const container of this.slots)
      if (container?.isRunning === true) this.engine.restart(container);
  }

  /** The engine gets another id, or its old one back. */
  rename(): void {
    const { engineInfo } = this.engine;
    const id = engineInfo.id === 'ENGINE:1' ? 'ENGINE:2' : 'ENGINE:1';
    this.engine.engineInfo = { ...engineInfo, id };
    this.engine.cutEvents();
  }

  /** Last come, first heard. */
  letEvents(): void {
    this.engine.faults.drop = undefined;
    for (const event of this.held.splice(0).reverse()) this.engine.replay(event);
  }

  #guard(link: StoreLink): void {
    const { put, delete: remove } = link;
    link.put = async (key, value, options) => {
      const result = await put(key, value, options);
      if (result.done) this.#look(result.previous, 'overwrote');
      return result;
    };
    link.delete = async (key, options) => {
      const result = await remove(key, options);
      if (result.done) this.#look(result.deleted, 'deleted');
      return result;
    };
  }

  #look(before: Entry | undefined, what: string): void {
    const owner = before && ownerOf(before.value);
    if (owner === undefined || this.#made.has(owner.shortId)) return;
    this.trespasses.push(`${what} ${before?.key} of ${owner.shortId}`);
  }
}

class World {
  readonly fixture: RegistrarFixture;
  readonly #sites: readonly [Site, Site];

  constructor(fixture: RegistrarFixture) {
    this.fixture = fixture;
    this.#sites = [new Site(fixture, 1), new Site(fixture, 2)];
  }

  async act(action: Action): Promise<void> {
    switch (action.kind) {
      case 'foreign':
        return this.#writeForeign(NAMES[action.at] ?? '');
      case 'vandal':
        await this.fixture.store.delete(keyOf(NAMES[action.at] ?? ''));
        return;
      case 'wait':
        return this.fixture.advance(action.ms);
      default:
        return this.#actAt(action, this.#sites[action.site] ?? this.#sites[0]);
    }
  }

  async #actAt(action: Exclude<Action, { kind: 'foreign' | 'vandal' | 'wait' }>, site: Site) {
    const { engine, running } = site;
    switch (action.kind) {
      case 'turn':
      case 'restart':
      case 'pause':
      case 'signal':
      case 'health':
      case 'network':
        return this.#actOn(site, action.kind, action.which);
      case 'dropEvents':
        engine.faults.drop = () => true;
        return;
      case 'holdEvents':
        engine.faults.drop = (event) => site.held.push(event) > 0;
        return;
      case 'letEvents':
        return site.letEvents();
      case 'loseEngine':
        return engine.lose();
      case 'findEngine':
        return engine.restore();
      case 'cutEvents':
        return engine.cutEvents();
      case 'loseStore':
        return running.forEach(({ link }) => void link.lose());
      case 'findStore':
        return running.forEach(({ link }) => void link.restore());
      case 'cutWatches':
        return running.forEach(({ link }) => void link.cutWatches());
      case 'loseAnswers':
        for (const { link } of running) link.loseAnswer = (operation) => operation === 'put';
        return;
      case 'slowWrites':
        for (const { link } of running) link.delay = this.#slowly;
        return;
      case 'revoke':
        return this.#revoke(site);
      case 'reboot':
        site.reboot();
        site.start();
        return;
      case 'rename':
        return site.rename();
      case 'kill':
      case 'end':
      case 'twin':
        return this.#replace(site, action.kind);
    }
  }

  /** All faults end, and time enough passes. */
  async quieten(): Promise<void> {
    for (const site of this.#sites) {
      site.letEvents();
      site.engine.restore();
      for (const { link } of site.running) {
        link.restore();
        link.loseAnswer = undefined;
        link.delay = undefined;
      }
    }
    await this.fixture.advance(90_000);
  }

  trespasses(): readonly string[] {
    return this.#sites.flatMap(({ trespasses }) => trespasses);
  }

  /** What containers want, by the key of the name: the records of each that wants it, as `HOST:PORT` by stored key. */
  wanted(): Map<string, Map<string, string>[]> {
    const wanted = new Map<string, Map<string, string>[]>();
    const containers = this.#sites.flatMap(({ engine }) => [...engine.containers.values()]);
    for (const container of containers) {
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

  #actOn(
    site: Site,
    kind: 'turn' | 'restart' | 'pause' | 'signal' | 'health' | 'network',
    at: number,
  ): void {
    const { engine } = site;
    const container = site.slots[at];
    if (container === undefined) {
      site.run(at);
      return;
    }
    if (kind === 'turn' && container.isRunning) engine.die(container);
    else if (kind === 'turn') this.#removeOrStart(site, container, at);
    else if (kind === 'restart') engine.restart(container);
    else if (!container.isRunning) return;
    else if (kind === 'pause' && container.state === 'paused') engine.unpause(container);
    else if (kind === 'pause') engine.pause(container);
    else if (kind === 'signal') engine.signal(container, '15');
    else if (kind === 'network') engine.connect(container, 'bridge');
    else if (container.health !== undefined)
      engine.setHealth(container, container.health === 'healthy' ? 'unhealthy' : 'healthy');
  }

  #removeOrStart({ engine, slots }: Site, container: FakeContainer, at: number): void {
    if (at % 2 === 0) {
      engine.start(container);
      return;
    }
    engine.remove(container);
    slots[at] = undefined;
  }

  async #writeForeign(name: string): Promise<void> {
    const { store } = this.fixture;
    const { entry } = await store.get(keyOf(name));
    if (entry !== undefined && Buffer.from(entry.value).toString() === FOREIGN)
      await store.delete(entry.key);
    else await store.put(keyOf(name), Buffer.from(FOREIGN));
  }

  /** Longer than anybody waits for a write, which arrives all the same. */
  readonly #slowly: StoreLink['delay'] = (operation) => {
    if (operation !== 'put' && operation !== 'delete') return undefined;
    return new Promise((resolve) => this.fixture.clock.startTimer(SLOW_MS, resolve));
  };

  async #revoke({ running }: Site): Promise<void> {
    for (const { registrar } of running) {
      const { lease } = registrar.status();
      if (lease !== undefined) await this.fixture.store.revokeLease(lease.id);
    }
  }

  async #replace(site: Site, how: 'kill' | 'end' | 'twin'): Promise<void> {
    if (how !== 'twin') {
      for (const running of site.running.splice(0)) {
        if (how === 'kill') this.fixture.kill(running);
        else await this.fixture.end(running);
      }
    }
    if (site.running.length < 2) site.start();
  }
}

function keyOf(name: string): string {
  return `/skydns/local/skydns/${name}`;
}

async function assertTrue(world: World, foreign: ReadonlyMap<string, string>): Promise<void> {
  const records = await world.fixture.records();
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

async function foreignIn(fixture: RegistrarFixture): Promise<Map<string, string>> {
  const foreign = new Map<string, string>();
  for await (const { entries } of fixture.store.snapshot('/skydns/')) {
    for (const { key, value } of entries) {
      const text = Buffer.from(value).toString();
      if (text === FOREIGN) foreign.set(key, text);
    }
  }
  return foreign;
}

/** Two that both believe to hold the lock, one of which has not heard of a container that the other one lists. */
const RIVALS: Action[] = [
  { kind: 'dropEvents', site: 0 },
  { kind: 'kill', site: 0 },
  { kind: 'wait', ms: 15_000 },
  { kind: 'cutWatches', site: 0 },
  { kind: 'revoke', site: 0 },
  { kind: 'turn', which: 5, site: 0 },
  { kind: 'twin', site: 0 },
];

describe('convergence', () => {
  it(
    'The reconciler reaches the containers’ desired records, changes no others, and then writes nothing',
    {
      timeout: 120_000,
    },
    () =>
      fc.assert(
        fc.asyncProperty(fc.array(action, { minLength: 5, maxLength: 40 }), (actions) =>
          withRegistrarFixture(async (fixture) => {
            const world = new World(fixture);
            let foreign = new Map<string, string>();
            for (const action of actions) {
              await world.act(action);
              if (action.kind === 'vandal' || action.kind === 'foreign')
                foreign = await foreignIn(fixture);
            }
            await world.quieten();
            await assertTrue(world, foreign);
            assert.deepEqual(world.trespasses(), []);
            await fixture.assertQuiet(120_000);
          }),
        ),
        { numRuns: 150, endOnFailure: false, examples: [[RIVALS]] },
      ),
  );
});
