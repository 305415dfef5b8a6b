/**
 * Where this machine's DNS servers of the same program answer, as Linux's /proc has it: whatever they were told and
 * found out for themselves. In a container, that is the one server in it. Best effort: of processes that may not be
 * looked into nothing is known.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { printAddress } from '../dns/address.ts';
import type { SocketAddress } from '../dns/socketAddress.ts';

/** A socket in one of /proc/net's tables. */
export interface ProcSocket {
  readonly local: SocketAddress;
  /** It waits for whoever comes. */
  readonly listens: boolean;
  readonly inode: string;
}

/**
 * The addresses at which a process has both UDP and TCP, wildcards as loopback. Without a process it is all those that
 * run the Node that runs this one.
 */
export async function listeningAddresses(pid?: string): Promise<readonly SocketAddress[]> {
  const [udp, tcp] = await Promise.all([socketsOf('udp'), socketsOf('tcp')]);
  const found = new Map<string, SocketAddress>();
  for (const process of pid === undefined ? await peers() : [pid]) {
    const inodes = await inodesOf(process);
    const own = (sockets: readonly ProcSocket[]): SocketAddress[] =>
      sockets.flatMap(({ local, inode }) => (inodes.has(inode) ? [local] : []));
    const streams = new Set(own(tcp).map(keyOf));
    for (const local of own(udp)) if (streams.has(keyOf(local))) found.set(keyOf(local), local);
  }
  return [...found.values()].map(reachable);
}

const TCP_LISTEN = '0A';
/** Of a UDP socket that is not connected. */
const UDP_CLOSE = '07';

/**
 * The rows of /proc/net/{udp,udp6,tcp,tcp6}: slot, local address:port, remote address:port, state, queues, timer,
 * retransmits, uid, timeout, inode.
 */
export function parseSockets(table: string, transport: 'udp' | 'tcp'): readonly ProcSocket[] {
  const listening = transport === 'tcp' ? TCP_LISTEN : UDP_CLOSE;
  return table.split('\n').flatMap((line) => {
    const [, address = '', port = '', state = '', inode = ''] =
      /^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) \S+ ([0-9A-F]{2}) \S+ \S+ +\S+ +\S+ +\S+ (\d+)/.exec(
        line,
      ) ?? [];
    if (inode === '') return [];
    const local = { address: printAddress(octetsOf(address)), port: Number.parseInt(port, 16) };
    return [{ local, listens: state === listening, inode }];
  });
}

/** Words of 32 bits in the machine's byte order; Node's Linux machines are little-endian. */
function octetsOf(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex').swap32());
}

async function socketsOf(transport: 'udp' | 'tcp'): Promise<readonly ProcSocket[]> {
  const tables = await Promise.all([transport, `${transport}6`].map((t) => read(`/proc/net/${t}`)));
  return tables.flatMap((table) => parseSockets(table, transport)).filter(({ listens }) => listens);
}

/** The other processes that run the program that runs this one. */
async function peers(): Promise<readonly string[]> {
  const program = await link('/proc/self/exe');
  const pids = (await list('/proc')).filter((name) => /^\d+$/.test(name));
  const programs = await Promise.all(pids.map((pid) => link(`/proc/${pid}/exe`)));
  return pids.filter((pid, index) => programs[index] === program && pid !== String(process.pid));
}

async function inodesOf(pid: string): Promise<ReadonlySet<string>> {
  const folder = `/proc/${pid}/fd`;
  const targets = await Promise.all((await list(folder)).map((fd) => link(`${folder}/${fd}`)));
  return new Set(targets.flatMap((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? []));
}

function keyOf({ address, port }: SocketAddress): string {
  return `${port} ${address}`;
}

function reachable({ address, port }: SocketAddress): SocketAddress {
  if (address === '0.0.0.0') return { address: '127.0.0.1', port };
  return { address: address === '::' ? '::1' : address, port };
}

function read(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}

function list(path: string): Promise<string[]> {
  return readdir(path).catch(() => []);
}

function link(path: string): Promise<string> {
  return readlink(path).catch(() => '');
}
