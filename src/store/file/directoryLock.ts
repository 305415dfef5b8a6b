/**
 * Makes sure that one process uses a store's directory: if two servers wrote to it, the watches of each would miss the
 * other's writes.
 *
 * The holder listens on a socket in the directory, `owner.sock`. A process that can connect to it knows that the
 * directory is in use. The kernel closes the socket with its process, so a kill -9 leaves only a file that refuses
 * connections. A socket file also works between containers that share a volume, where process ids and abstract sockets
 * have no meaning. A process that takes over a dead holder's file must be alone, so `acquire` runs under lmdb's write
 * lock.
 */
import { closeSync, openSync } from 'node:fs';
import { chmod, unlink } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { PRIVATE_FILE } from './folder.ts';

const SOCKET = 'owner.sock';

/** sockaddr_un holds 108 octets on Linux and 104 elsewhere; the kernel would silently cut a longer path. */
const MAX_PATH_OCTETS = 100;

export class DirectoryLock {
  readonly #directory: OpenDirectory;
  readonly #server: Server;

  private constructor(directory: OpenDirectory, server: Server) {
    this.#directory = directory;
    this.#server = server;
  }

  /** Whether a living process holds the lock. */
  static async isHeld(dir: string): Promise<boolean> {
    const directory = openDirectory(dir);
    try {
      return await isListening(directory.socketPath);
    } finally {
      directory.close();
    }
  }

  /** Takes the lock; undefined when another process holds it. Two calls must not run at once. */
  static async acquire(dir: string): Promise<DirectoryLock | undefined> {
    const directory = openDirectory(dir);
    try {
      if (await isListening(directory.socketPath)) {
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

/** A path to the socket that is short enough; valid until `close`. */
function openDirectory(dir: string): OpenDirectory {
  const socketPath = join(dir, SOCKET);
  if (Buffer.byteLength(socketPath) <= MAX_PATH_OCTETS || process.platform !== 'linux') {
    return { socketPath, close: () => undefined };
  }
  const fd = openSync(dir, 'r');
  return { socketPath: `/proc/self/fd/${fd}/${SOCKET}`, close: () => closeSync(fd) };
}

/** False only when the socket does not exist or no process listens on it. Rejects when neither can be determined. */
function isListening(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve(false);
      // The backlog is full, so a process listens.
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
