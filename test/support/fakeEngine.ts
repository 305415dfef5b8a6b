/**
 * An engine in the test's own process, on the test's clock: the test controls the containers, events can be lost, late
 * or out of order, and calls can fail or wait. For faults of the connection itself see `FakeDocker`.
 */
import {
  type DefaultBridge,
  type Engine,
  EngineError,
  type EngineEvent,
  type EngineInfo,
  type EventStream,
  type Inspection,
  type ListedContainer,
} from '../../src/registrar/engine/engine.ts';
import { EventQueue } from '../../src/registrar/engine/eventStream.ts';
import { parseListing } from '../../src/registrar/engine/responses.ts';
import type { Clock } from '../../src/timing/clock.ts';
import { FakeContainer, type FakeContainerSetup } from './fakeContainer.ts';

export interface EngineFaults {
  /** The daemon is down: streams break, and calls fail. Set it with `lose` and `restore`. */
  isGone: boolean;
  /** Selects the events that are lost. */
  drop: ((event: EngineEvent) => boolean) | undefined;
  /** Delays the answer to an inspection, whose content is from before the delay. */
  beforeAnswer: ((id: string) => Promise<void>) | undefined;
  failInspect: ((id: string) => boolean) | undefined;
  /** A filtering proxy refuses questions about networks. */
  failNetworks: boolean;
}

export class FakeEngine implements Engine {
  readonly label = 'fake engine';
  readonly containers = new Map<string, FakeContainer>();
  readonly faults: EngineFaults = {
    isGone: false,
    drop: undefined,
    beforeAnswer: undefined,
    failInspect: undefined,
    failNetworks: false,
  };
  /** Number of calls so far. */
  readonly calls = { list: 0, inspect: 0, events: 0, networkDriver: 0 };
  /** The drivers of networks by id; `bridge` for every other network. */
  readonly drivers = new Map<string, string>();
  engineInfo: EngineInfo = {
    id: 'ENGINE:1',
    isOwnId: true,
    name: 'fakehost',
    nodeAddress: undefined,
    rootDir: '/var/lib/docker',
    kernel: undefined,
    timeNano: undefined,
    platform: { kind: 'docker', version: undefined, firewall: undefined },
  };
  /** The id of its default bridge; `undefined`: unknown. */
  bridgeId: string | undefined;
  readonly #clock: Clock;
  readonly #streams = new Set<EventQueue<EngineEvent>>();
  readonly #signals: EngineEvent[] = [];
  #nextIp: number;
  /** Makes instants differ, even if the clock stands still between them. */
  #ticks = 0n;

  /** `firstIp`: the last 16 bits of the first container's address. */
  constructor(clock: Clock, firstIp = 2) {
    this.#clock = clock;
    this.#nextIp = firstIp;
  }

