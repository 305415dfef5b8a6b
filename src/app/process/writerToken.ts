/**
 * The token for writes over HTTP: the option's, else the one in the token file. A server makes the file if the kernel
 * cannot tell it which user a client is, or if it has an embedded store, whose configuration only a client with the
 * token may write. Only the server's user (and root) may read the file, so the user's commands can write.
 */
import { randomBytes } from 'node:crypto';
import { link, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../../config/config.ts';
import type { StoreLocation } from '../../config/storeLocation.ts';
import type { SocketAddress } from '../../dns/address.ts';
import { isLoopback } from '../../forward/addresses.ts';
import type { Log } from '../../observability/log.ts';
import type { HttpListenerOptions } from '../../server/http/listener.ts';
import { isHostAddress, seesOwners, trustedUsers } from '../../server/listening/peerOwner.ts';
import { listenersAt } from '../../server/listening/portHolder.ts';
import { makeFolder, PRIVATE_FILE } from '../../store/file/folder.ts';

/** The listener's options that decide which clients may write. */
export type Writers = Required<
  Pick<HttpListenerOptions, 'token' | 'tokenLocation' | 'trustedUsers'>
>;

type WriterOptions = Pick<Config, 'httpToken' | 'httpWriters' | 'store'>;

/** `stateDirectory` holds the file if the store has no folder; without either there is no file. */
export async function writersOf(
  { httpToken, httpWriters, store }: WriterOptions,
  http: SocketAddress,
  stateDirectory: string | undefined,
  log: Log,
): Promise<Writers> {
  const trusted = httpWriters === 'local' ? trustedUsers() : new Set<number>();
  const given = httpToken?.reveal();
  if (given !== undefined) return { token: given, tokenLocation: undefined, trustedUsers: trusted };
  const needsToken = trusted.size === 0 || !isLoopback(http.address) || !(await seesOwners());
  const folder = store.kind === 'file' ? store.directory : stateDirectory;
  const none = { token: undefined, tokenLocation: undefined, trustedUsers: trusted };
  if (folder === undefined || !(needsToken || store.kind === 'file')) return none;
  const provided = await provideToken(folder);
  if (provided.kind === 'provided') {
    const { token, path } = provided.file;
    log.info({ path }, 'this file contains the token for writing over HTTP');
    return { token, tokenLocation: path, trustedUsers: trusted };
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
 * The token in this user's state directory, for a server on this host. A server of another user never gets it: that
 * user may have taken the address while this user's server was down.
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
  // If the kernel does not show the listener's user, the list is empty and the token is sent.
  const listeners = await listenersAt('tcp', address, Number(port || 80));
  return listeners.every(({ uid }) => ours.has(uid)) ? file.token : undefined;
}

const NAME = 'http-token';
const MAX_OCTETS = 4096;

export interface TokenFile {
  readonly token: string;
  readonly path: string;
  /** The file's owner. */
  readonly uid: number;
}

export type TokenFileOutcome =
  | { readonly kind: 'provided'; readonly file: TokenFile }
  | { readonly kind: 'failed'; readonly path: string; readonly reason: string };

/** The token in a folder; makes one if there is none. Servers that start at the same time get the same token. */
async function provideToken(folder: string): Promise<TokenFileOutcome> {
  const path = join(folder, NAME);
  try {
    if ((await readTokenFile(folder)) === undefined) await makeToken(folder, path);
    const file = await readTokenFile(folder);
    if (file === undefined) throw new Error('it is empty; remove it');
    if (((await stat(path)).mode & 0o077) === 0) return { kind: 'provided', file };
    throw new Error('other users may read it; remove it, and the server makes a new one');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return { kind: 'failed', path, reason: code ?? message };
  }
}

/** The token in a folder; undefined if there is none or this user may not read it. */
async function readTokenFile(folder: string): Promise<TokenFile | undefined> {
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

/** Makes the file completely or not at all: linking fails if another server was first. */
async function makeToken(folder: string, path: string): Promise<void> {
  await makeFolder(folder);
  const draft = `${path}.${randomBytes(8).toString('hex')}`;
  const text = `${randomBytes(32).toString('base64url')}\n`;
  try {
    await writeFile(draft, text, { mode: PRIVATE_FILE, flag: 'wx' });
    await link(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(draft, { force: true });
  }
}
