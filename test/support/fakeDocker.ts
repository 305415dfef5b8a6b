/**
 * A fake Docker daemon: the test decides what its containers do, and which faults of networks, proxies and dying
 * daemons its HTTP API has. It is as strict as Docker 29 behind a read-only socket proxy: it refuses methods other than
 * GET and versions below 1.44.
 */
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EngineEndpoint } from '../../src/registrar/engine/endpoint.ts';
import { FakeContainer, type FakeContainerSetup, type FakeState } from './fakeContainer.ts';
import { type EventFaults, FakeEvents } from './fakeEvents.ts';
import { newTempDir, removeDir } from './tempDir.ts';

/** Each fault applies to later requests and events. Paths have no query: `/events`, `/containers/json`. */
export interface FakeFaults extends EventFaults {
  /** Answers with this status instead. */
  status?: ((path: string) => number | undefined) | undefined;
  /** Never answers. */
  hang?: ((path: string) => boolean) | undefined;
  /** The delay before each answer. */
  delayMs?: ((path: string) => number) | undefined;
  /** Cuts each answer off in the middle, except the event streams. */
  truncate?: ((path: string) => boolean) | undefined;
}

export interface FakeRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
}

/** Starts a fake daemon on its own socket. */
export async function startFakeDocker(): Promise<FakeDocker> {
  const fake = new FakeDocker(await newTempDir());
  await fake.listen();
  return fake;
}

export class FakeDocker {
  readonly faults: FakeFaults = {};
  readonly requests: FakeRequest[] = [];
  readonly containers = new Map<string, FakeContainer>();
  engineId = 'FAKE:FAKE:FAKE:FAKE:FAKE:FAKE:FAKE:FAKE:FAKE:FAKE:FAKE:FAKE';
  /** Further members of `GET /info`. */
  info: object = {};
  /** As `docker network inspect bridge` prints it. */
  bridge: object = {
    Name: 'bridge',
    IPAM: { Driver: 'default', Config: [{ Subnet: '172.17.0.0/16', Gateway: '172.17.0.1' }] },
    Options: { 'com.docker.network.bridge.name': 'docker0' },
  };
  /** The other networks, by id. */
  readonly networks = new Map<string, object>();
  readonly #folder: string;
  readonly #events = new FakeEvents(this.faults);
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #nextIp = 2;

  constructor(folder: string) {
    this.#folder = folder;
  }

  get socket(): string {
    return join(this.#folder, 'docker.sock');
  }

  get endpoint(): EngineEndpoint {
    return { kind: 'unix', path: this.socket };
  }

  /** The socket as DOCKER_HOST. */
  get host(): string {
    return `unix://${this.socket}`;
  }

  /** Number of open event streams. */
  get openStreams(): number {
    return this.#events.openStreams;
  }

  async listen(): Promise<void> {
    rmSync(this.socket, { force: true });
    const server = createServer((request, response) => {
      this.#answer(request, response).catch(() => response.destroy());
    });
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#server = server.listen(this.socket);
    await once(server, 'listening');
  }

  /** Like a killed daemon: breaks its connections, refuses new ones, and forgets the remembered events. */
  async kill(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.#events.forget();
    for (const socket of this.#sockets) socket.destroy();
    if (server === undefined) return;
    server.close();
    await once(server, 'close');
  }

  async close(): Promise<void> {
    await this.kill();
    await removeDir(this.#folder);
  }

  /** Breaks off the open event streams. */
  cutEvents(): void {
    this.#events.cut();
  }

  /** `docker run`: creates, connects and starts a container; returns its id. */
  run(setup: FakeContainerSetup = {}): string {
    const container = new FakeContainer(setup);
    this.containers.set(container.id, container);
    const network = setup.network ?? 'bridge';
    if (!network.startsWith('container:')) {
      const hasIp = network !== 'host' && network !== 'none';
      container.join(network, setup.ip ?? (hasIp ? this.freeIp() : ''), setup.ip6);
    }
    this.#emitOf(container, 'create');
    this.start(container.id);
    return container.id;
  }

  /** Starts an existing container. */
  start(id: string): void {
    const container = this.#of(id);
    for (const [network, { ip, ip6 }] of container.networks) {
      container.join(network, ip, ip6);
      this.emitNetwork('connect', network, id);
    }
    container.health = container.setup.health;
    container.startedAt = isoOf(this.#events.now());
    this.#become(container, 'running', 'start');
  }

  /** The container's process ends by itself. */
  die(id: string, exitCode = 0): void {
    const container = this.#of(id);
    container.state = 'exited';
    this.#emitOf(container, 'die', { exitCode: String(exitCode) });
    for (const network of container.networks.keys()) this.emitNetwork('disconnect', network, id);
  }

  /** Sends only the event; the test decides what the process does at the signal. */
  signal(id: string, signal: number): void {
    this.#emitOf(this.#of(id), 'kill', { signal: String(signal) });
  }

  /** `docker stop` of a process that ends at SIGTERM. */
  stop(id: string): void {
    this.signal(id, 15);
    this.die(id);
    this.#emitOf(this.#of(id), 'stop');
  }

  remove(id: string): void {
    const container = this.#of(id);
    if (container.isRunning) {
      this.signal(id, 9);
      this.die(id, 137);
    }
    this.containers.delete(id);
    this.#emitOf(container, 'destroy');
  }

  pause(id: string): void {
    this.#become(this.#of(id), 'paused', 'pause');
  }

  unpause(id: string): void {
    this.#become(this.#of(id), 'running', 'unpause');
  }

  setHealth(id: string, health: 'healthy' | 'unhealthy'): void {
    const container = this.#of(id);
    container.health = health;
    this.#emitOf(container, `health_status: ${health}`);
  }

  rename(id: string, name: string): void {
    const container = this.#of(id);
    const oldName = `/${container.name}`;
    container.name = name;
    this.#emitOf(container, 'rename', { oldName });
  }

  connect(id: string, network: string, ip = this.freeIp()): void {
    this.#of(id).join(network, ip);
    this.emitNetwork('connect', network, id);
  }

  /** Sends the event twice, as Docker does. */
  disconnect(id: string, network: string): void {
    this.#of(id).networks.delete(network);
    this.emitNetwork('disconnect', network, id);
    this.emitNetwork('disconnect', network, id);
  }

  freeIp(): string {
    const number = this.#nextIp++;
    return `172.17.${number >> 8}.${number & 255}`;
  }

  emitNetwork(action: string, network: string, container: string): void {
    this.emit('network', action, `net-${network}`, { container, name: network, type: 'bridge' });
  }

  emit(type: string, action: string, id: string, attributes: Record<string, string>): void {
    this.#events.emit(type, action, id, attributes);
  }

  #become(container: FakeContainer, state: FakeState, action: string): void {
    container.state = state;
    this.#emitOf(container, action);
  }

  #emitOf(container: FakeContainer, action: string, more: Record<string, string> = {}): void {
    this.emit('container', action, container.id, { ...more, ...container.attributes() });
  }

  #of(id: string): FakeContainer {
    const container = this.containers.get(id);
    if (container === undefined) throw new Error(`no container ${id}`);
    return container;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname: path, searchParams: query } = new URL(request.url ?? '/', 'http://fake');
    const method = request.method ?? '';
    this.requests.push({ method, path, query });
    const { hang, delayMs } = this.faults;
    if (hang?.(path) === true) return;
    const waitMs = delayMs?.(path) ?? 0;
    if (waitMs > 0) await sleep(waitMs);
    const refusal = this.#refuse(method, path, query);
    if (refusal === undefined && path === '/events') this.#events.open(query, response);
    else this.#say(response, path, ...(refusal ?? this.#reply(path)));
  }

