/**
 * The network of the measurements: a client, the host that carries its connections, and two backends, each in a network
 * namespace of its own. This process is the host. No program is pinned to a core: then the kernel may have client and
 * backend on one, and a connection that needs no other program costs no more than it must.
 */
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { ThreeHosts } from '../../test/support/threeHosts.ts';
import { isInstalled, type Running, start } from '../process.ts';

export const CLIENT = 1;
export const HOST_ADDRESS = '10.77.1.1';

export interface BackendHost {
  /** What it puts into its replies. */
  readonly letter: string;
  /** Of the namespace. */
  readonly number: number;
  readonly address: string;
}

/** The ports of each backend: it echoes at one, and reads everything at the other. */
export const ECHO_PORT = 7001;
export const SINK_PORT = 7002;
/** Where flow.c serves lines and datagrams at each backend. */
export const FLOW_PORT = 7003;

export interface SceneOptions {
  readonly folder: string;
  readonly rounds: number;
  /** A short run that only shows that the measurements work. */
  readonly isQuick: boolean;
}

export class Scene {
  readonly options: SceneOptions;
  readonly hosts: ThreeHosts;
  readonly backends: readonly [BackendHost, BackendHost];
  /** The program of links.c. */
  readonly links: string;

  private constructor(options: SceneOptions, hosts: ThreeHosts, links: string) {
    this.options = options;
    this.hosts = hosts;
    this.links = links;
    this.backends = [
      { letter: 'a', number: 2, address: '10.77.2.2' },
      { letter: 'b', number: 3, address: '10.77.3.2' },
    ];
  }

  static async open(options: SceneOptions): Promise<Scene> {
    const links = buildLinks(options.folder);
    const scene = new Scene(options, new ThreeHosts(), links);
    try {
      await scene.hosts.addNeighbour(CLIENT);
      for (const backend of scene.backends) {
        await scene.hosts.addNeighbour(backend.number);
        const ports = [String(ECHO_PORT), String(SINK_PORT)];
        await scene.#serve(backend, links, ['serve', backend.letter, ...ports]);
        await scene.#serve(backend, scene.hosts.flow, ['serve', backend.letter, `${FLOW_PORT}`]);
      }
      return scene;
    } catch (error) {
      scene.close();
      throw error;
    }
  }

  /** Starts a program at the host. */
  start(command: readonly [string, ...string[]]): Running {
    return start(command, { cwd: this.options.folder });
  }

  close(): void {
    this.hosts.stop();
  }

  async #serve({ number }: BackendHost, program: string, args: readonly string[]): Promise<void> {
    const command = this.hosts.inside(number, program, ...args);
    const running = start(command, { cwd: this.options.folder });
    while (!running.output().includes('serving')) {
      if (running.hasEnded()) throw new Error(`${program}: ${running.output()}`);
      await new Promise((done) => setTimeout(done, 10));
    }
  }
}

/** Builds links.c into the folder; returns the path of the program. */
export function buildLinks(folder: string): string {
  const compiler = ['cc', 'gcc', 'clang'].find(isInstalled);
  if (compiler === undefined) throw new Error('a C compiler is needed to build links.c');
  const program = join(folder, 'links');
  const source = fileURLToPath(new URL('links.c', import.meta.url));
  const { status, stderr } = spawnSync(compiler, ['-O2', '-o', program, source], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${compiler} cannot build links.c: ${stderr}`);
  return program;
}

/** A program of the client that prints JSON. */
export interface ClientLines<T> {
  /** Its lines so far, with the time of `performance.now` at which each one arrived. */
  readonly lines: readonly { readonly value: T; readonly arrivedMs: number }[];
  /** Waits until a line behind the first `from` ones meets the condition. */
  next(from: number, isIt: (value: T) => boolean, timeoutMs?: number): Promise<number>;
  ended(): Promise<void>;
  stop(): void;
}

const TIMEOUT_MS = 20_000;

/** Starts a program at the client. */
export function clientLines<T>(
  scene: Scene,
  ...args: readonly [string, ...string[]]
): ClientLines<T> {
  const [command, ...words] = scene.hosts.inside(CLIENT, ...args);
  const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: { value: T; arrivedMs: number }[] = [];
  const closed = new Promise<void>((done) => child.on('close', () => done()));
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const each of waiting) each();
  };
  let hasEnded = false;
  void closed.then(() => {
    hasEnded = true;
    wake();
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push({ value: JSON.parse(line) as T, arrivedMs: performance.now() });
    wake();
  });
  const next = async (from: number, isIt: (value: T) => boolean, timeoutMs = TIMEOUT_MS) => {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const found = lines.findIndex(({ value }, at) => at >= from && isIt(value));
      if (found >= 0) return found;
      const leftMs = deadline - performance.now();
      if (leftMs <= 0 || hasEnded)
        throw new Error(`the client did not see it: ${JSON.stringify(lines.slice(-5))}`);
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          waiting.delete(done);
          resolve();
        };
        const timer = setTimeout(done, leftMs);
        waiting.add(done);
      });
    }
  };
  return { lines, next, ended: () => closed, stop: () => void child.kill('SIGKILL') };
}

/** Runs a program at the client that prints one line. */
export async function clientLine<T>(
  scene: Scene,
  ...args: readonly [string, ...string[]]
): Promise<T> {
  const client = clientLines<T>(scene, ...args);
  await client.ended();
  const [only] = client.lines;
  if (only === undefined) throw new Error(`${args.join(' ')} failed`);
  return only.value;
}

/** What `links echo` and `links connect` measure. */
export interface Exchanges {
  readonly count: number;
  readonly failed: number;
  /** The first failure. */
  readonly error: string;
  /** In microseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

export function measureEcho(scene: Scene, { address, port }: Endpoint, seconds: number) {
  return clientLine<Exchanges>(scene, scene.links, 'echo', address, `${port}`, `${seconds}`);
}

/** Connects until the time is over, or the count. Throws if connects fail, unless these are counted. */
export async function measureConnects(
  scene: Scene,
  { address, port }: Endpoint,
  seconds: number,
  count?: number,
): Promise<Exchanges> {
  const args = ['connect', address, `${port}`, `${seconds}`];
  if (count !== undefined) args.push(`${count}`);
  const measured = await clientLine<Exchanges>(scene, scene.links, ...args);
  if (measured.failed > 0 && count === undefined)
    throw new Error(`${measured.failed} connects to ${address}:${port} failed: ${measured.error}`);
  return measured;
}

/** In Gbit/s. */
export async function measureThroughput(
  scene: Scene,
  { address, port }: Endpoint,
  seconds: number,
): Promise<{ readonly gigabits: number; readonly gigabytes: number }> {
  const sent = await clientLine<{ octets: number; seconds: number }>(
    scene,
    ...([scene.links, 'send', address, `${port}`, `${seconds}`] as const),
  );
  return { gigabits: (sent.octets * 8) / 1e9 / sent.seconds, gigabytes: sent.octets / 1e9 };
}
