/**
 * What makes an engine of the tests a host of its own: a network namespace, joined to the others', and a mount namespace
 * in which the engine's fixed places are its own, or in which another system is the root. Both last as long as one
 * process in them that does nothing.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { environment } from './hostCleaner.ts';
import type { Connection, HostNetwork } from './hostNetwork.ts';

export interface DockerHost extends HostNetwork {
  /** The process in it. */
  readonly pid: number;
}

export type HostFiles =
  /** This machine's, with empty folders at these places. */
  | { readonly places: readonly string[] }
  /** Those of the system below `root`, which stays as it is, and the folder of this machine at its own path. */
  | { readonly root: string; readonly folder: string };

/** Makes it: the network namespace gets the name. What does not come up is left to the cleaner. */
export async function createHost(
  name: string,
  connect: Connection,
  files: HostFiles,
): Promise<DockerHost> {
  const network = connect(name);
  const script = 'root' in files ? otherRoot(files.root, files.folder) : ownPlaces(files.places);
  const place = `--net=/run/netns/${name}`;
  const args = [place, 'unshare', '--mount', '--propagation', 'private', 'sh', '-ec', script];
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

function ownPlaces(places: readonly string[]): string {
  const mounts = places.map((place) => `mkdir -p ${place}; mount -t tmpfs tmpfs ${place}`);
  return [...mounts, 'echo ready', 'exec sleep infinity'].join('\n');
}

/**
 * What the engine writes into its system is kept in memory; its data is in the folder. A chroot would not do: commands
 * that runc executes in a container begin at the root of the mount namespace.
 */
function otherRoot(root: string, folder: string): string {
  return `
    mkdir -p ${folder}/changes ${folder}/root
    mount -t tmpfs tmpfs ${folder}/changes
    mkdir ${folder}/changes/upper ${folder}/changes/work
    layers=lowerdir=${root},upperdir=${folder}/changes/upper,workdir=${folder}/changes/work
    mount -t overlay -o $layers overlay ${folder}/root
    cd ${folder}/root
    mount -t proc proc proc
    mount --rbind /sys sys
    mount --rbind /dev dev
    for place in run tmp var/tmp root etc/docker; do mount -t tmpfs tmpfs $place; done
    mkdir -p .${folder}
    mount --bind ${folder} .${folder}
    pivot_root . .
    umount -l .
    cd /
    echo ready
    exec sleep infinity`;
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
