/** Two hosts whose engines have one id, with their containers and registrars, and the random actions on them. */
import { ownerOf, storedKey } from '../../src/registrar/describe/storedValue.ts';
import { describeContainer } from '../../src/registrar/describeContainer.ts';
import { shortIdOf } from '../../src/registrar/engine/containerId.ts';
import type { EngineEvent, Inspection } from '../../src/registrar/engine/engine.ts';
import type { Entry } from '../../src/service/change.ts';
import type { FakeContainer } from './fakeContainer.ts';
import { FakeEngine } from './fakeEngine.ts';
import { registrarContext } from './inspection.ts';
import { type Action, NAMES, SETUPS } from './randomActions.ts';
import type { RegistrarFixture, Running } from './registrarFixture.ts';
import type { StoreLink } from './storeLink.ts';

/** The value that `writeByHand` writes. */
export const FOREIGN = '{"host":"192.0.2.99"}';
const SLOW_MS = 3_000;
const STOP_SECONDS = 60;

/** A host with an engine and its registrars. */
class SimulatedHost {
  readonly engine: FakeEngine;
  readonly containers: (FakeContainer | undefined)[] = [];
  readonly held: EngineEvent[] = [];
  running: Running[] = [];
  /** Writes of this host's registrars to records of other engines' containers. */
  readonly foreignWrites: string[] = [];
  readonly #fixture: RegistrarFixture;
  readonly #number: number;
  readonly #ownIds = new Set<string>();
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
    this.#ownIds.add(shortIdOf(container.id));
    this.containers[at] = container;
  }

  /** Kills all registrars, and restarts all running containers. Call `start` afterwards. */
  reboot(): void {
    for (const running of this.running.splice(0)) this.#fixture.kill(running);
    this.#bootedAtMs = this.#fixture.clock.monotonicMs();
    this.engine.cutEvents();
    for (const container of this.containers)
      if (container?.isRunning === true) this.engine.restart(container);
  }

  /** The engine gets another id, or its old one back. */
  rename(): void {
    const { engineInfo } = this.engine;
    const id = engineInfo.id === 'ENGINE:1' ? 'ENGINE:2' : 'ENGINE:1';
    this.engine.engineInfo = { ...engineInfo, id };
    this.engine.cutEvents();
  }

  /** Sends the held events, the latest first. */
  releaseEvents(): void {
    this.engine.faults.drop = undefined;
    for (const event of this.held.splice(0).reverse()) this.engine.replay(event);
  }

  #guard(link: StoreLink): void {
    const { put, delete: remove } = link;
    link.put = async (key, value, options) => {
      const result = await put(key, value, options);
      if (result.done) this.#noteChange(result.previous, 'overwrote');
      return result;
    };
    link.delete = async (key, options) => {
      const result = await remove(key, options);
      if (result.done) this.#noteChange(result.deleted, 'deleted');
      return result;
    };
  }

  #noteChange(before: Entry | undefined, action: string): void {
    const owner = before && ownerOf(before.value);
    if (owner === undefined || this.#ownIds.has(owner.shortId)) return;
    this.foreignWrites.push(`${action} ${before?.key} of ${owner.shortId}`);
  }
}

export class SimulatedHosts {
  readonly fixture: RegistrarFixture;
  readonly #hosts: readonly [SimulatedHost, SimulatedHost];

  constructor(fixture: RegistrarFixture) {
    this.fixture = fixture;
    this.#hosts = [new SimulatedHost(fixture, 1), new SimulatedHost(fixture, 2)];
  }

  async act(action: Action): Promise<void> {
    switch (action.kind) {
      case 'writeByHand':
        return this.#writeForeign(NAMES[action.at] ?? '');
      case 'deleteKey':
        await this.fixture.store.delete(keyOf(NAMES[action.at] ?? ''));
        return;
      case 'wait':
        return this.fixture.advance(action.ms);
      default:
        return this.#actAt(action, this.#hosts[action.host] ?? this.#hosts[0]);
    }
  }

