/** The folder of a store: made for us alone, with room for what is made in it, and told of where others may get at it. */
import { randomBytes, randomUUID } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { access, chmod, constants, mkdir, open, stat, unlink } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { dirname, join } from 'node:path';

/** Rejects, with the reason in its message, when it is not there and cannot be made. */
export async function makeFolder(dir: string): Promise<void> {
  try {
    await makeFolders(dir);
  } catch (error) {
    // The system would say that something is not there.
    throw (await isReadOnly(dirname(dir))) ? new Error('its volume is read-only') : error;
  }
}

/** With those above it. Node's own `recursive` tries for ever where a folder is there but takes none, as /proc. */
async function makeFolders(dir: string): Promise<void> {
  const made = await tryMake(dir);
  const parent = dirname(dir);
  if (made !== 'noParent') return;
  if (parent === dir) throw new Error(`there is no ${dir}`);
  await makeFolders(parent);
  if ((await tryMake(dir)) === 'noParent') throw new Error(`no folder can be made in ${parent}`);
}

async function tryMake(dir: string): Promise<'there' | 'noParent'> {
  try {
    await mkdir(dir, { mode: 0o700 });
    return 'there';
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return 'noParent';
    if (code === 'EEXIST' && (await stat(dir)).isDirectory()) return 'there';
    throw error;
  }
}

/** Whether its file system takes no writes, whoever asks. */
export function isReadOnly(dir: string): Promise<boolean> {
  return access(dir, constants.W_OK).then(
    () => false,
    ({ code }: NodeJS.ErrnoException) => code === 'EROFS',
  );
}

/** What only its owner reads and writes. */
export const PRIVATE_FILE = 0o600;
const DATA_FILE = 'data.mdb';
const LOCK_FILE = 'lock.mdb';
const FILES = [DATA_FILE, LOCK_FILE];
/** lmdb's files take about 48 KiB before the first name is in them. */
const FIRST_OCTETS = 64 * 1024;
/** A smaller data.mdb has its meta pages at most: the first transaction is still to be written. */
const LEAST_DATA_OCTETS = 16 * 1024;
const BLOCK_OCTETS = 64 * 1024;
const BY_GROUP = 0o020;
const BY_OTHERS = 0o002;

/** Takes away what others may do with files that an older version, or another umask, has left open to them. */
export async function restrictFiles(dir: string): Promise<void> {
  for (const file of FILES) {
    const path = join(dir, file);
    const { mode } = (await stat(path).catch(() => undefined)) ?? { mode: 0 };
    // Of another owner's file we do not decide.
    if ((mode & 0o077) !== 0) await chmod(path, PRIVATE_FILE).catch(() => undefined);
  }
}

/**
 * Rejects when lmdb is about to make a file, and the disk has no room for it: lmdb would end the process (SIGBUS,
 * SIGSEGV). A store that has its files opens without more of the disk.
 */
export async function assertRoomToOpen(dir: string): Promise<void> {
  const [data, lock] = [join(dir, DATA_FILE), join(dir, LOCK_FILE)];
  const areMade = (await isOnDisk(data, LEAST_DATA_OCTETS)) && (await isOnDisk(lock, 1));
  if (!areMade) await assertRoom(dir, FIRST_OCTETS);
}

/** After an end by force a file may have a size, and nothing of it be on the disk. */
async function isOnDisk(path: string, leastOctets: number): Promise<boolean> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  return found !== undefined && found.size >= leastOctets && found.blocks > 0;
}

