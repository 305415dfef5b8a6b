/**
 * Output of commands. Texts from the store or the network must pass through `printable` or be in presentation form, so
 * that they cannot control a terminal.
 */
import type { Failure } from '../app/process/failure.ts';
import type { Output } from '../app/process/process.ts';
import type { TextFileReader } from '../config/settings.ts';
import { printable } from '../observability/printable.ts';

/** Colour on a terminal, unless NO_COLOR is set; FORCE_COLOR takes precedence over both. */
export function wantsColour(
  env: Readonly<Record<string, string | undefined>>,
  isTty: boolean,
): boolean {
  if (env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== '')
    return env.FORCE_COLOR !== '0' && env.FORCE_COLOR !== 'false';
  return isTty && !env.NO_COLOR && env.TERM !== 'dumb';
}

const SGR = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;

export function paint(text: string, style: keyof typeof SGR, { colour }: Output): string {
  return colour && text !== '' ? `\u001b[${SGR[style]}m${text}\u001b[0m` : text;
}

/** One line, or with `--json` the object `{"error":{"code","message","hint"}}`. */
export function printFailure(failure: Failure, json: boolean, stderr: Output): void {
  const { code, hint } = failure;
  const message = printable(failure.message);
  if (json) {
    const error = { code, message, ...(hint === undefined ? {} : { hint: printable(hint) }) };
    stderr.write(`${jsonLine({ error })}\n`);
    return;
  }
  const advice = hint === undefined ? '' : ` (${printable(hint)})`;
  stderr.write(`${paint('soradns:', 'red', stderr)} ${message}${advice}\n`);
}

/** One line of JSON in printable characters: characters that JSON does not escape (C1, U+2028) become `\uXXXX`. */
export function jsonLine(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Rows in columns, each as wide as its widest cell; the first row is the head. Cells must be printable. */
export function table(rows: readonly (readonly string[])[], output: Output): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, widthOf(cell));
    });
  }
  const lines = rows.map((row, index) => {
    const line = row
      .map((cell, i) => cell + ' '.repeat((widths[i] ?? 0) - widthOf(cell)))
      .join('  ')
      .trimEnd();
    return index === 0 ? paint(line, 'bold', output) : line;
  });
  return `${lines.join('\n')}\n`;
}

const WIDE =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]/u;

/** The columns of a terminal that a text takes: two for a wide character (UAX #11), none for a combining mark. */
function widthOf(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length;
  let width = 0;
  for (const char of text) if (!/\p{Mn}|\p{Me}/u.test(char)) width += WIDE.test(char) ? 2 : 1;
  return width;
}

const { closeSync, constants, fstatSync, openSync, readSync } = process.getBuiltinModule('node:fs');

const MAX_OCTETS = 1024 * 1024;

/**
 * Reads a regular file of at most 1 MiB. Refuses any other file, because an option may name an endless device, or a
 * pipe without a writer.
 */
export const readText: TextFileReader = (path) => {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stats = fstatSync(fd);
      if (!stats.isFile()) return { problem: 'it is not a regular file' };
      const octets = readUpTo(fd, MAX_OCTETS + 1);
      if (octets.length > MAX_OCTETS) return { problem: 'it is larger than 1 MiB' };
      return { text: octets.toString('utf8'), isForAll: (stats.mode & 0o004) !== 0 };
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    return { problem: (error as NodeJS.ErrnoException).code ?? String(error) };
  }
};

/** Reads to the end: below /proc the reported size is 0. */
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

const UNITS = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
] as const;

/** In the greatest unit that fits: `4 h`. */
export function printAge(ageMs: number): string {
  const seconds = Math.max(0, Math.floor(ageMs / 1000));
  const [unit, size] = UNITS.find(([, each]) => seconds >= each) ?? ['s', 1];
  return `${Math.floor(seconds / size)} ${unit}`;
}

/** A time in UTC, to the second: `2026-11-30T14:45:07Z`. */
export function printDate(unixSeconds: number): string {
  return new Date(unixSeconds * 1000).toISOString().replace(/\.\d+Z$/, 'Z');
}
