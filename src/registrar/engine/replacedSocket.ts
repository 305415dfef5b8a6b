/**
 * Notices that Docker has made a new socket while a mount holds on to the old file, as in a container that was given the
 * file and not its folder. The old one has no name any more, so its link count is 0, and nobody listens on it. Only a
 * new mount leads to the new socket.
 */
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import type { Clock } from '../../timing/clock.ts';

export interface SocketFiles {
  /** How many names the file has; `undefined`: there is no file, or it cannot be seen. */
  links(path: string): number | undefined;
  /** The path without symbolic links. */
  realPath(path: string): string;
  /** The text of a file below /proc; empty where there is none. */
  readProc(path: string): string;
}

/** Docker may still be starting: for so long, where its socket cannot be seen. */
const WAIT_MS = 10_000;
/** `__SO_ACCEPTCON`: the socket listens. */
const LISTENS = 0x10000;

export class ReplacedSocket {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #files: SocketFiles;
  /** Where Docker listens, as it names it itself. Seen only in its own network namespace. */
  #listeningAt: string | undefined;
  #sinceMs: number | undefined;

  constructor(path: string, clock: Clock, files: SocketFiles = realFiles) {
    this.#path = path;
    this.#clock = clock;
    this.#files = files;
  }

  /** Whether the file itself is mounted, so that it can be replaced unseen. */
  isMounted(): boolean {
    return this.#mountedFile() !== undefined;
  }

  /** The engine was reached. */
  noteReached(): void {
    this.#sinceMs = undefined;
    // Its name may be another one where it is mounted.
    const name = basename(this.#mountedFile() ?? this.#path);
    const [path, ...others] = this.#listening().filter((each) => basename(each) === name);
    this.#listeningAt = others.length === 0 ? path : undefined;
  }

  /** Whether no engine can ever be reached at the path again. */
  isUnlinked(): boolean {
    return this.#files.links(this.#path) === 0;
  }

  /**
   * The engine was not reached. Whether the socket was replaced, and Docker listens on the new one: a restart policy
   * starts us again no sooner than that.
   */
  isReplaced(): boolean {
    if (!this.isUnlinked()) {
      this.#sinceMs = undefined;
      return false;
    }
    if (this.#listeningAt !== undefined) return this.#listening().includes(this.#listeningAt);
    const nowMs = this.#clock.monotonicMs();
    this.#sinceMs ??= nowMs;
    return nowMs - this.#sinceMs >= WAIT_MS;
  }

  /** The file that is mounted at the path: id, parent, device, file, place, ... */
  #mountedFile(): string | undefined {
    const place = this.#files.realPath(this.#path);
    const mounts = this.#files.readProc('/proc/self/mountinfo').split('\n');
    return mounts.map((line) => line.split(' ')).findLast((fields) => fields[4] === place)?.[3];
  }

  /** Paths of the sockets that listen: address, references, protocol, flags, type, state, inode, path. */
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
