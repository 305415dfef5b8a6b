/**
 * What makes a Docker daemon of the tests a host of its own: a network namespace, joined to the others', and a mount
 * namespace in which Docker's fixed places are its own (before 23, its identity is a key in /etc/docker). Both last as
 * long as one process in them that does nothing.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { environment } from './hostCleaner.ts';
import type { Connection, HostNetwork } from './hostNetwork.ts';

export interface DockerHost extends HostNetwork {
  /** The process in it. */
  readonly pid: number;
}

const MOUNTS = [
  'mkdir -p /etc/docker /run/docker /run/containerd',
  'for place in /etc/docker /run/docker /run/containerd; do mount -t tmpfs tmpfs $place; done',
  'echo ready',
  'exec sleep infinity',
].join(' && ');

/** Makes it: the network namespace gets the name. What does not come up is left to the cleaner. */
export async function createHost(name: string, connect: Connection): Promise<DockerHost> {
  const network = connect(name);
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
