/**
 * A real Docker daemon for one test file: its own folder, socket, containerd, cgroup and network namespace, so that it
 * meets neither the machine's Docker nor another test's. To the test it is a neighbouring host: published ports are at
 * `address`, and the test itself is at `gateway` for the containers. A process apart removes all of it at the end, also
 * when the test was killed.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createHost, type DockerHost, onHost } from './dockerHost.ts';
import { type Image, provideImage } from './dockerImages.ts';
import { endCleaner, environment, startCleaner } from './hostCleaner.ts';
import { byCable, type Connection } from './hostNetwork.ts';
import { endHost } from './hostProcesses.mjs';
import { until } from './until.ts';

export interface DockerdSetup {
  /** Containers go on while dockerd does not run. */
  readonly liveRestore?: boolean;
  readonly images?: readonly Image[];
  /** More settings, as in Docker's daemon.json. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** How its host is joined to the test; a cable of its own if not given. */
  readonly connection?: Connection;
}

export interface ContainerSetup {
  readonly image?: string;
  readonly name?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  /** As `-p` takes them. */
  readonly publish?: readonly string[];
  readonly network?: string;
  /** More options of `docker run`. */
  readonly args?: readonly string[];
  /** Sleeps, and ends at SIGTERM, if not given. */
  readonly command?: readonly string[];
}

export interface Dockerd {
  /** The path of its socket; the same after a restart. */
  readonly socket: string;
  /** The same as DOCKER_HOST has it. */
  readonly host: string;
  /** Where the ports that it publishes are reached. */
  readonly address: string;
  readonly address6: string;
  /** Where containers reach the test: what it listens on there may be their `--dns`. */
  readonly gateway: string;
  /** Of dockerd itself; `undefined` while it does not run. */
  readonly pid: number | undefined;
  /** Runs Docker's command line and gives its output, trimmed; rejects when it fails. */
  docker(...args: readonly string[]): Promise<string>;
  /** Starts a container in the background; gives its full id. */
  run(container?: ContainerSetup): Promise<string>;
  /** Removes all containers, and all networks that are not Docker's own. */
  clear(): Promise<void>;
  /** A command line that runs one inside the daemon's network: as a program on that host. */
  onHost(...command: readonly string[]): readonly [string, ...string[]];
  /** SIGSTOP and SIGCONT: connections stay open and nobody answers. */
  freeze(): void;
  thaw(): void;
  /** SIGKILL. Containers run on unmanaged. */
  kill(): Promise<void>;
  /** SIGTERM, and waits: without live-restore it ends the containers first. */
  terminate(): Promise<void>;
  /** Starts it again after `kill` or `terminate`; waits until it answers. */
  start(): Promise<void>;
  /** The whole host, as by the mains: all that runs on it is killed at once, only its disks last. Then `start` it. */
  crashHost(): Promise<void>;
  /** What it wrote to its log. */
  log(): string;
  /** Ends it with all it started, and removes its data. */
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 60_000;
const COMMAND_TIMEOUT_MS = 90_000;
const CRASH_TIMEOUT_MS = 20_000;

/** A process 1 that ignores nothing. */
const SLEEP = ['sh', '-c', 'trap "exit 0" TERM INT; while :; do sleep 1000 & wait $!; done'];

/** Starts one and imports its images. */
export async function startDockerd(setup: DockerdSetup = {}): Promise<Dockerd> {
  const name = `sora${randomBytes(4).toString('hex')}`;
  const folder = mkdtempSync(join(tmpdir(), 'soradns-dockerd-'));
  const cleaner = startCleaner(name, folder);
  const config = { 'live-restore': setup.liveRestore === true, ...setup.config };
  writeFileSync(join(folder, 'daemon.json'), JSON.stringify(config));
  try {
    const connection = setup.connection ?? byCable;
    const host = await createHost(name, connection);
    const dockerd = new DockerdProcess(name, folder, connection, host, cleaner);
    await dockerd.start();
    for (const image of setup.images ?? ['bb']) await provideImage(dockerd, image);
    return dockerd;
  } catch (error) {
    const log = logIn(folder);
    await endCleaner(cleaner);
    throw new Error(`dockerd did not start: ${error}\n${log.slice(-4000)}`, { cause: error });
  }
}

class DockerdProcess implements Dockerd {
  readonly socket: string;
  readonly host: string;
  readonly address: string;
  readonly address6: string;
  readonly gateway: string;
  readonly #name: string;
  readonly #folder: string;
  readonly #connection: Connection;
  readonly #cleaner: ChildProcess;
  #host: DockerHost;
  #isCrashed = false;
  #child: ChildProcess | undefined;

