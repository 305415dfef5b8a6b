/** Linux's tables of sockets, /proc/net/udp, udp6, tcp and tcp6, and whose they are. Elsewhere there are none. */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { addressOctets, printAddress, type SocketAddress } from '../dns/address.ts';
import type { DnsClient } from '../dns/message.ts';

export interface KernelSocket extends SocketAddress {
  readonly transport: DnsClient['transport'];
  /** It takes connections or, UDP, packets from anybody. */
  readonly isListening: boolean;
  /** As in the `socket:[INODE]` that a descriptor in /proc points at. */
  readonly inode: string;
  /** The user whose process made it, as this process's user namespace names him. */
  readonly uid: number;
}

/** All sockets of a transport in this network namespace, but those that nobody has open any more. */
export async function readSockets(transport: DnsClient['transport']): Promise<KernelSocket[]> {
  const tables = await Promise.all([readTable(transport), readTable(`${transport}6`)]);
  return tables.flatMap((table) => parseSockets(table, transport));
}

export type TableName = DnsClient['transport'] | `${DnsClient['transport']}6`;

/** One of the kernel's tables as text; empty where it cannot be read. */
export function readTable(name: TableName): Promise<string> {
  return readFile(`/proc/self/net/${name}`, 'latin1').catch(() => '');
}

/** The inodes of the sockets that a process (`self`: this one) has open; none of one that may not be looked into. */
export async function openSockets(pid: string): Promise<ReadonlySet<string>> {
  const folder = `/proc/${pid}/fd`;
  const descriptors = await readdir(folder).catch(() => []);
  const targets = await Promise.all(
    descriptors.map((descriptor) => readlink(`${folder}/${descriptor}`).catch(() => '')),
  );
  return new Set(targets.flatMap((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? []));
}

/** An address as the tables' sockets have it: canonical, without a zone index. */
export function asInTable(address: string): string {
  return printAddress(addressOctets(address.replace(/%.*$/, '')));
}

const TCP_LISTEN = '0A';

/** A line is: slot, local address:port, remote address:port, state, queues, timer, retransmits, uid, timeout, inode. */
export function parseSockets(table: string, transport: DnsClient['transport']): KernelSocket[] {
  return table.split('\n').flatMap((line) => {
    const [, local = '', , state, , , , uid, , inode = '0'] = line.trim().split(/\s+/);
    const [, address = '', port = ''] =
      /^([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})$/.exec(local) ?? [];
    if (address === '' || inode === '0') return [];
    const isListening = transport === 'udp' || state === TCP_LISTEN;
    const place = { address: addressOf(address), port: Number.parseInt(port, 16) };
    return [{ ...place, transport, isListening, inode, uid: Number(uid) }];
  });
}

/** The columns that an address and port have in the tables: IPv4 in both of its forms. */
export function columnsOf({ address, port }: SocketAddress): readonly string[] {
  const octets = Buffer.from(addressOctets(address.replace(/%.*$/, '')));
  const ipv4 = octets.length === 4 ? octets : isMapped(octets) ? octets.subarray(12) : undefined;
  const forms = ipv4 === undefined ? [octets] : [ipv4, Buffer.concat([MAPPED, ipv4])];
  const portText = hexOf(Buffer.from([port >> 8, port & 0xff]));
  return forms.map((form) => `${hexOf(Buffer.from(form).swap32())}:${portText}`);
}

const MAPPED = Buffer.from('00000000000000000000ffff', 'hex');

function isMapped(octets: Buffer): boolean {
  return octets.subarray(0, MAPPED.length).equals(MAPPED);
}

function hexOf(octets: Buffer): string {
  return octets.toString('hex').toUpperCase();
}

/** An address is printed as 32-bit numbers of the machine's own byte order; Node's machines are little-endian. */
function addressOf(hex: string): string {
  const octets = Buffer.from(hex, 'hex');
  return printAddress(octets.swap32());
}

/**
 * Who holds a port that we wanted: Linux's /proc says which socket has the address and which process has the socket.
 * Best effort, for an error message: elsewhere, and for other users' processes when we are not root, nobody is found.
 */

export interface ListeningProcess {
  readonly pid: number;
  /** The process's name, as `ps -o comm` prints it. */
  readonly command: string;
}

/** Somebody has the port; who, only where that can be seen. */
interface HeldPort {
  readonly holder: ListeningProcess | undefined;
}

/** The process that listens on the address, or on a wildcard address that covers it. */
export async function findPortHolder(
  transport: DnsClient['transport'],
  address: string,
  port: number,
): Promise<ListeningProcess | undefined> {
  return (await findHeldPort(transport, address, port))?.holder;
}

/** Whether somebody listens there; undefined: nobody does, as far as Linux's tables tell. */
export async function findHeldPort(
  transport: DnsClient['transport'],
  address: string,
  port: number,
): Promise<HeldPort | undefined> {
  const sockets = await listenersAt(transport, address, port);
  if (sockets.length === 0) return undefined;
  return { holder: await findOwner(new Set(sockets.map(({ inode }) => inode))) };
}

/** The sockets that listen on the address, or on a wildcard address that covers it. */
export async function listenersAt(
  transport: DnsClient['transport'],
  address: string,
  port: number,
): Promise<readonly KernelSocket[]> {
  const wanted = asInTable(address);
  return (await readSockets(transport)).filter(
    (socket) => socket.isListening && socket.port === port && overlaps(socket.address, wanted),
  );
}

function overlaps(held: string, wanted: string): boolean {
  const isWildcard = [held, wanted].some((address) => address === '0.0.0.0' || address === '::');
  return isWildcard || held === wanted;
}

async function findOwner(inodes: ReadonlySet<string>): Promise<ListeningProcess | undefined> {
  const pids = (await list('/proc')).filter((entry) => /^\d+$/.test(entry));
  for (const pid of pids) {
    const open = await openSockets(pid);
    if (![...inodes].some((inode) => open.has(inode))) continue;
    const name = (await read(`/proc/${pid}/comm`)).trim();
    // The kernel calls a process after its first thread, and newer Nodes give that a name of its own.
    return { pid: Number(pid), command: /^(?:node-)?MainThread$/.test(name) ? 'node' : name };
  }
  return undefined;
}

function read(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}

function list(path: string): Promise<string[]> {
  return readdir(path).catch(() => []);
}

/**
 * Where this machine's DNS servers of the same program answer, as Linux's /proc has it: whatever they were told and
 * found out for themselves. In a container, that is the one server in it. Best effort: of processes that may not be
 * looked into nothing is known.
 */

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
