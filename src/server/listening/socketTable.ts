/**
 * Reads Linux's tables of sockets (/proc/net/udp, udp6, tcp and tcp6), and lists the sockets that a process has open.
 * On other systems both are empty.
 */
import {
  addressOctets,
  isIpv4Mapped,
  printAddress,
  type SocketAddress,
} from '../../dns/address.ts';

/** The kernel's tables: DNS over TLS and over HTTPS use sockets of TCP. */
export type SocketKind = 'udp' | 'tcp';

export interface KernelSocket extends SocketAddress {
  readonly transport: SocketKind;
  /** A TCP socket that accepts connections, or any UDP socket. */
  readonly isListening: boolean;
  /** As in the `socket:[INODE]` that a descriptor in /proc links to. */
  readonly inode: string;
  /** The user whose process made the socket, as this process's user namespace numbers it. */
  readonly uid: number;
}

/** All sockets of a transport in this network namespace that some process has open. */
export async function readSockets(transport: SocketKind): Promise<KernelSocket[]> {
  const tables = await Promise.all([readTable(transport), readTable(`${transport}6`)]);
  return tables.flatMap((table) => parseSockets(table, transport));
}

export type TableName = SocketKind | `${SocketKind}6`;

/** One of the kernel's tables as text; empty where it cannot be read. */
export function readTable(name: TableName): Promise<string> {
  const { readFile } = process.getBuiltinModule('node:fs/promises');
  return readFile(`/proc/self/net/${name}`, 'latin1').catch(() => '');
}

/** The state of a TCP socket that accepts connections (proc(5), /proc/net/tcp). */
export const TCP_LISTEN = '0A';

/** A line is: slot, local address:port, remote address:port, state, queues, timer, retransmits, uid, timeout, inode. */
export function parseSockets(table: string, transport: SocketKind): KernelSocket[] {
  return table.split('\n').flatMap((line) => {
    const [, local = '', , state, , , , uid, , inode = '0'] = line.trim().split(/\s+/);
    const [, address = '', port = ''] =
      /^([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})$/.exec(local) ?? [];
    if (address === '' || inode === '0') return [];
    const isListening = transport === 'udp' || state === TCP_LISTEN;
    const socket = { address: addressOf(address), port: Number.parseInt(port, 16) };
    return [{ ...socket, transport, isListening, inode, uid: Number(uid) }];
  });
}

/** A table prints an address as 32-bit numbers in the machine's byte order; Node's machines are little-endian. */
function addressOf(hex: string): string {
  return printAddress(Buffer.from(hex, 'hex').swap32());
}

/** The address in the form that `KernelSocket` has: canonical, without a zone index. */
export function asInTable(address: string): string {
  return printAddress(addressOctets(address.replace(/%.*$/, '')));
}

/** The texts of an address and port in the tables' columns: an IPv4 address has one text for each family's table. */
export function columnsOf({ address, port }: SocketAddress): readonly string[] {
  const octets = Buffer.from(addressOctets(address.replace(/%.*$/, '')));
  const isMapped = octets.length === 16 && isIpv4Mapped(octets);
  const ipv4 = octets.length === 4 ? octets : isMapped ? octets.subarray(12) : undefined;
  const forms = ipv4 === undefined ? [octets] : [ipv4, Buffer.concat([MAPPED_PREFIX, ipv4])];
  const portText = hexOf(Buffer.from([port >> 8, port & 0xff]));
  return forms.map((form) => `${hexOf(Buffer.from(form).swap32())}:${portText}`);
}

const MAPPED_PREFIX = Buffer.from('00000000000000000000ffff', 'hex');

function hexOf(octets: Buffer): string {
  return octets.toString('hex').toUpperCase();
}

/** The inodes of the sockets that a process (`self`: this one) has open; empty if this process may not look into it. */
export async function openSockets(pid: string): Promise<ReadonlySet<string>> {
  const { readdir, readlink } = process.getBuiltinModule('node:fs/promises');
  const folder = `/proc/${pid}/fd`;
  const descriptors = await readdir(folder).catch(() => []);
  const targets = await Promise.all(
    descriptors.map((descriptor) => readlink(`${folder}/${descriptor}`).catch(() => '')),
  );
  return new Set(targets.flatMap(inodesOfLink));
}

/** The inode in the target of a descriptor's link; empty if the descriptor is no socket. */
export function inodesOfLink(target: string): readonly string[] {
  const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
  return inode === undefined ? [] : [inode];
}