  constructor(
    name: string,
    folder: string,
    connection: Connection,
    host: DockerHost,
    cleaner: ChildProcess,
  ) {
    this.socket = join(folder, 'docker.sock');
    this.host = `unix://${this.socket}`;
    this.address = host.address;
    this.address6 = host.address6;
    this.gateway = host.gateway;
    this.#name = name;
    this.#folder = folder;
    this.#connection = connection;
    this.#host = host;
    this.#cleaner = cleaner;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async start(): Promise<void> {
    if (this.#isCrashed) await this.#bootHost();
    await this.#forgetKilled();
    const log = openSync(this.#path('log'), 'a');
    const [command, ...args] = this.onHost('dockerd', ...this.#args());
    const child = spawn(command, args, { stdio: ['ignore', log, log], env: environment() });
    closeSync(log);
    this.#child = child;
    child.once('exit', () => {
      if (this.#child === child) this.#child = undefined;
    });
    const deadlineMs = performance.now() + START_TIMEOUT_MS;
    while (!(await answers(this.socket))) {
      if (this.#child === undefined) throw new Error('it ended');
      if (performance.now() > deadlineMs) throw new Error('it does not answer');
      await sleep(20);
    }
  }

  docker(...args: readonly string[]): Promise<string> {
    const env = { ...environment(), DOCKER_HOST: this.host, DOCKER_CONFIG: this.#path('cli') };
    const options = { env, timeout: COMMAND_TIMEOUT_MS, maxBuffer: 1 << 28 };
    return new Promise((resolve, reject) => {
      execFile('docker', args, options, (error, stdout, stderr) => {
        if (error === null) resolve(stdout.trim());
        else reject(new Error(`docker ${args.join(' ')}: ${stderr.trim() || error.message}`));
      });
    });
  }

  run(container: ContainerSetup = {}): Promise<string> {
    const { image = 'bb', name, env, labels, publish, network, args, command } = container;
    return this.docker(
      ...['run', '--detach'],
      ...(name === undefined ? [] : ['--name', name]),
      ...(network === undefined ? [] : ['--network', network]),
      ...Object.entries(env ?? {}).flatMap(([key, value]) => ['--env', `${key}=${value}`]),
      ...Object.entries(labels ?? {}).flatMap(([key, value]) => ['--label', `${key}=${value}`]),
      ...(publish ?? []).flatMap((port) => ['--publish', port]),
      ...(args ?? []),
      ...[image, ...(command ?? SLEEP)],
    );
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
    await endHost(this.#name, CRASH_TIMEOUT_MS);
    await ended;
  }

  log(): string {
    return logIn(this.#folder);
  }

  async stop(): Promise<void> {
    if ((await endCleaner(this.#cleaner)) !== 0) {
      throw new Error(`${this.#folder} could not be removed`);
    }
  }

  /** A machine that starts has nothing in /run. */
  async #bootHost(): Promise<void> {
    rmSync(this.#path('exec'), { recursive: true, force: true });
    this.#host = await createHost(this.#name, this.#connection);
    this.#isCrashed = false;
  }

  /** What a killed daemon leaves. It takes its containerd along, but the next one would believe it to be there. */
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
      ...['--cgroup-parent', `/${this.#name}`, '--exec-opt', 'native.cgroupdriver=cgroupfs'],
      ...['--host', this.host],
    ];
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }
}

/** A dead process that nobody has asked about has no command line any more. */
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

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get({ socketPath, path: '/_ping', agent: false, timeout: 2000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}
