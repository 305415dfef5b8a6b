/** Reads hosts files, and reads one again when it has changed. */
import { readFileSync } from 'node:fs';
import type { Clock, Timer } from '../../timing/clock.ts';
import { fileStamp } from '../../timing/fileStamp.ts';

export interface HostsFilesOptions {
  readonly paths: readonly string[];
  readonly clock: Clock;
  /** Called after a file has changed. Must not throw. */
  readonly onChange: () => void;
  /** Receives the reason once when a file cannot be read any more. Must not throw. */
  readonly onUnreadable: (path: string, reason: string) => void;
}

/** A comparison by time works for every file system, bind mount and way of replacing a file. */
const POLL_MS = 1_000;

interface HostsFile {
  readonly path: string;
  /** Of the content that was read; '' if the file could not be read. */
  stamp: string;
  text: string;
  isUnreadable: boolean;
}

export class HostsFiles {
  readonly #options: HostsFilesOptions;
  readonly #files: readonly HostsFile[];
  #timer: Timer | undefined;

  /** Reads the files. */
  constructor(options: HostsFilesOptions) {
    this.#options = options;
    const unread = { stamp: '', text: '', isUnreadable: false };
    this.#files = options.paths.map((path) => ({ path, ...unread }));
    for (const file of this.#files) this.#read(file);
    this.#wait();
  }

  /** The files' texts. A file that has become unreadable keeps its last one. */
  get texts(): readonly string[] {
    return this.#files.map(({ text }) => text);
  }

  close(): void {
    this.#timer?.cancel();
  }

  #wait(): void {
    if (this.#files.length === 0) return;
    this.#timer = this.#options.clock.startTimer(POLL_MS, () => {
      const changed = this.#files.filter((file) => this.#read(file));
      if (changed.length > 0) this.#options.onChange();
      this.#wait();
    });
  }

  /** Whether the file has another text than before. */
  #read(file: HostsFile): boolean {
    const stamp = fileStamp(file.path);
    if (stamp === file.stamp) return false;
    try {
      const text = readFileSync(file.path, 'utf8');
      const isNew = text !== file.text;
      file.stamp = stamp;
      file.text = text;
      file.isUnreadable = false;
      return isNew;
    } catch (error) {
      if (!file.isUnreadable) this.#options.onUnreadable(file.path, (error as Error).message);
      file.isUnreadable = true;
      return false;
    }
  }
}
