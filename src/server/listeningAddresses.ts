/**
 * Where this machine's DNS servers of the same program answer, as Linux's /proc has it: whatever they were told and
 * found out for themselves. In a container, that is the one server in it. Best effort: of processes that may not be
 * looked into nothing is known.
 */
import { readdir, readlink } from 'node:fs/promises';
import type { SocketAddress } from '../dns/socketAddress.ts';
import { type KernelSocket, openSockets, readSockets } from './socketTable.ts';

/**
 * The addresses at which a process has both UDP and TCP, wildcards as loopback. Without a process it is all those that
 * run the Node that runs this one.
 */
export async function listeningAddresses(pid?: string): Promise<readonly SocketAddress[]> {
  const [udp, tcp] = await Promise.all([readSockets('udp'), readSockets('tcp')]);
  const found = new Map<string, SocketAddress>();
  for (const process of pid === undefined ? await peers() : [pid]) {
    const inodes = await openSockets(process);
    const own = (sockets: readonly KernelSocket[]): readonly KernelSocket[] =>
      sockets.filter(({ isListening, inode }) => isListening && inodes.has(inode));
    const streams = new Set(own(tcp).map(keyOf));
    for (const socket of own(udp)) {
      if (streams.has(keyOf(socket))) found.set(keyOf(socket), reachable(socket));
    }
  }
  return [...found.values()];
}

/** The other processes that run the program that runs this one. */
async function peers(): Promise<readonly string[]> {
  const program = await programOf('self');
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  const programs = await Promise.all(pids.map(programOf));
  return pids.filter((pid, index) => programs[index] === program && pid !== String(process.pid));
}

function programOf(pid: string): Promise<string> {
  return readlink(`/proc/${pid}/exe`).catch(() => '');
}

function keyOf({ address, port }: SocketAddress): string {
  return `${port} ${address}`;
}

function reachable({ address, port }: SocketAddress): SocketAddress {
  if (address === '0.0.0.0') return { address: '127.0.0.1', port };
  return { address: address === '::' ? '::1' : address, port };
}