/** Rejects when no file of this size can be written: only writing one shows what quotas and reserves leave. */
export async function assertRoom(dir: string, octets: number): Promise<void> {
  const path = join(dir, `.room-${randomUUID()}`);
  try {
    const file = await open(path, 'wx', PRIVATE_FILE);
    try {
      // An end by force leaves nothing behind.
      await unlink(path);
      const block = randomBytes(BLOCK_OCTETS); // no file system makes it smaller
      for (let at = 0; at < octets; at += BLOCK_OCTETS) await file.appendFile(block);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    const reason = noRoomReason(error);
    if (reason === undefined) throw error;
    const kibibytes = Math.ceil(octets / BLOCK_OCTETS) * (BLOCK_OCTETS / 1024);
    throw new Error(`${reason}, and the store needs ${kibibytes} KiB of free space`, {
      cause: error,
    });
  }
}

/** The reason in one line, whichever of the system, its quotas and lmdb gives it. */
export function plainReason(error: unknown): string {
  const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
  return noRoomReason(error) ?? reason;
}

/** Node names such errors by their code, lmdb by the system's words; undefined: the error is another one. */
function noRoomReason(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || message.startsWith('No space left')) return 'the disk is full';
  if (code === 'EDQUOT' || message.startsWith('Disk quota')) return 'the disk quota is used up';
  return undefined;
}

/** A line on others who may put another store in place of this one; undefined: nobody may. */
export async function exposureOf(dir: string): Promise<string | undefined> {
  const { mode, gid } = await stat(dir);
  const isOurGroup = gid === process.getegid?.() || process.getgroups?.().includes(gid) === true;
  const others =
    (mode & BY_OTHERS) !== 0
      ? 'every user of this host'
      : (mode & BY_GROUP) !== 0 && !isOurGroup
        ? `every user of the group ${gid}`
        : undefined;
  if (others === undefined) return undefined;
  return `${others} can replace the store, as ${dir} is writable for them: chmod 700 ${dir}`;
}

/**
 * One owner for a store's directory: two servers must not write behind each other's watches.
 *
 * The owner listens on a socket in the directory, `owner.sock`; whoever can connect to it knows that the directory is in
 * use. The kernel closes the socket with the process, so a kill -9 leaves nothing but a file that refuses connections,
 * and a file works between containers that share a volume, where process ids and abstract sockets mean nothing.
 * Whoever takes over a dead owner's file must be alone meanwhile: `claim` runs under lmdb's write lock.
 */

const SOCKET = 'owner.sock';
/** sockaddr_un holds 108 octets on Linux, 104 elsewhere; longer paths would be cut without a word. */
const MAX_PATH_OCTETS = 100;

export class DirectoryLock {
  readonly #directory: OpenDirectory;
  readonly #server: Server;

  private constructor(directory: OpenDirectory, server: Server) {
    this.#directory = directory;
    this.#server = server;
  }

  /** Whether a living process owns the directory. */
  static async isHeld(dir: string): Promise<boolean> {
    const directory = openDirectory(dir);
    try {
      return await answers(directory.socketPath);
    } finally {
      directory.close();
    }
  }

  /** Makes this process the owner; `undefined` when another one is. Two calls must not run at once. */
  static async acquire(dir: string): Promise<DirectoryLock | undefined> {
    const directory = openDirectory(dir);
    try {
      if (await answers(directory.socketPath)) {
        directory.close();
        return undefined;
      }
      await unlink(directory.socketPath).catch(ignoreMissing);
      const server = await listen(directory.socketPath);
      await chmod(directory.socketPath, PRIVATE_FILE);
      return new DirectoryLock(directory, server);
    } catch (error) {
      directory.close();
      throw error;
    }
  }

  async release(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#directory.close();
  }
}

interface OpenDirectory {
  readonly socketPath: string;
  close(): void;
}

/** A path to the socket that is short enough, good until `close`. */
function openDirectory(dir: string): OpenDirectory {
  const socketPath = join(dir, SOCKET);
  if (Buffer.byteLength(socketPath) <= MAX_PATH_OCTETS || process.platform !== 'linux') {
    return { socketPath, close: () => undefined };
  }
  const fd = openSync(dir, 'r');
  return { socketPath: `/proc/self/fd/${fd}/${SOCKET}`, close: () => closeSync(fd) };
}

/** False only when there is no socket or nobody behind it; rejects when that cannot be told. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve(false);
      // The backlog is full: somebody listens.
      else if (error.code === 'EAGAIN') resolve(true);
      else reject(error);
    });
  });
}

function listen(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      server.unref();
      resolve(server);
    });
  });
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
