/**
 * Gives a test's engine its own host: a network namespace, connected to the others, and a mount namespace in which the
 * engine's fixed folders are empty, or in which another system is the root. An idle process keeps both alive.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { environment } from './hostCleaner.ts';
import type { Connection, HostNetwork } from './hostNetwork.ts';

export interface DockerHost extends HostNetwork {
  /** Pid of the idle process. */
  readonly pid: number;
}

export type HostFiles =
  /** This machine's files, with these folders empty. */
  | { readonly emptyFolders: readonly string[] }
  /** The files of the system below `root`, which stays unchanged, and this machine's `folder` at its own path. */
  | { readonly root: string; readonly folder: string };

/** Creates the host; its network namespace gets the name. On failure the cleaner removes the rest. */
export async function createHost(
  name: string,
  connect: Connection,
  files: HostFiles,
): Promise<DockerHost> {
  const network = connect(name);
  const script =
    'root' in files ? otherRoot(files.root, files.folder) : withEmptyFolders(files.emptyFolders);
  const net = `--net=/run/netns/${name}`;
  const args = [net, 'unshare', '--mount', '--propagation', 'private', 'sh', '-ec', script];
  const holder = spawn('nsenter', args, { env: environment(), stdio: ['ignore', 'pipe', 'pipe'] });
  await readiness(holder);
  holder.unref();
  if (holder.pid === undefined) throw new Error('the host has no process');
  return { ...network, pid: holder.pid };
}

/** The command line that runs the command on the host; `ip netns exec` would hide the cgroups. */
export function onHost(host: DockerHost, command: readonly string[]): [string, ...string[]] {
  return ['nsenter', `--target=${host.pid}`, '--net', '--mount', '--', ...command];
}

function withEmptyFolders(folders: readonly string[]): string {
  const mounts = folders.map((path) => `mkdir -p ${path}; mount -t tmpfs tmpfs ${path}`);
  return [...mounts, 'echo ready', 'exec sleep infinity'].join('\n');
}

/**
 * The engine's writes into its system stay in memory; its data is in the folder. A chroot does not work: runc starts
 * the commands of a container at the root of the mount namespace.
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
    for path in run tmp var/tmp root etc/docker; do mount -t tmpfs tmpfs $path; done
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
