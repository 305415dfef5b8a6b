/**
 * A real Docker daemon for one test file: its own folder, socket, containerd, cgroup and network namespace, so that it
 * affects neither the machine's Docker nor another test's. For the test it is another host: published ports are at
 * `address`, and containers reach the test at `gateway`. A separate process removes all of it at the end, even when the
 * test is killed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHost, type DockerHost, onHost } from './dockerHost.ts';
import { type Image, provideImage } from './dockerImages.ts';
import {
  answering,
  type ContainerSetup,
  type EngineCli,
  output,
  runArguments,
} from './engineCommands.ts';
import { endCleaner, environment, startCleaner } from './hostCleaner.ts';
import { byCable, type Connection } from './hostNetwork.ts';
import { endHost } from './hostProcesses.mjs';
import { until } from './until.ts';

export interface DockerdSetup {
  /** Containers keep running while dockerd is down. */
  readonly liveRestore?: boolean;
  readonly images?: readonly Image[];
  /** More settings, as in Docker's daemon.json. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** How its host is connected to the test; default: by its own cable. */
  readonly connection?: Connection;
  /** The folder of another system, whose dockerd, docker and docker compose run instead of this machine's. */
  readonly root?: string;
  /** More variables of dockerd's environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Dockerd {
  /** Path of its socket; the same after a restart. */
  readonly socket: string;
  /** The socket as DOCKER_HOST. */
  readonly host: string;
  /** Address of the published ports. */
  readonly address: string;
  readonly address6: string;
  /** Address at which containers reach the test; a server of the test there can be their `--dns`. */
  readonly gateway: string;
  /** Pid of dockerd itself; `undefined` while it does not run. */
  readonly pid: number | undefined;
  /** Returns the command line that runs `docker`, in the daemon's version, with these arguments. */
  readonly cli: EngineCli;
  /** Runs `docker`; returns its trimmed output, and rejects when it fails. */
  docker(...args: readonly string[]): Promise<string>;
  /** Starts a container in the background; returns its full id. */
  run(container?: ContainerSetup): Promise<string>;
  /** Removes all containers, and all networks that are not Docker's own. */
  clear(): Promise<void>;
  /** Returns the command line that runs the command on the daemon's host. */
  onHost(...command: readonly string[]): readonly [string, ...string[]];
  /** Send SIGSTOP and SIGCONT. While dockerd is stopped, connections stay open without answers. */
  freeze(): void;
  thaw(): void;
  /** Sends SIGKILL and waits. The containers keep running without a daemon. */
  kill(): Promise<void>;
  /** Sends SIGTERM and waits. Without live-restore dockerd ends the containers first. */
  terminate(): Promise<void>;
  /** Starts dockerd again after `kill`, `terminate` or `crashHost`; waits until it answers. */
  start(): Promise<void>;
  /**
   * Simulates a power failure of the host: kills all its processes at once and keeps only its disks. Call `start`
   * afterwards.
   */
  crashHost(): Promise<void>;
  /** The daemon's log. */
  log(): string;
  /** Stops it with everything that it started, and removes its data. */
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 60_000;
const CRASH_TIMEOUT_MS = 20_000;

/** Starts a daemon and imports its images. */
export async function startDockerd(setup: DockerdSetup = {}): Promise<Dockerd> {
  const name = `sora${randomBytes(4).toString('hex')}`;
  const folder = mkdtempSync(join(tmpdir(), 'soradns-dockerd-'));
  const cleaner = startCleaner(name, folder);
  const config = { 'live-restore': setup.liveRestore === true, ...setup.config };
  writeFileSync(join(folder, 'daemon.json'), JSON.stringify(config));
  try {
    const connection = setup.connection ?? byCable;
    const dockerd = await DockerdProcess.create({ ...setup, connection, name, folder, cleaner });
    await dockerd.start();
    for (const image of setup.images ?? ['bb']) await provideImage(dockerd.cli, image);
    return dockerd;
  } catch (error) {
    const log = logIn(folder);
    await endCleaner(cleaner);
    throw new Error(`dockerd did not start: ${error}\n${log.slice(-4000)}`, { cause: error });
  }
}

/** `name` is the name of its namespace, link and cgroup. */
interface PlacedSetup extends Pick<DockerdSetup, 'root' | 'env'> {
  readonly name: string;
  readonly folder: string;
  readonly connection: Connection;
  readonly cleaner: ChildProcess;
}

/** Before version 23, Docker keeps its identity as a key in /etc/docker. */
const EMPTY_FOLDERS = ['/etc/docker', '/run/docker', '/run/containerd'];

