/**
 * Detects that Docker created a new socket while a mount still holds the old file, which happens in a container that
 * mounts the file instead of its folder. The old file has no name, so its link count is 0, and no process listens on
 * it. Only a new mount gives access to the new socket.
 */
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import type { Clock } from '../../timing/clock.ts';

export interface SocketFiles {
  /** The link count of the file; `undefined` if the file does not exist or is not visible. */
  links(path: string): number | undefined;
  /** The path without symbolic links. */
  realPath(path: string): string;
  /** The text of a file below /proc; empty if the file does not exist. */
  readProc(path: string): string;
}

/** The time that Docker may take to start. It counts only where Docker's listening socket is not visible. */
const START_MS = 10_000;
/** `__SO_ACCEPTCON`: the flag of a listening socket. */
const LISTENS = 0x10000;

export class ReplacedSocket {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #files: SocketFiles;
  /** Docker's own path of its listening socket. Visible only in Docker's network namespace. */
  #listeningAt: string | undefined;
  #unlinkedSinceMs: number | undefined;

  constructor(path: string, clock: Clock, files: SocketFiles = realFiles) {
    this.#path = path;
    this.#clock = clock;
    this.#files = files;
  }

  /** Whether the file itself is mounted, so that a replacement is not visible. */
  isMounted(): boolean {
    return this.#mountedFile() !== undefined;
  }

  /** Call it when the engine has answered. */
  noteReached(): void {
    this.#unlinkedSinceMs = undefined;
    // The mount may give the file another name.
    const name = basename(this.#mountedFile() ?? this.#path);
    const [path, ...others] = this.#listening().filter((each) => basename(each) === name);
    this.#listeningAt = others.length === 0 ? path : undefined;
  }

  /** Whether the file at the path was deleted, so that no engine can become reachable through it. */
  isUnlinked(): boolean {
    return this.#files.links(this.#path) === 0;
  }

  /**
   * Call it when the engine has not answered. True if the socket was replaced and Docker listens on the new one. While
   * Docker does not listen, a restart of this process would not reach it either.
   */
  isReplaced(): boolean {
    if (!this.isUnlinked()) {
      this.#unlinkedSinceMs = undefined;
      return false;
    }
    if (this.#listeningAt !== undefined) return this.#listening().includes(this.#listeningAt);
    const nowMs = this.#clock.monotonicMs();
    this.#unlinkedSinceMs ??= nowMs;
    return nowMs - this.#unlinkedSinceMs >= START_MS;
  }

  /** The file that is mounted at the path. Fields of a line: id, parent, device, file, mount point, ... */
  #mountedFile(): string | undefined {
    const mountPoint = this.#files.realPath(this.#path);
    const mounts = this.#files.readProc('/proc/self/mountinfo').split('\n');
    return mounts
      .map((line) => line.split(' '))
      .findLast((fields) => fields[4] === mountPoint)?.[3];
  }

  /** Paths of listening sockets. Fields of a line: address, references, protocol, flags, type, state, inode, path. */
  #listening(): readonly string[] {
    const lines = this.#files.readProc('/proc/net/unix').split('\n');
    return lines.flatMap((line) => {
      const [, , , flags = '', , , , path] = line.split(/\s+/);
      return path !== undefined && (Number.parseInt(flags, 16) & LISTENS) !== 0 ? [path] : [];
    });
  }
}

const realFiles: SocketFiles = {
  links(path) {
    try {
      return statSync(path).nlink;
    } catch {
      return undefined;
    }
  },
  realPath(path) {
    try {
      return realpathSync(path);
    } catch {
      return path;
    }
  },
  readProc(path) {
    try {
      return readFileSync(path, 'latin1');
    } catch {
      return '';
    }
  },
};
