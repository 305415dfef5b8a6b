/**
 * Who holds a port that we wanted: Linux's /proc says which socket has the address and which process has the socket.
 * Best effort, for an error message: elsewhere, and for other users' processes when we are not root, nobody is found.
 */
import { readdir, readFile } from 'node:fs/promises';
import type { Client } from '../dns/respond.ts';
import { asInTable, type KernelSocket, openSockets, readSockets } from './socketTable.ts';

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
  const sockets = await listenersAt(transport, address, port);
  if (sockets.length === 0) return undefined;
  return { holder: await findOwner(new Set(sockets.map(({ inode }) => inode))) };
}

/** The sockets that listen on the address, or on a wildcard address that covers it. */
export async function listenersAt(
  transport: Client['transport'],
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

async function findOwner(inodes: ReadonlySet<string>): Promise<PortHolder | undefined> {
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
