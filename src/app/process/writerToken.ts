/**
 * Which token a server takes, and which a command shows: the one that was given, else the one in the token file. A server
 * makes the file where nothing else tells who may write, and where the configuration lies in a store of its own, which
 * only it can write.
 */
import { randomBytes } from 'node:crypto';
import { link, readFile, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../../config/config.ts';
import type { StoreLocation } from '../../config/storeLocation.ts';
import type { SocketAddress } from '../../dns/address.ts';
import { isLoopback } from '../../forward/addresses.ts';
import type { Log } from '../../observability/log.ts';
import { isHostAddress, seesOwners, trustedUsers } from '../../server/peerOwner.ts';
import { listenersAt } from '../../server/portHolder.ts';
import { makeFolder, PRIVATE_FILE } from '../../store/file/folder.ts';

/** Who may write over HTTP, as the listener takes it. */
export interface Writers {
  readonly token: string | undefined;
  readonly tokenPlace: string | undefined;
  readonly trustedUsers: ReadonlySet<number>;
}

type WriterOptions = Pick<Config, 'httpToken' | 'httpWriters' | 'store'>;

/** `stateDirectory` is for stores that have no folder; undefined: there is none. */
export async function writersOf(
  { httpToken, httpWriters, store }: WriterOptions,
  http: SocketAddress,
  stateDirectory: string | undefined,
  log: Log,
): Promise<Writers> {
  const trusted = httpWriters === 'local' ? trustedUsers() : new Set<number>();
  const given = httpToken?.reveal();
  if (given !== undefined) return { token: given, tokenPlace: undefined, trustedUsers: trusted };
  const needsToken = trusted.size === 0 || !isLoopback(http.address) || !(await seesOwners());
  const folder = store.kind === 'file' ? store.directory : stateDirectory;
  const none = { token: undefined, tokenPlace: undefined, trustedUsers: trusted };
  if (folder === undefined || !(needsToken || store.kind === 'file')) return none;
  const provided = await provideToken(folder);
  if (provided.kind === 'provided') {
    const { token, path } = provided.file;
    log.info({ path }, 'the token for writing over HTTP is in this file');
    return { token, tokenPlace: path, trustedUsers: trusted };
  }
  const { path, reason } = provided;
  if (needsToken) {
    const fix = 'give one with --http-token-file FILE';
    log.warn(
      { path, reason },
      `cannot create or use the token file: clients without trusted access cannot write over HTTP; ${fix}`,
    );
  }
  return none;
}

/**
 * The token in this user's state directory, for a server on this host that asks for one. It is not shown to a server of
 * another user, who may have taken the address while ours was away.
 */
export async function tokenForServer(
  { url }: Extract<StoreLocation, { kind: 'http' }>,
  stateDirectory: string,
): Promise<string | undefined> {
  const { hostname, port } = new URL(url);
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  const address = host === 'localhost' ? '127.0.0.1' : host;
  if (!isHostAddress(address)) return undefined;
  const file = await readTokenFile(stateDirectory);
  if (file === undefined) return undefined;
  const ours = new Set([...trustedUsers(), file.uid]);
  // Where the kernel does not show whose the listener is, there is nothing to see.
  const listeners = await listenersAt('tcp', address, Number(port || 80));
  return listeners.every(({ uid }) => ours.has(uid)) ? file.token : undefined;
}

/**
 * The token that a server makes for itself, in a file that only its user (and root) may read: with it the server's own
 * commands may write where the kernel does not tell whose process asks.
 */

const NAME = 'http-token';
const MAX_OCTETS = 4096;

export interface TokenFile {
  readonly token: string;
  readonly path: string;
  /** Of the file. */
  readonly uid: number;
}

export type TokenFileOutcome =
  | { readonly kind: 'provided'; readonly file: TokenFile }
  | { readonly kind: 'failed'; readonly path: string; readonly reason: string };

/** The token of a folder, which gets one if it has none. Servers that start at the same time get the same. */
export async function provideToken(folder: string): Promise<TokenFileOutcome> {
  const path = join(folder, NAME);
  try {
    if ((await readTokenFile(folder)) === undefined) await makeToken(folder, path);
    const file = await readTokenFile(folder);
    if (file === undefined) throw new Error('it is empty; remove it');
    if (((await stat(path)).mode & 0o077) === 0) return { kind: 'provided', file };
    throw new Error('others may read it; remove it, then the server makes a new one');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return { kind: 'failed', path, reason: code ?? message };
  }
}

/** The token in a folder; undefined where there is none, or we may not read it. */
export async function readTokenFile(folder: string): Promise<TokenFile | undefined> {
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