  async #actAt(
    action: Exclude<Action, { kind: 'writeByHand' | 'deleteKey' | 'wait' }>,
    host: SimulatedHost,
  ) {
    const { engine, running } = host;
    switch (action.kind) {
      case 'toggle':
      case 'restart':
      case 'pause':
      case 'signal':
      case 'health':
      case 'network':
        return this.#actOn(host, action.kind, action.which);
      case 'dropEvents':
        engine.faults.drop = () => true;
        return;
      case 'holdEvents':
        engine.faults.drop = (event) => host.held.push(event) > 0;
        return;
      case 'releaseEvents':
        return host.releaseEvents();
      case 'loseEngine':
        return engine.lose();
      case 'restoreEngine':
        return engine.restore();
      case 'cutEvents':
        return engine.cutEvents();
      case 'loseStore':
        return running.forEach(({ link }) => void link.lose());
      case 'restoreStore':
        return running.forEach(({ link }) => void link.restore());
      case 'cutWatches':
        return running.forEach(({ link }) => void link.cutWatches());
      case 'loseAnswers':
        for (const { link } of running) link.loseAnswer = (operation) => operation === 'put';
        return;
      case 'slowWrites':
        for (const { link } of running) link.delay = this.#delayWrites;
        return;
      case 'revoke':
        return this.#revoke(host);
      case 'reboot':
        host.reboot();
        host.start();
        return;
      case 'rename':
        return host.rename();
      case 'kill':
      case 'end':
      case 'startSecond':
        return this.#replace(host, action.kind);
    }
  }

  /** Ends all faults and waits until the registrars have restored every record. */
  async quieten(): Promise<void> {
    for (const host of this.#hosts) {
      host.releaseEvents();
      host.engine.restore();
      for (const { link } of host.running) {
        link.restore();
        link.loseAnswer = undefined;
        link.delay = undefined;
      }
    }
    await this.fixture.advance(90_000);
  }

  foreignWrites(): readonly string[] {
    return this.#hosts.flatMap(({ foreignWrites }) => foreignWrites);
  }

  /** The desired records by the key of the name: for each container that claims it, `HOST:PORT` by stored key. */
  wanted(): Map<string, Map<string, string>[]> {
    const wanted = new Map<string, Map<string, string>[]>();
    const containers = this.#hosts.flatMap(({ engine }) => [...engine.containers.values()]);
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
    host: SimulatedHost,
    kind: 'toggle' | 'restart' | 'pause' | 'signal' | 'health' | 'network',
    at: number,
  ): void {
    const { engine } = host;
    const container = host.containers[at];
    if (container === undefined) {
      host.run(at);
      return;
    }
    if (kind === 'toggle' && container.isRunning) engine.die(container);
    else if (kind === 'toggle') this.#removeOrStart(host, container, at);
    else if (kind === 'restart') engine.restart(container);
    else if (!container.isRunning) return;
    else if (kind === 'pause' && container.state === 'paused') engine.unpause(container);
    else if (kind === 'pause') engine.pause(container);
    else if (kind === 'signal') engine.signal(container, '15');
    else if (kind === 'network') engine.connect(container, 'bridge');
    else if (container.health !== undefined)
      engine.setHealth(container, container.health === 'healthy' ? 'unhealthy' : 'healthy');
  }

  #removeOrStart(
    { engine, containers }: SimulatedHost,
    container: FakeContainer,
    at: number,
  ): void {
    if (at % 2 === 0) {
      engine.start(container);
      return;
    }
    engine.remove(container);
    containers[at] = undefined;
  }

  async #writeForeign(name: string): Promise<void> {
    const { store } = this.fixture;
    const { entry } = await store.get(keyOf(name));
    if (entry !== undefined && Buffer.from(entry.value).toString() === FOREIGN)
      await store.delete(entry.key);
    else await store.put(keyOf(name), Buffer.from(FOREIGN));
  }

  /** The delay exceeds the deadline of a write, but the write still reaches the store. */
  readonly #delayWrites: StoreLink['delay'] = (operation) => {
    if (operation !== 'put' && operation !== 'delete') return undefined;
    return new Promise((resolve) => this.fixture.clock.startTimer(SLOW_MS, resolve));
  };

  async #revoke({ running }: SimulatedHost): Promise<void> {
    for (const { registrar } of running) {
      const { lease } = registrar.status();
      if (lease !== undefined) await this.fixture.store.revokeLease(lease.id);
    }
  }

  async #replace(host: SimulatedHost, how: 'kill' | 'end' | 'startSecond'): Promise<void> {
    if (how !== 'startSecond') {
      for (const running of host.running.splice(0)) {
        if (how === 'kill') this.fixture.kill(running);
        else await this.fixture.end(running);
      }
    }
    if (host.running.length < 2) host.start();
  }
}

export function keyOf(name: string): string {
  return `/skydns/local/skydns/${name}`;
}