  #refuse(
    method: string,
    path: string,
    query: URLSearchParams,
  ): readonly [number, object] | undefined {
    if (method !== 'GET') return [403, { message: 'GET only' }];
    const { filtersStatus } = this.faults;
    if (filtersStatus !== undefined && query.has('filters'))
      return [filtersStatus, { message: 'a filter is refused' }];
    const fault = this.faults.status?.(path);
    if (fault !== undefined) return [fault, { message: 'a fault' }];
    const version = /^\/v1\.(\d+)\//.exec(path)?.[1];
    if (version === undefined || Number(version) >= 44) return undefined;
    const why = `client version 1.${version} is too old. Minimum supported API version is 1.44`;
    return [400, { message: why }];
  }

  #reply(path: string): readonly [number, unknown] {
    if (path === '/_ping') return [200, 'OK'];
    if (path === '/info') {
      const own = { ID: this.engineId, Name: 'fakehost', Swarm: { NodeID: '', NodeAddr: '' } };
      return [200, { ...own, ...this.info }];
    }
    if (path === '/containers/json') {
      const all = [...this.containers.values()];
      const listed = all.filter(({ isRunning }) => isRunning || this.faults.ignoreFilters);
      return [200, listed.map((container) => container.listing())];
    }
    if (path === '/networks/bridge') return [200, this.bridge];
    const network = this.networks.get(/^\/networks\/([^/]+)$/.exec(path)?.[1] ?? '');
    if (network !== undefined) return [200, network];
    const id = /^\/containers\/([^/]+)\/json$/.exec(path)?.[1] ?? '';
    const container = this.#find(decodeURIComponent(id));
    if (container !== undefined) return [200, container.inspection()];
    return [404, { message: `No such container: ${id}` }];
  }

  /** Finds a container by its id, the beginning of its id, or its name, as Docker does. */
  #find(text: string): FakeContainer | undefined {
    const known = this.containers.get(text);
    if (known !== undefined || text === '') return known;
    const all = [...this.containers.values()];
    return all.find(({ id, name }) => name === text || id.startsWith(text));
  }

  #say(response: ServerResponse, path: string, status: number, body: unknown): void {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const length = Buffer.byteLength(text);
    response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': length });
    if (this.faults.truncate?.(path) !== true) {
      response.end(text);
      return;
    }
    response.write(text.slice(0, text.length / 2), () => response.destroy());
  }
}

function isoOf(nano: bigint): string {
  const milliseconds = new Date(Number(nano / 1_000_000n)).toISOString();
  return milliseconds.replace(/\.\d+Z$/, `.${String(nano % 1_000_000_000n).padStart(9, '0')}Z`);
}
