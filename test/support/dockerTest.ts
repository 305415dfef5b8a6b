/** Tests that need a real Docker or Podman: one for the file, and a skip with its reason where none can run. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { after, before, type TestContext } from 'node:test';
import { type Dockerd, type DockerdSetup, startDockerd } from './dockerd.ts';
import { type Podman, type PodmanSetup, startPodman } from './podman.ts';

export interface EngineTests<E> {
  /** For `test`: a skip with its reason where no engine can run. The runner fails over it with CI set. */
  readonly options: { readonly skip?: string };
  /** For `test`: runs the body on the file's engine; it finds neither containers nor networks of the test before. */
  on(
    body: (engine: E, context: TestContext) => Promise<void>,
  ): (context: TestContext) => Promise<void>;
}

export type DockerTests = EngineTests<Dockerd>;

/** Starts a daemon before the file's tests and ends it after them. `reason`: why it cannot run here. */
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

/** The same with Podman and its service. */
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

/** `recover`: has it run as at the start. */
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
      if (engine === undefined) throw new Error('there is no engine');
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

let known: { readonly reason: string | undefined } | undefined;

/** Why no daemon of our own can run here; `undefined` if it can. */
export function dockerSkipReason(): string | undefined {
  known ??= { reason: findReason() };
  return known.reason;
}

function findReason(): string | undefined {
  if (process.platform !== 'linux') return 'Docker needs Linux';
  if (process.getuid?.() !== 0) return 'dockerd needs root';
  const missing = COMMANDS.filter((command) => !isInstalled(command));
  if (missing.length > 0) return `not installed: ${missing.join(', ')}`;
  if (!hasCgroups()) return 'no cgroup hierarchy can be written to';
  return canMakeNetworks() ? undefined : 'network namespaces cannot be made';
}

function isInstalled(command: string): boolean {
  const path = `${process.env.PATH}:/usr/sbin:/sbin`;
  return path.split(delimiter).some((folder) => existsSync(join(folder, command)));
}

/** The same for Podman. */
export function podmanSkipReason(): string | undefined {
  const reason = dockerSkipReason();
  return reason ?? (isInstalled('podman') ? undefined : 'not installed: podman');
}

/** One tree (v2), or one for each controller (v1). */
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

function canMakeNetworks(): boolean {
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
