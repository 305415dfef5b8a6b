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
  let waiting: Buffer[] = [];
  let waitingOctets = 0;
  let dropped = 0;
  let abandoned = false;
  let timer: NodeJS.Timeout | undefined;

  /** Whether everything is written. */
  function drain(): boolean {
    while (waiting.length > 0) {
      const chunk = waiting[0] as Buffer;
      const octets = writeSome(fd, chunk);
      if (typeof octets === 'string') {
        abandoned = octets === 'gone';
        dropped += waiting.length;
        waiting = [];
        waitingOctets = 0;
        return true;
      }
      waitingOctets -= octets;
      if (octets < chunk.length) {
        waiting[0] = chunk.subarray(octets);
        return false;
      }
      waiting.shift();
    }
    return true;
  }

  function retry(): void {
    timer = undefined;
    if (!drain()) schedule();
  }

  function schedule(): void {
    timer ??= setTimeout(retry, RETRY_MS).unref();
  }

  return {
    write(line) {
      if (abandoned || waitingOctets + Buffer.byteLength(line) > MAX_BUFFER_OCTETS) {
        dropped++;
        return;
      }
      const chunk = Buffer.from(line, 'utf8');
      waiting.push(chunk);
      waitingOctets += chunk.length;
      if (timer === undefined && !drain()) schedule();
    },
    flush() {
      const deadlineMs = performance.now() + MAX_CLOSING_MS;
      while (!drain()) {
        if (performance.now() > deadlineMs) return false;
        pause(RETRY_MS);
      }
      return true;
    },
    takeDropped() {
      const lines = dropped;
      dropped = 0;
      return lines;
    },
  };
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
