/**
 * Finds the process that listens on a port: Linux's tables name the socket, and /proc shows which process has it open.
 * Best effort, for messages: it finds no process on other systems, and without root no process of another user.
 */
import { readdir, readFile } from 'node:fs/promises';
import {
  asInTable,
  type KernelSocket,
  openSockets,
  readSockets,
  type SocketKind,
} from './socketTable.ts';

export interface ListeningProcess {
  readonly pid: number;
  /** The process's name, as `ps -o comm` prints it. */
  readonly command: string;
}

/** `NAME (pid N)`, for messages. */
export function printProcess({ command, pid }: ListeningProcess): string {
  return `${command} (pid ${pid})`;
}

/** A port on which a process listens. `holder` is undefined if this process may not see that process. */
interface HeldPort {
  readonly holder: ListeningProcess | undefined;
}

/** The process that listens on the address, or on a wildcard address that covers it. */
export async function findPortHolder(
  transport: SocketKind,
  address: string,
  port: number,
): Promise<ListeningProcess | undefined> {
  return (await findHeldPort(transport, address, port))?.holder;
}

/**
 * As `findPortHolder`, but a hidden process differs from none: `undefined` means that Linux's tables have no such
 * listener.
 */
export async function findHeldPort(
  transport: SocketKind,
  address: string,
  port: number,
): Promise<HeldPort | undefined> {
  const sockets = await listenersAt(transport, address, port);
  if (sockets.length === 0) return undefined;
  return { holder: await findProcess(new Set(sockets.map(({ inode }) => inode))) };
}

/** The sockets that listen on the address, or on a wildcard address that covers it. */
export async function listenersAt(
  transport: SocketKind,
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

async function findProcess(inodes: ReadonlySet<string>): Promise<ListeningProcess | undefined> {
  return (await findSocketHolders(inodes, 1))[0];
}

/** The processes that have one of the sockets open, `most` at most. */
export async function findSocketHolders(
  inodes: ReadonlySet<string>,
  most = Number.POSITIVE_INFINITY,
): Promise<readonly ListeningProcess[]> {
  const found: ListeningProcess[] = [];
  if (inodes.size === 0) return found;
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  for (const pid of pids) {
    const open = await openSockets(pid);
    if (![...inodes].some((inode) => open.has(inode))) continue;
    const name = (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).trim();
    // The kernel names a process after its first thread, and newer Node versions name that thread themselves.
    const command = /^(?:node-)?MainThread$/.test(name) ? 'node' : name;
    found.push({ pid: Number(pid), command });
    if (found.length === most) break;
  }
  return found;
}
