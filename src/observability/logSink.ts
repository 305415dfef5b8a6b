/**
 * Where log lines leave the process. Each is written at once if the descriptor takes it. What a full pipe does not take
 * waits in a bounded buffer, and what that does not take is dropped and counted: a slow reader never holds up serving.
 * We do not write from a thread, as pino's own destination does: nobody could wait for it when the process ends.
 */
import { writeSync } from 'node:fs';

const MAX_BUFFER_OCTETS = 1 << 20;
const RETRY_MS = 10;
const MAX_CLOSING_MS = 1000;

export interface LogSink {
  write(line: string): void;
  /** Writes what waits, for about a second, without returning to the event loop; whether all of it was written. */
  flush(): boolean;
  /** How many lines were dropped since this was last asked. */
  takeDropped(): number;
}

/** A sink on a descriptor. An error other than a full pipe (the reader is gone, the disk is full) drops what there is. */
export function openLogSink(fd: number): LogSink {
  // Node makes a pipe non-blocking when it opens the stream; until then a write would wait for the reader.
  if (fd === 1) process.stdout.on('error', () => {});
  return new DescriptorSink(fd);
}

class DescriptorSink implements LogSink {
  readonly #fd: number;
  #waiting: Buffer[] = [];
  #waitingOctets = 0;
  #dropped = 0;
  /** The reader is gone for good. */
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

  /** Whether nothing waits any more. */
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

/** How many octets the descriptor took; 0 when it is full. */
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
