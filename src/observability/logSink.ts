/**
 * Writes log lines to a descriptor. Lines that a full pipe does not accept wait in a bounded buffer; lines that do not
 * fit into the buffer are dropped and counted, so a slow reader never delays an answer. pino's own destination writes
 * from a thread, which cannot be flushed when the process ends.
 */
import { writeSync } from 'node:fs';

const MAX_BUFFER_OCTETS = 1 << 20;
const RETRY_MS = 10;
const MAX_CLOSING_MS = 1000;

export interface LogSink {
  write(line: string): void;
  /** Writes the buffer without returning to the event loop, for about a second at most. Returns whether it is empty. */
  flush(): boolean;
  /** Returns how many lines were dropped since the last call. */
  takeDropped(): number;
}

/** A sink on a descriptor. Errors other than a full pipe, such as a closed pipe or a full disk, drop the buffer. */
export function openLogSink(fd: number): LogSink {
  // Opening the stream makes Node set the pipe to non-blocking; before that a write would wait for the reader.
  if (fd === 1 || fd === 2) (fd === 1 ? process.stdout : process.stderr).on('error', () => {});
  return new DescriptorSink(fd);
}

class DescriptorSink implements LogSink {
  readonly #fd: number;
  #waiting: Buffer[] = [];
  #waitingOctets = 0;
  #dropped = 0;
  /** The reader has closed the pipe. */
  #abandoned = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(line: string): void {
    if (this.#abandoned || this.#waitingOctets + Buffer.byteLength(line) > MAX_BUFFER_OCTETS) {
      this.#dropped++;
      return;
    }
    const chunk = Buffer.from(line, 'utf8');
    this.#waiting.push(chunk);
    this.#waitingOctets += chunk.length;
    if (this.#timer === undefined) this.#drainOrRetry();
  }

  flush(): boolean {
    const deadlineMs = performance.now() + MAX_CLOSING_MS;
    while (!this.#drain()) {
      if (performance.now() > deadlineMs) return false;
      pause(RETRY_MS);
    }
    return true;
  }

  takeDropped(): number {
    const lines = this.#dropped;
    this.#dropped = 0;
    return lines;
  }

  #drainOrRetry(): void {
    this.#timer = undefined;
    if (this.#drain()) return;
    this.#timer = setTimeout(() => this.#drainOrRetry(), RETRY_MS).unref();
  }

  /** Returns whether the buffer is empty. */
  #drain(): boolean {
    for (let chunk = this.#waiting[0]; chunk !== undefined; chunk = this.#waiting[0]) {
      const octets = writeSome(this.#fd, chunk);
      if (typeof octets === 'string') {
        this.#abandoned = octets === 'gone';
        this.#dropAll();
        return true;
      }
      this.#waitingOctets -= octets;
      if (octets < chunk.length) {
        this.#waiting[0] = chunk.subarray(octets);
        return false;
      }
      this.#waiting.shift();
    }
    return true;
  }

  #dropAll(): void {
    this.#dropped += this.#waiting.length;
    this.#waiting = [];
    this.#waitingOctets = 0;
  }
}

/** The number of octets that the descriptor accepted; 0 if it is full. */
function writeSome(fd: number, chunk: Buffer): number | 'gone' | 'failed' {
  try {
    return writeSync(fd, chunk);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EAGAIN') return 0;
    return code === 'EPIPE' ? 'gone' : 'failed';
  }
}

const neverWoken = new Int32Array(new SharedArrayBuffer(4));

function pause(ms: number): void {
  Atomics.wait(neverWoken, 0, 0, ms);
}
