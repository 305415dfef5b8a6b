/** Whether another process shares our addresses already: a successor that was started to take them over. */
import { readdir, readlink } from 'node:fs/promises';
import { addressOctets, printAddress } from '../dns/address.ts';
import type { SocketAddress } from '../dns/socketAddress.ts';
import { readSockets } from './socketTable.ts';

/** True if each of the addresses has a socket of somebody else's beside ours, for UDP and for TCP. Only on Linux. */
export async function hasSuccessor(endpoints: readonly SocketAddress[]): Promise<boolean> {
  const own = await ownInodes();
  if (own.size === 0 || endpoints.length === 0) return false;
  for (const transport of ['udp', 'tcp'] as const) {
    const others = (await readSockets(transport)).filter(
      ({ isListening, inode }) => isListening && !own.has(inode),
    );
    const isShared = ({ address, port }: SocketAddress): boolean =>
      others.some((other) => other.port === port && other.address === canonical(address));
    if (!endpoints.every(isShared)) return false;
  }
  return true;
}

async function ownInodes(): Promise<ReadonlySet<string>> {
  const folder = '/proc/self/fd';
  const fds = await readdir(folder).catch(() => []);
  const targets = await Promise.all(fds.map((fd) => readlink(`${folder}/${fd}`).catch(() => '')));
  const inodes = targets.map((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1]);
  return new Set(inodes.filter((inode) => inode !== undefined));
}

function canonical(address: string): string {
  return printAddress(addressOctets(address.replace(/%.*$/, '')));
}
