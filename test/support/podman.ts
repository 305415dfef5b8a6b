/**
 * A real Podman for one test file, with its service for Docker's API: its own folder, socket, cgroup and network
 * namespace, as in `dockerd.ts`. For the test it is another host. A separate process removes all of it at the end, even
 * when the test is killed.
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
import { byCable } from './hostNetwork.ts';

export interface PodmanSetup {
  /** Folder of another system, whose Podman runs instead of this machine's. */
  readonly root?: string;
  /** Default: `bb`. */
  readonly images?: readonly Image[];
}

export interface Podman {
  /** Path of the service's socket; the same after a restart. */
  readonly socket: string;
  /** The socket as DOCKER_HOST. */
  readonly host: string;
  /** Address of the published ports. */
  readonly address: string;
  /** Pid of the service; `undefined` while it does not run. Containers run without the service. */
  readonly pid: number | undefined;
  /** Returns the command line that runs the command on Podman's host. */
  onHost(...command: readonly string[]): readonly [string, ...string[]];
  /** Runs `podman`; returns its trimmed output, and rejects when it fails. */
  podman(...args: readonly string[]): Promise<string>;
  /** Starts a container in the background; returns its full id. */
  run(container?: ContainerSetup): Promise<string>;
  /** Creates a pod that publishes these ports; `run` with `--pod` adds containers to it. */
  createPod(name: string, publish: readonly string[]): Promise<void>;
  /** Removes all pods and containers, and all networks that are not Podman's own. */
  clear(): Promise<void>;
  /** Sends SIGTERM to the service and waits. */
  terminate(): Promise<void>;
  /** Starts the service again; waits until it answers. */
  start(): Promise<void>;
  /** Stops it with everything it started and removes its data. */
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 60_000;

/** Starts Podman and imports its images. */
export async function startPodman({ root, images = ['bb'] }: PodmanSetup = {}): Promise<Podman> {
  const name = `sora${randomBytes(4).toString('hex')}`;
  const folder = mkdtempSync(join(tmpdir(), 'soradns-podman-'));
  const cleaner = startCleaner(name, folder);
  const files =
    root === undefined ? { emptyFolders: ['/run/netns', '/run/containers'] } : { root, folder };
  try {
    writeFileSync(join(folder, 'containers.conf'), containersConf(folder));
    writeFileSync(join(folder, 'storage.conf'), storageConf(folder));
    const host = await createHost(name, byCable, files);
    const podman = new PodmanService(name, folder, host, cleaner);
    await podman.start();
    for (const image of images) await provideImage(podman.cli, image);
    return podman;
  } catch (error) {
    const log = logIn(folder);
    await endCleaner(cleaner);
    throw new Error(`Podman did not start: ${error}\n${log.slice(-4000)}`, { cause: error });
  }
}

class PodmanService implements Podman {
  readonly socket: string;
  readonly host: string;
  readonly address: string;
  readonly #name: string;
  readonly #folder: string;
  readonly #host: DockerHost;
  readonly #cleaner: ChildProcess;
  #child: ChildProcess | undefined;

  constructor(name: string, folder: string, host: DockerHost, cleaner: ChildProcess) {
    this.socket = join(folder, 'podman.sock');
    this.host = `unix://${this.socket}`;
    this.address = host.address;
    this.#name = name;
    this.#folder = folder;
    this.#host = host;
    this.#cleaner = cleaner;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  readonly cli: EngineCli = (...args) => {
    const settings = {
      CONTAINERS_CONF: join(this.#folder, 'containers.conf'),
      CONTAINERS_STORAGE_CONF: join(this.#folder, 'storage.conf'),
      PODMAN_IGNORE_CGROUPSV1_WARNING: '1',
    };
    const variables = Object.entries(settings).map(([key, value]) => `${key}=${value}`);
    return onHost(this.#host, ['env', ...variables, 'podman', ...args]);
  };

  podman(...args: readonly string[]): Promise<string> {
    return output(this.cli(...args), environment());
  }

  onHost(...command: readonly string[]): readonly [string, ...string[]] {
    return onHost(this.#host, command);
  }

  run(container: ContainerSetup = {}): Promise<string> {
    const isInPod = container.args?.includes('--pod') === true;
    const args = [...(isInPod ? [] : this.#cgroup()), ...(container.args ?? [])];
    return this.podman(...runArguments({ ...container, args }));
  }

  async createPod(name: string, publish: readonly string[]): Promise<void> {
    const ports = publish.flatMap((port) => ['--publish', port]);
    await this.podman('pod', 'create', '--name', name, ...this.#cgroup(), ...ports);
  }

  async clear(): Promise<void> {
    await this.podman('pod', 'rm', '--all', '--force');
    const containers = await this.podman('ps', '--all', '--quiet');
    const options = ['--force', '--depend', '--ignore', '--time', '0'];
    if (containers !== '') await this.podman('rm', ...options, ...containers.split('\n'));
    await this.podman('network', 'prune', '--force');
  }

  async start(): Promise<void> {
    rmSync(this.socket, { force: true });
    const log = openSync(join(this.#folder, 'log'), 'a');
    const [command, ...args] = this.cli('system', 'service', '--time', '0', this.host);
    const child = spawn(command, args, { stdio: ['ignore', log, log], env: environment() });
    closeSync(log);
    this.#child = child;
    child.once('exit', () => {
      if (this.#child === child) this.#child = undefined;
    });
    await answering(this.socket, () => this.#child === undefined, START_TIMEOUT_MS);
  }

  async terminate(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  }

  async stop(): Promise<void> {
    if ((await endCleaner(this.#cleaner)) !== 0)
      throw new Error(`${this.#folder} could not be removed`);
  }

  /** The cgroup in which the cleaner finds the processes. */
  #cgroup(): readonly string[] {
    return ['--cgroup-parent', `/${this.#name}`];
  }
}

/** The ulimits are low enough for machines where the test process may not raise its own. */
function containersConf(folder: string): string {
  return `
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
static_dir = "${folder}/data/libpod"
tmp_dir = "${folder}/tmp"
volume_path = "${folder}/data/volumes"
[network]
network_backend = "netavark"
network_config_dir = "${folder}/networks"
`;
}

function storageConf(folder: string): string {
  return `
[storage]
driver = "overlay"
graphroot = "${folder}/data"
runroot = "${folder}/run"
`;
}

function logIn(folder: string): string {
  try {
    return readFileSync(join(folder, 'log'), 'utf8');
  } catch {
    return '';
  }
}