function hostFor({ name, folder, connection, root }: PlacedSetup): Promise<DockerHost> {
  return createHost(
    name,
    connection,
    root === undefined ? { emptyFolders: EMPTY_FOLDERS } : { root, folder },
  );
}

class DockerdProcess implements Dockerd {
  readonly socket: string;
  readonly host: string;
  readonly address: string;
  readonly address6: string;
  readonly gateway: string;
  readonly #setup: PlacedSetup;
  readonly #folder: string;
  #host: DockerHost;
  #isCrashed = false;
  #child: ChildProcess | undefined;

  private constructor(setup: PlacedSetup, host: DockerHost) {
    const { folder } = setup;
    this.socket = join(folder, 'docker.sock');
    this.host = `unix://${this.socket}`;
    this.address = host.address;
    this.address6 = host.address6;
    this.gateway = host.gateway;
    this.#setup = setup;
    this.#folder = folder;
    this.#host = host;
  }

  static async create(setup: PlacedSetup): Promise<DockerdProcess> {
    return new DockerdProcess(setup, await hostFor(setup));
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async start(): Promise<void> {
    if (this.#isCrashed) await this.#bootHost();
    await this.#forgetKilled();
    const log = openSync(this.#path('log'), 'a');
    const [command, ...args] = this.onHost('dockerd', ...this.#args());
    // containerd writes files into TMPDIR when it is slow to end; the cleaner removes this folder.
    const env = { ...environment(), TMPDIR: this.#folder, ...this.#setup.env };
    const child = spawn(command, args, { stdio: ['ignore', log, log], env });
    closeSync(log);
    this.#child = child;
    child.once('exit', () => {
      if (this.#child === child) this.#child = undefined;
    });
    await answering(this.socket, () => this.#child === undefined, START_TIMEOUT_MS);
  }

  readonly cli: EngineCli = (...args) => {
    const line = ['docker', '--host', this.host, ...args] as const;
    return this.#setup.root === undefined ? line : this.onHost(...line);
  };

  docker(...args: readonly string[]): Promise<string> {
    return output(this.cli(...args), { ...environment(), DOCKER_CONFIG: this.#path('cli') });
  }

  run(container: ContainerSetup = {}): Promise<string> {
    return this.docker(...runArguments(container));
  }

  async clear(): Promise<void> {
    const containers = await this.docker('ps', '--all', '--quiet');
    if (containers !== '') await this.docker('rm', '--force', ...containers.split('\n'));
    await this.docker('network', 'prune', '--force');
  }

  onHost(...command: readonly string[]): readonly [string, ...string[]] {
    return onHost(this.#host, command);
  }

  freeze(): void {
    this.#child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child?.kill('SIGCONT');
  }

  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  terminate(): Promise<void> {
    return this.#end('SIGTERM');
  }

  async crashHost(): Promise<void> {
    const child = this.#child;
    const ended = child && once(child, 'exit');
    this.#isCrashed = true;
    await endHost(this.#setup.name, CRASH_TIMEOUT_MS);
    await ended;
  }

  log(): string {
    return logIn(this.#folder);
  }

  async stop(): Promise<void> {
    if ((await endCleaner(this.#setup.cleaner)) !== 0) {
      throw new Error(`${this.#folder} could not be removed`);
    }
  }

  /** Creates the host anew. The exec root is removed, because /run is empty when a machine starts. */
  async #bootHost(): Promise<void> {
    rmSync(this.#path('exec'), { recursive: true, force: true });
    this.#host = await hostFor(this.#setup);
    this.#isCrashed = false;
  }

  /**
   * Removes the pid files of a killed daemon. Its containerd ended with it, but the next daemon would expect it to run.
   */
  async #forgetKilled(): Promise<void> {
    const containerd = this.#path('exec/containerd/containerd.pid');
    const pid = Number(readText(containerd));
    if (pid > 0) await until('containerd has ended', () => !isRunning(pid, this.#folder));
    for (const file of [containerd, this.#path('pid')]) rmSync(file, { force: true });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }

  #args(): string[] {
    return [
      ...['--data-root', this.#path('data'), '--exec-root', this.#path('exec')],
      ...['--config-file', this.#path('daemon.json'), '--pidfile', this.#path('pid')],
      ...['--cgroup-parent', `/${this.#setup.name}`, '--exec-opt', 'native.cgroupdriver=cgroupfs'],
      ...['--host', this.host],
    ];
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }
}

/** A zombie process has no command line. */
function isRunning(pid: number, folder: string): boolean {
  return readText(`/proc/${pid}/cmdline`).includes(folder);
}

function logIn(folder: string): string {
  return readText(join(folder, 'log'));
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
