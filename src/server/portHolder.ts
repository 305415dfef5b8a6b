/**
 * Who holds a port that we wanted: Linux's /proc says which socket has the address and which process has the socket.
 * Best effort, for an error message: elsewhere, and for other users' processes when we are not root, nobody is found.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import type { Client } from '../dns/respond.ts';

export interface PortHolder {
  readonly pid: number;
  /** The process's name, as `ps -o comm` prints it. */
  readonly command: string;
}

/** Somebody has the port; who, only where that can be seen. */
export interface HeldPort {
  readonly holder: PortHolder | undefined;
}

/** The process that listens on the address, or on a wildcard address that covers it. */
export async function findPortHolder(
  transport: Client['transport'],
  address: string,
  port: number,
): Promise<PortHolder | undefined> {
  return (await findHeldPort(transport, address, port))?.holder;
}

/** Whether somebody listens there; undefined: nobody does, as far as Linux's tables tell. */
export async function findHeldPort(
  transport: Client['transport'],
  address: string,
  port: number,
): Promise<HeldPort | undefined> {
  const tables = await Promise.all(
    [transport, `${transport}6`].map((table) => read(`/proc/net/${table}`)),
  );
  const inodes = tables.flatMap((table) => listeningInodes(table, transport, address, port));
  return inodes.length === 0 ? undefined : { holder: await findOwner(new Set(inodes)) };
}

const TCP_LISTEN = '0A';

/** A line is: slot, local address:port, remote address:port, state, queues, timer, retransmits, uid, timeout, inode. */
function listeningInodes(
  table: string,
  transport: Client['transport'],
  address: string,
  port: number,
): string[] {
  const wantedPort = port.toString(16).toUpperCase().padStart(4, '0');
  return table.split('\n').flatMap((line) => {
    const [, local = '', , state, , , , , , inode = '0'] = line.trim().split(/\s+/);
    const [localAddress = '', localPort] = local.split(':');
    const listens = transport === 'udp' || state === TCP_LISTEN;
    const conflicts = listens && localPort === wantedPort && overlaps(localAddress, address);
    return conflicts && inode !== '0' ? [inode] : [];
  });
}

function overlaps(procAddress: string, address: string): boolean {
  if (/^0+$/.test(procAddress) || address === '0.0.0.0' || address === '::') return true;
  return isIPv6(address) ? procAddress.length === 32 : procAddress === procIpv4(address);
}

/** /proc prints an IPv4 address as one number of the machine's own byte order; Node's machines are little-endian. */
function procIpv4(address: string): string {
  const octets = address.split('.').map((octet) => Number(octet).toString(16).padStart(2, '0'));
  return octets.reverse().join('').toUpperCase();
}

async function findOwner(inodes: ReadonlySet<string>): Promise<PortHolder | undefined> {
  const pids = (await list('/proc')).filter((entry) => /^\d+$/.test(entry));
  for (const pid of pids) {
    if (!(await hasSocket(pid, inodes))) continue;
    const name = (await read(`/proc/${pid}/comm`)).trim();
    // Newer Nodes name the thread that the process is called after.
    return { pid: Number(pid), command: name === 'MainThread' ? 'node' : name };
  }
  return undefined;
}

async function hasSocket(pid: string, inodes: ReadonlySet<string>): Promise<boolean> {
  const directory = `/proc/${pid}/fd`;
  const descriptors = await list(directory);
  const targets = await Promise.all(
    descriptors.map((descriptor) => readlink(`${directory}/${descriptor}`).catch(() => '')),
  );
  return targets.some((target) => inodes.has(/^socket:\[(\d+)\]$/.exec(target)?.[1] ?? ''));
}

function read(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}

function list(path: string): Promise<string[]> {
  return readdir(path).catch(() => []);
}
