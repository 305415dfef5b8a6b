/**
 * Finds the addresses that a server on this host answers at, for the health check. Reads files while it waits, because
 * Node's promises of files take longer to load than the whole check.
 */
import { reachableAddress, type SocketAddress } from '../dns/address.ts';
import type { DnsClient } from '../dns/message.ts';
import { inodesOfLink, type KernelSocket, parseSockets, TCP_LISTEN } from './socketTable.ts';

const { readdirSync, readFileSync, readlinkSync } = process.getBuiltinModule('node:fs');

/**
 * The addresses at which the process `pid` listens over both UDP and TCP; a wildcard address becomes loopback. Without
 * `pid` it returns the addresses of all processes that run the same Node as this one; in a container its server is the
 * only such process. Best effort: a process that this one may not look into has no addresses.
 */
export function listeningAddresses(pid?: string): readonly SocketAddress[] {
  const [udp, tcp] = [listeningSockets('udp'), listeningSockets('tcp')];
  const found = new Map<string, SocketAddress>();
  for (const process of pid === undefined ? processesOfThisProgram() : [pid]) {
    const inodes = new Set(descriptorsOf(process).flatMap(inodesOfLink));
    const own = (sockets: readonly KernelSocket[]): readonly KernelSocket[] =>
      sockets.filter(({ isListening, inode }) => isListening && inodes.has(inode));
    const streams = new Set(own(tcp).map(addressKey));
    for (const socket of own(udp)) {
      const key = addressKey(socket);
      if (streams.has(key)) found.set(key, reachableAddress(socket));
    }
  }
  return [...found.values()];
}

function listeningSockets(transport: DnsClient['transport']): readonly KernelSocket[] {
  return [transport, `${transport}6`].flatMap((name) => {
    const table = orElse('', () => readFileSync(`/proc/self/net/${name}`, 'latin1'));
    return parseSockets(transport === 'tcp' ? listeners(table) : table, transport);
  });
}

/** The lines of sockets that accept connections: a busy server has thousands of others. */
function listeners(table: string): string {
  const lines = table.split('\n').filter((line) => line.includes(` ${TCP_LISTEN} `));
  return lines.join('\n');
}

/** What each descriptor of the process leads to. */
function descriptorsOf(pid: string): readonly string[] {
  const folder = `/proc/${pid}/fd`;
  const descriptors = orElse([], () => readdirSync(folder));
  return descriptors.map((one) => orElse('', () => readlinkSync(`${folder}/${one}`)));
}

/** The other processes that run the same executable as this one. */
function processesOfThisProgram(): readonly string[] {
  const program = programOf('self');
  const pids = orElse([], () => readdirSync('/proc')).filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => pid !== String(process.pid) && programOf(pid) === program);
}

function programOf(pid: string): string {
  return orElse('', () => readlinkSync(`/proc/${pid}/exe`));
}

/** The other value where the system refuses, as for a process that has ended. */
function orElse<T>(other: T, read: () => T): T {
  try {
    return read();
  } catch {
    return other;
  }
}

function addressKey({ address, port }: SocketAddress): string {
  return `${port} ${address}`;
}
