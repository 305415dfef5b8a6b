/**
 * Finds the addresses that a server on this host answers at, for the health check. Reads files while it waits, because
 * Node's promises of files take longer to load than the whole check.
 */
import { reachableAddress, type SocketAddress } from '../../dns/address.ts';
import {
  inodesOfLink,
  type KernelSocket,
  parseSockets,
  type TableName,
  TCP_LISTEN,
} from './socketTable.ts';

const { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } =
  process.getBuiltinModule('node:fs');

/** A UDP socket of a process, with the inodes of all sockets that the process has open. */
interface OwnedSocket {
  readonly socket: SocketAddress;
  readonly inodes: ReadonlySet<string>;
}

/**
 * The addresses at which the process `pid` listens over both UDP and TCP; a wildcard address becomes loopback. Without
 * `pid` it returns the addresses of all processes that run the same Node as this one; in a container its server is the
 * only such process. Best effort: a process that this one may not look into has no addresses.
 */
export function listeningAddresses(pid?: string): readonly SocketAddress[] {
  const processes = pid === undefined ? processesOfThisProgram() : [pid];
  const openSockets = processes.map((one) => new Set(descriptorsOf(one).flatMap(inodesOfLink)));
  return [...addressesIn('udp', 'tcp', openSockets), ...addressesIn('udp6', 'tcp6', openSockets)];
}

function addressesIn(
  datagrams: TableName,
  streams: TableName,
  openSockets: readonly ReadonlySet<string>[],
): readonly SocketAddress[] {
  const table = orElse('', () => readFileSync(pathOf(datagrams), 'latin1'));
  const sockets = parseSockets(table, 'udp');
  const candidates = openSockets.flatMap((inodes) =>
    sockets.filter(({ inode }) => inodes.has(inode)).map((socket) => ({ socket, inodes })),
  );
  return orElse([], () => withStream(candidates, streams));
}

/**
 * The addresses of the candidates whose process also accepts TCP connections there, in the candidates' order. Reads no
 * more of the table than it must: whenever it is read beyond its listening sockets, the kernel searches its table of
 * connections, which takes milliseconds even if that is empty.
 */
function withStream(
  candidates: readonly OwnedSocket[],
  table: TableName,
): readonly SocketAddress[] {
  /** By address; undefined until its TCP socket is found. */
  const found = new Map<string, SocketAddress | undefined>();
  for (const { socket } of candidates) found.set(addressKey(socket), undefined);
  let missing = found.size;
  if (missing === 0) return [];
  for (const stream of acceptingSockets(table)) {
    const key = addressKey(stream);
    const isServer = ({ socket, inodes }: OwnedSocket): boolean =>
      addressKey(socket) === key && inodes.has(stream.inode);
    if (found.get(key) !== undefined || !candidates.some(isServer)) continue;
    found.set(key, reachableAddress(stream));
    if (--missing === 0) break;
  }
  return [...found.values()].filter((address) => address !== undefined);
}

/** About one line of the table. */
const READ_OCTETS = 150;

/** The sockets that accept connections, read one at a time. The kernel lists them before all others. */
function* acceptingSockets(table: TableName): Generator<KernelSocket, void, undefined> {
  const fd = openSync(pathOf(table), 'r');
  try {
    const buffer = Buffer.alloc(READ_OCTETS);
    let pending = '';
    for (let octets = 1; octets > 0; ) {
      octets = readSync(fd, buffer);
      const lines = `${pending}${buffer.toString('latin1', 0, octets)}`.split('\n');
      pending = lines.pop() ?? '';
      for (const line of lines) {
        const state = /^ *\d+: \S+ \S+ (\S+) /.exec(line)?.[1];
        if (state !== undefined && state !== TCP_LISTEN) return;
        yield* parseSockets(line, 'tcp');
      }
    }
  } finally {
    closeSync(fd);
  }
}

function pathOf(table: TableName): string {
  return `/proc/self/net/${table}`;
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
