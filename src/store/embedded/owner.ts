/**
 * One owner for a store's directory: two servers must not write behind each other's watches.
 *
 * The owner listens on a socket in the directory, `owner.sock`; whoever can connect to it knows that the directory is in
 * use. The kernel closes the socket with the process, so a kill -9 leaves nothing but a file that refuses connections,
 * and a file works between containers that share a volume, where process ids and abstract sockets mean nothing.
 * Whoever takes over a dead owner's file must be alone meanwhile: `claim` runs under lmdb's write lock.
 */
import { closeSync, openSync } from 'node:fs';
import { chmod, unlink } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { PRIVATE_FILE } from './folder.ts';

const SOCKET = 'owner.sock';
/** sockaddr_un holds 108 octets on Linux, 104 elsewhere; longer paths would be cut without a word. */
const MAX_PATH_OCTETS = 100;

export class Owner {
  readonly #directory: OpenDirectory;
  readonly #server: Server;

  private constructor(directory: OpenDirectory, server: Server) {
    this.#directory = directory;
    this.#server = server;
  }

  /** Whether a living process owns the directory. */
  static async isOwned(dir: string): Promise<boolean> {
    const directory = openDirectory(dir);
    try {
      return await answers(directory.socketPath);
    } finally {
      directory.close();
    }
  }

  /** Makes this process the owner; `undefined` when another one is. Two calls must not run at once. */
  static async claim(dir: string): Promise<Owner | undefined> {
    const directory = openDirectory(dir);
    try {
      if (await answers(directory.socketPath)) {
        directory.close();
        return undefined;
      }
      await unlink(directory.socketPath).catch(ignoreMissing);
      const server = await listen(directory.socketPath);
      await chmod(directory.socketPath, PRIVATE_FILE);
      return new Owner(directory, server);
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
