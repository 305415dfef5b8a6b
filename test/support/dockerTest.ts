/** Tests that need a real Docker or Podman: one engine for each file, and a skip with the reason where none can run. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { after, before, type TestContext } from 'node:test';
import { type Dockerd, type DockerdSetup, startDockerd } from './dockerd.ts';
import { type Podman, type PodmanSetup, startPodman } from './podman.ts';

export interface EngineTests<E> {
  /**
   * Options for `test`: a skip with its reason where no engine can run. With CI set the runner counts it as a failure.
   */
  readonly options: { readonly skip?: string };
  /** Body for `test`: runs `body` with the file's engine, without containers and networks of earlier tests. */
  on(
    body: (engine: E, context: TestContext) => Promise<void>,
  ): (context: TestContext) => Promise<void>;
}

export type DockerTests = EngineTests<Dockerd>;

/** Starts a daemon before the file's tests and stops it after them. `reason`: why it cannot run here. */
export function useDockerd(setup: DockerdSetup = {}, reason = dockerSkipReason()): DockerTests {
  return useEngine(
    () => startDockerd(setup),
    async (dockerd) => {
      dockerd.thaw();
      if (dockerd.pid === undefined) await dockerd.start();
    },
    reason,
  );
}

/** As `useDockerd`, with Podman and its service. */
export function usePodman(
  setup: PodmanSetup = {},
  reason = podmanSkipReason(),
): EngineTests<Podman> {
  return useEngine(
    () => startPodman(setup),
    async (podman) => {
      if (podman.pid === undefined) await podman.start();
    },
    reason,
  );
}

interface Clearable {
  clear(): Promise<void>;
  stop(): Promise<void>;
}

/** `recover` restores the state that the engine had after its start. */
function useEngine<E extends Clearable>(
  start: () => Promise<E>,
  recover: (engine: E) => Promise<void>,
  reason: string | undefined,
): EngineTests<E> {
  let engine: E | undefined;
  if (reason === undefined) {
    before(async () => {
      engine = await start();
    });
    after(() => engine?.stop());
  }
  return {
    options: reason === undefined ? {} : { skip: reason },
    on: (body) => async (context) => {
      if (engine === undefined) throw new Error('the engine is not started');
      try {
        await body(engine, context);
      } finally {
        await recover(engine);
        await engine.clear();
      }
    },
  };
}

const COMMANDS = [
  'dockerd',
  'containerd',
  'runc',
  'docker',
  'ip',
  'nsenter',
  'iptables',
  'busybox',
];

let result: { readonly reason: string | undefined } | undefined;

/** Why dockerd cannot run here; `undefined` if it can. */
export function dockerSkipReason(): string | undefined {
  result ??= { reason: findReason() };
  return result.reason;
}

function findReason(): string | undefined {
  if (process.platform !== 'linux') return 'Docker needs Linux';
  if (process.getuid?.() !== 0) return 'dockerd needs root';
  const missing = COMMANDS.filter((command) => !isInstalled(command));
  if (missing.length > 0) return `not installed: ${missing.join(', ')}`;
  if (!hasCgroups()) return 'no cgroup hierarchy is writable';
  return canCreateNetworks() ? undefined : 'network namespaces cannot be created';
}

function isInstalled(command: string): boolean {
  const path = `${process.env.PATH}:/usr/sbin:/sbin`;
  return path.split(delimiter).some((folder) => existsSync(join(folder, command)));
}

/** As `dockerSkipReason`, for Podman. */
export function podmanSkipReason(): string | undefined {
  const reason = dockerSkipReason();
  return reason ?? (isInstalled('podman') ? undefined : 'not installed: podman');
}

/** Whether a cgroup tree is writable: the only one (v2), or one of a controller (v1). */
function hasCgroups(): boolean {
  const top = '/sys/fs/cgroup';
  if (!existsSync(top)) return false;
  const trees = [top, ...readdirSync(top).map((name) => join(top, name))];
  return trees.some((tree) => {
    try {
      accessSync(join(tree, 'cgroup.procs'), constants.W_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function canCreateNetworks(): boolean {
  const name = `soraprobe${randomBytes(2).toString('hex')}`;
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
  const ip = (...args: string[]): void => void execFileSync('ip', args, { env, stdio: 'ignore' });
  try {
    ip('netns', 'add', name);
    try {
      ip('-netns', name, 'link', 'add', name, 'type', 'veth');
      return true;
    } finally {
      ip('netns', 'del', name);
    }
  } catch {
    return false;
  }
}
