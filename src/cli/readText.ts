import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { ReadFile } from '../config/settings.ts';

const MAX_OCTETS = 1024 * 1024;

/** Reads an ordinary file of at most 1 MiB: options name it, so it may be a device without end, or a pipe that nobody fills. */
export const readText: ReadFile = (path) => {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      if (!fstatSync(fd).isFile()) return { problem: 'it is no ordinary file' };
      const octets = readUpTo(fd, MAX_OCTETS + 1);
      if (octets.length > MAX_OCTETS) return { problem: 'it is above 1 MiB' };
      return { text: octets.toString('utf8') };
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    return { problem: (error as NodeJS.ErrnoException).code ?? String(error) };
  }
};

/** Not by the size that the file says: below /proc that is 0. */
function readUpTo(fd: number, limit: number): Buffer {
  const buffer = Buffer.allocUnsafe(limit);
  let length = 0;
  while (length < limit) {
    const read = readSync(fd, buffer, length, limit - length, null);
    if (read === 0) break;
    length += read;
  }
  return buffer.subarray(0, length);
}
