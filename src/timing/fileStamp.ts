import { statSync } from 'node:fs';

/**
 * A text that changes with the file, so that a program reads it only then; without the file, what `stat` says about it.
 * The time of the last write alone is not enough: a program that replaces a file may set it, a link may lead to another
 * file, and a file whose mode has changed may be readable now. Never throws.
 */
export function fileStamp(path: string): string {
  try {
    const { dev, ino, size, mtimeMs, ctimeMs } = statSync(path);
    return [dev, ino, size, mtimeMs, ctimeMs].join(' ');
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}
