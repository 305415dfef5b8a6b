/**
 * Stdout and stderr. A command's first few lines go to the descriptor without Node's stream, because the modules of a
 * stream take longer to load than many a command takes to run.
 */
import type { Stats } from 'node:fs';
import type { Output } from './process.ts';

/**
 * A pipe that nobody else writes to accepts as much at once. More text goes through the stream, which does not wait for
 * a slow reader: a process that waits can handle no signal. A file needs no stream, and the stream of a file loses what
 * a full disk does not take.
 */
const MAX_DIRECT_OCTETS = 4096;

export class StandardOutput implements Omit<Output, 'colour'> {
  readonly #fd: 1 | 2;
  readonly #onError: (error: NodeJS.ErrnoException) => void;
  #stream: NodeJS.WriteStream | undefined;
  #directOctets = 0;
  #knownFile: boolean | undefined;

  /** Calls `onError` when a write fails, perhaps during `write`. */
  constructor(fd: 1 | 2, onError: (error: NodeJS.ErrnoException) => void) {
    this.#fd = fd;
    this.#onError = onError;
  }

  get isTty(): boolean {
    return isCharacterDevice(this.#fd) && this.#openStream().isTTY === true;
  }

  write(text: string): void {
    const octets = Buffer.from(text, 'utf8');
    const written = this.#stream === undefined ? this.#writeDirectly(octets) : 0;
    if (written < octets.length) this.#openStream().write(octets.subarray(written));
  }

  /** Calls back when everything has been written, or after `onError`. */
  flush(callback: () => void): void {
    const end = (error?: Error | null): void => {
      // The stream calls back before it emits the error of an earlier text.
      if (error) this.#onError(error);
      callback();
    };
    if (this.#stream === undefined) end();
    else this.#stream.write('', end);
  }

  #openStream(): NodeJS.WriteStream {
    if (this.#stream !== undefined) return this.#stream;
    const stream = this.#fd === 1 ? process.stdout : process.stderr;
    stream.on('error', this.#onError);
    this.#stream = stream;
    return stream;
  }

  /** Returns how many octets need no stream: what was written, or all after an error. */
  #writeDirectly(octets: Buffer): number {
    this.#directOctets += octets.length;
    if (this.#directOctets > MAX_DIRECT_OCTETS && !this.#isFile()) return 0;
    const { writeSync } = process.getBuiltinModule('node:fs');
    let written = 0;
    try {
      do written += writeSync(this.#fd, octets, written);
      while (written < octets.length && this.#isFile());
      return written;
    } catch (error) {
      // Another process made the pipe non-blocking, and it is full.
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return written;
      this.#onError(error as NodeJS.ErrnoException);
      return octets.length;
    }
  }

  #isFile(): boolean {
    this.#knownFile ??= statsOf(this.#fd)?.isFile() === true;
    return this.#knownFile;
  }
}

/** Whether the descriptor may be a terminal. Only its stream knows, and that costs most. */
function isCharacterDevice(fd: number): boolean {
  return statsOf(fd)?.isCharacterDevice() === true;
}

/** Undefined for a descriptor that is not open. */
function statsOf(fd: number): Stats | undefined {
  try {
    return process.getBuiltinModule('node:fs').fstatSync(fd);
  } catch {
    return undefined;
  }
}
