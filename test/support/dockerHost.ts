/**
 * What makes a Docker daemon of the tests a host of its own: a network namespace, tied to the test's by one link, and
 * a mount namespace in which Docker's fixed places are its own (before 23, its identity is a key in /etc/docker). Both
 * last as long as one process in them that does nothing.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';

export interface DockerHost {
  /** The host's own addresses on the link. */
  readonly address: string;
  readonly address6: string;
  /** Ours: its default route. */
  readonly gateway: string;
  /** The process in it. */
  readonly pid: number;
}

const MOUNTS = [
  'mkdir -p /etc/docker /run/docker /run/containerd',
  'for place in /etc/docker /run/docker /run/containerd; do mount -t tmpfs tmpfs $place; done',
  'echo ready',
  'exec sleep infinity',
].join(' && ');

/** Makes it: the network namespace and the link get the name. What does not come up is left to the cleaner. */
export async function createHost(name: string): Promise<DockerHost> {
  const network = createNetwork(name);
  const place = `--net=/run/netns/${name}`;
  const args = [place, 'unshare', '--mount', '--propagation', 'private', 'sh', '-c', MOUNTS];
  const holder = spawn('nsenter', args, { env: environment(), stdio: ['ignore', 'pipe', 'pipe'] });
  await readiness(holder);
  holder.unref();
  if (holder.pid === undefined) throw new Error('the host has no process');
  return { ...network, pid: holder.pid };
}

/** The command line that runs another one there; `ip netns exec` would hide the cgroups. */
export function onHost(host: DockerHost, command: readonly string[]): [string, ...string[]] {
  return ['nsenter', `--target=${host.pid}`, '--net', '--mount', '--', ...command];
}

async function readiness(holder: ChildProcess): Promise<void> {
  let problem = '';
  holder.stderr?.setEncoding('utf8').on('data', (text: string) => {
    problem += text;
  });
  const ended = once(holder, 'exit').then(() => Promise.reject(new Error(problem)));
  ended.catch(() => {});
  await Promise.race([ended, holder.stdout && once(holder.stdout, 'data')]);
  holder.stdout?.destroy();
  holder.stderr?.destroy();
}

function createNetwork(name: string): Omit<DockerHost, 'pid'> {
  const block = freeBlock();
  const [high, low] = [block >> 8, block & 255];
  const gateway = `10.213.${high}.${low + 1}`;
  const address = `10.213.${high}.${low + 2}`;
  const prefix6 = `fd53:6f72:${block.toString(16)}::`;
  ip('netns', 'add', name);
  ip('link', 'add', name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
  ip('address', 'add', `${gateway}/30`, 'dev', name);
  ip('link', 'set', name, 'up');
  ip('-netns', name, 'link', 'set', 'lo', 'up');
  ip('-netns', name, 'address', 'add', `${address}/30`, 'dev', 'eth0');
  ip('-netns', name, 'link', 'set', 'eth0', 'up');
  ip('-netns', name, 'route', 'add', 'default', 'via', gateway);
  addIpv6(name, prefix6);
  return { address, address6: `${prefix6}2`, gateway };
}

/** Not every kernel has it. */
function addIpv6(name: string, prefix: string): void {
  try {
    ip('address', 'add', `${prefix}1/64`, 'dev', name, 'nodad');
    ip('-netns', name, 'address', 'add', `${prefix}2/64`, 'dev', 'eth0', 'nodad');
  } catch {
    // Tests that need it look for themselves.
  }
}

/** Four addresses of 10.213.0.0/16, as the last 16 bits of the first. */
function freeBlock(): number {
  const taken = Object.values(networkInterfaces()).flatMap((addresses) =>
    (addresses ?? []).map(({ address }) => address),
  );
  for (;;) {
    const block = randomInt(1 << 14) << 2;
    if (!taken.includes(`10.213.${block >> 8}.${(block & 255) + 1}`)) return block;
  }
}

function ip(...args: readonly string[]): void {
  execFileSync('ip', args, { env: environment(), stdio: ['ignore', 'ignore', 'pipe'] });
}

function environment(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
}
