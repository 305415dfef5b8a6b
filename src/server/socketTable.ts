/** Linux's tables of sockets, /proc/net/udp, udp6, tcp and tcp6, and whose they are. Elsewhere there are none. */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { addressOctets, printAddress } from '../dns/address.ts';
import type { Client } from '../dns/respond.ts';
import type { SocketAddress } from '../dns/socketAddress.ts';

export interface KernelSocket extends SocketAddress {
  readonly transport: Client['transport'];
  /** It takes connections or, UDP, packets from anybody. */
  readonly isListening: boolean;
  /** As in the `socket:[INODE]` that a descriptor in /proc points at. */
  readonly inode: string;
  /** The user whose process made it, as this process's user namespace names him. */
  readonly uid: number;
}

/** All sockets of a transport in this network namespace, but those that nobody has open any more. */
export async function readSockets(transport: Client['transport']): Promise<KernelSocket[]> {
  const tables = await Promise.all([readTable(transport), readTable(`${transport}6`)]);
  return tables.flatMap((table) => parseSockets(table, transport));
}

export type TableName = Client['transport'] | `${Client['transport']}6`;

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
export function parseSockets(table: string, transport: Client['transport']): KernelSocket[] {
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
