/**
 * The token that a server makes for itself, in a file that only its user (and root) may read: with it the server's own
 * commands may write where the kernel does not tell whose process asks.
 */
import { randomBytes } from 'node:crypto';
import { link, readFile, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder, PRIVATE_FILE } from '../store/embedded/folder.ts';

const NAME = 'http-token';
const MAX_OCTETS = 4096;

export interface TokenFile {
  readonly token: string;
  readonly path: string;
  /** Of the file. */
  readonly uid: number;
}

export type Provided =
  | { readonly kind: 'provided'; readonly file: TokenFile }
  | { readonly kind: 'failed'; readonly path: string; readonly reason: string };

/** The token of a folder, which gets one if it has none. Servers that start at the same time get the same. */
export async function provideToken(folder: string): Promise<Provided> {
  const path = join(folder, NAME);
  try {
    if ((await readToken(folder)) === undefined) await makeToken(folder, path);
    const file = await readToken(folder);
    if (file === undefined) throw new Error('it is empty; remove it');
    if (((await stat(path)).mode & 0o077) === 0) return { kind: 'provided', file };
    throw new Error('others may read it; remove it, then the server makes a new one');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return { kind: 'failed', path, reason: code ?? message };
  }
}

/** The token in a folder; undefined where there is none, or we may not read it. */
export async function readToken(folder: string): Promise<TokenFile | undefined> {
  const path = join(folder, NAME);
  try {
    const { uid, size } = await stat(path);
    if (size > MAX_OCTETS) return undefined;
    const token = (await readFile(path, 'latin1')).trim();
    return token === '' ? undefined : { token, path, uid };
  } catch {
    return undefined;
  }
}

/** Whole or not at all: linking fails where another server was first. */
async function makeToken(folder: string, path: string): Promise<void> {
  await makeFolder(folder);
  const draft = `${path}.${randomBytes(8).toString('hex')}`;
  const text = `${randomBytes(32).toString('base64url')}\n`;
  await writeFile(draft, text, { mode: PRIVATE_FILE, flag: 'wx' });
  try {
    await link(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await unlink(draft);
  }
}