  async info(): Promise<EngineInfo> {
    this.#assertThere();
    return { ...this.engineInfo, timeNano: BigInt(this.#now().nano) };
  }

  async signals(sinceNano: bigint, untilNano: bigint): Promise<readonly EngineEvent[]> {
    this.#assertThere();
    const [since, until] = [Number(sinceNano), Number(untilNano)];
    return this.#signals.filter(({ timeNano }) => +timeNano >= since && +timeNano <= until);
  }

  async defaultBridge(): Promise<DefaultBridge> {
    this.#assertThere();
    return { id: this.bridgeId, gateway: '172.17.0.1', device: 'docker0' };
  }

  async networkDriver(networkId: string): Promise<string | undefined> {
    this.calls.networkDriver++;
    this.#assertThere();
    if (this.faults.failNetworks) throw new EngineError('denied', 'a fault');
    return this.drivers.get(networkId) ?? 'bridge';
  }

  async list(): Promise<readonly ListedContainer[]> {
    this.#assertThere();
    this.calls.list++;
    return parseListing([...this.containers.values()].map((each) => each.listing())) ?? [];
  }

  async inspect(id: string): Promise<Inspection | undefined> {
    this.#assertThere();
    this.calls.inspect++;
    if (this.faults.failInspect?.(id) === true) throw new EngineError('failed', 'a fault');
    const answer = this.containers.get(id)?.inspection() as Inspection | undefined;
    await this.faults.beforeAnswer?.(id);
    this.#assertThere();
    return structuredClone(answer);
  }

  events(_since: string | undefined, signal: AbortSignal): EventStream {
    this.calls.events++;
    const queue = new EventQueue<EngineEvent>(100_000);
    if (this.faults.isGone) queue.end(goneError());
    else this.#streams.add(queue);
    signal.addEventListener('abort', () => {
      this.#streams.delete(queue);
      queue.drop();
    });
    const opened = this.faults.isGone ? Promise.reject(goneError()) : Promise.resolve();
    opened.catch(() => undefined);
    return { opened, [Symbol.asyncIterator]: () => queue.drain() };
  }

  async ping(): Promise<void> {
    this.#assertThere();
  }

  close(): void {}

  /** The daemon ends; its containers keep running. */
  lose(): void {
    this.faults.isGone = true;
    this.cutEvents();
  }

  restore(): void {
    this.faults.isGone = false;
  }

  cutEvents(): void {
    for (const queue of this.#streams) queue.end(goneError());
    this.#streams.clear();
  }

  run(setup: FakeContainerSetup = {}): FakeContainer {
    const container = new FakeContainer(setup);
    const network = setup.network ?? 'bridge';
    const hasIp = network !== 'host' && network !== 'none';
    if (!network.startsWith('container:')) {
      container.join(network, setup.ip ?? (hasIp ? this.freeIp() : ''), setup.ip6);
    }
    this.containers.set(container.id, container);
    this.start(container);
    return container;
  }

  start(container: FakeContainer): void {
    for (const [network, { ip, ip6 }] of container.networks) {
      container.join(network, ip, ip6);
      this.#emitNetwork(container, 'connect');
    }
    container.health = container.setup.health;
    container.state = 'running';
    container.startedAt = this.#now().iso;
    this.emit(container, 'start');
  }

  die(container: FakeContainer): void {
    container.state = 'exited';
    this.emit(container, 'die');
    for (const _ of container.networks) this.#emitNetwork(container, 'disconnect');
  }

  /** `docker rm -f` */
  remove(container: FakeContainer): void {
    if (container.isRunning) {
      this.signal(container, '9');
      this.die(container);
    }
    this.containers.delete(container.id);
    this.emit(container, 'destroy');
  }

  restart(container: FakeContainer): void {
    if (container.isRunning) this.die(container);
    this.start(container);
  }

  /** Sends only the event; the container keeps running. */
  signal(container: FakeContainer, signal: string): void {
    this.emit(container, 'kill', signal);
  }

  pause(container: FakeContainer): void {
    container.state = 'paused';
    this.emit(container, 'pause');
  }

  unpause(container: FakeContainer): void {
    container.state = 'running';
    this.emit(container, 'unpause');
  }

  setHealth(container: FakeContainer, health: 'healthy' | 'unhealthy'): void {
    container.health = health;
    this.emit(container, `health_status: ${health}`);
  }

  /** Its HEALTHCHECK runs and passes. If it was healthy before, no event is sent. */
  passCheck(container: FakeContainer): void {
    container.passes.push(this.#now().iso);
    if (container.health !== 'healthy') this.setHealth(container, 'healthy');
  }

  rename(container: FakeContainer, name: string): void {
    container.name = name;
    this.emit(container, 'rename');
  }

  connect(container: FakeContainer, network: string, ip = this.freeIp()): void {
    container.join(network, ip);
    this.#emitNetwork(container, 'connect');
  }

  disconnect(container: FakeContainer, network: string): void {
    container.networks.delete(network);
    this.#emitNetwork(container, 'disconnect');
    this.#emitNetwork(container, 'disconnect');
  }

  freeIp(): string {
    const number = this.#nextIp++;
    return `172.17.${number >> 8}.${number & 255}`;
  }

  emit(container: FakeContainer, action: string, signal?: string): void {
    const { nano } = this.#now();
    this.#send({ type: 'container', action, containerId: container.id, signal, timeNano: nano });
  }

  /** Sends an event late. */
  replay(event: EngineEvent): void {
    this.#send(event);
  }

  #send(event: EngineEvent): void {
    if (event.action === 'kill') this.#signals.push(event);
    if (this.faults.drop?.(event) === true) return;
    for (const queue of this.#streams) queue.push(event);
  }

  #emitNetwork(container: FakeContainer, action: string): void {
    const { nano } = this.#now();
    const containerId = container.id;
    this.#send({ type: 'network', action, containerId, signal: undefined, timeNano: nano });
  }

  #now(): { nano: string; iso: string } {
    this.#ticks += 1n;
    const wallMs = this.#clock.wallMs();
    const nano = BigInt(Math.floor(wallMs)) * 1_000_000n + (this.#ticks % 1_000_000n);
    const fraction = String(nano % 1_000_000_000n).padStart(9, '0');
    const iso = `${new Date(wallMs).toISOString().slice(0, 19)}.${fraction}Z`;
    return { nano: String(nano), iso };
  }

  #assertThere(): void {
    if (this.faults.isGone) throw goneError();
  }
}

function goneError(): EngineError {
  return new EngineError('unreachable', 'fake engine: connection refused');
}
