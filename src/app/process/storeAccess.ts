/** From a command's arguments to an open store and to keys. Stores are loaded when needed, to keep other commands quick. */
import { existsSync, readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { readClientConfig } from '../../config/config.ts';
import type { Arguments } from '../../config/settings.ts';
import type { EtcdLocation, StoreLocation } from '../../config/storeLocation.ts';
import { type Name, parseName } from '../../dns/name.ts';
import { keyOfName, keyPrefix, nameOfKey } from '../../service/key.ts';
import { type LeaseStore, StoreError } from '../../store/store.ts';
import { Failure, storeFailure } from './failure.ts';
import type { Io } from './process.ts';
import { tokenForServer } from './writerToken.ts';

export interface OpenStoreOptions {
  /** May hold the token of a server of this host. */
  readonly stateDirectory?: string | undefined;
  /** A damaged embedded store is set aside, and another begins with what can be read of it. */
  readonly repair?: boolean | undefined;
  /** Told what is no reason not to open the store. */
  readonly onWarning?: ((line: string) => void) | undefined;
}

/** Opens the store at a location. What cannot be reached yet is found out by the first call. */
export async function openStore(
  location: StoreLocation,
  { stateDirectory, ...options }: OpenStoreOptions = {},
): Promise<LeaseStore> {
  switch (location.kind) {
    case 'memory':
      return (await import('../../store/embedded/memoryStore.ts')).createMemoryStore({
        revision: Date.now(),
      });
    case 'file':
      return openEmbedded(location.directory, options);
    case 'etcd':
      // grpc-js would print its own lines to stderr about what the store reports as errors.
      process.env.GRPC_VERBOSITY ??= 'NONE';
      // Node's complaint that grpc-js names an IP address to TLS helps nobody who runs this.
      process.noDeprecation = true;
      return new (await import('../../store/etcd/etcdStore.ts')).EtcdStore(etcdOptions(location));
    case 'http': {
      const { HttpStore } = await import('../../store/http/httpStore.ts');
      const { url, token } = location;
      const findToken = async () =>
        stateDirectory === undefined ? undefined : tokenForServer(location, stateDirectory);
      return new HttpStore({ url, token: token?.reveal(), findToken });
    }
  }
}

async function openEmbedded(
  directory: string,
  options: Pick<OpenStoreOptions, 'repair' | 'onWarning'>,
): Promise<LeaseStore> {
  const { openFileStore } = await import('../../store/file/fileStore.ts');
  // Whatever this process makes from here on is nobody else's to read.
  process.umask(0o077);
  try {
    return await openFileStore(directory, options);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    throw new Failure('unreachable', error.message, embeddedHint(error));
  }
}

function embeddedHint({ message }: StoreError): string {
  if (/ is in use/.test(message)) {
    return 'is a server running on it? commands reach that at its --http address: --store http://HOST:PORT';
  }
  if (/ is damaged: /.test(message)) {
    return 'put a copy of the folder in its place, or start the server once with --store-repair: it keeps the damaged file, and all names that can still be read';
  }
  if (/ is no database$/.test(message)) {
    return 'move data.mdb out of the folder if its names are elsewhere, or put a copy of the folder in its place';
  }
  if (/: the disk (is full|quota is used up)/.test(message)) {
    return 'free some space on it, or give a folder on another disk';
  }
  return 'give a folder that this user may write to, or --store memory:';
}

/** What the store, and whoever else talks to etcd, is to know. Throws a `Failure` for files that are no good. */
export function etcdOptions({ endpoints, user, password, tls }: EtcdLocation) {
  return {
    endpoints,
    user,
    password: password?.reveal(),
    tls: tls && readTls(tls),
    // config.ts has refused passwords that would cross a network in the clear.
    allowPlaintextAuth: tls === undefined,
  };
}

/** A store and the part of its keys that are names. */
export interface StoreAccess {
  readonly store: LeaseStore;
  /** As `keyPrefix` gives it. */
  readonly prefix: string;
}

/** Runs `use` on the store that the arguments name, and closes it. Only who `creates` may begin a store in a folder. */
export async function withStore(
  args: Arguments,
  io: Io,
  use: (access: StoreAccess) => Promise<number>,
  { creates = false } = {},
): Promise<number> {
  const read = readClientConfig({ flags: args.flags, env: io.env, readFile: io.readFile });
  if (read.kind === 'mistakes') throw new Failure('usage', read.mistakes.join('; '));
  const location = read.config.store;
  refuseNoStore(location, creates);
  const store = await openStore(location, io);
  try {
    return await use({ store, prefix: keyPrefix(read.config.pathPrefix) });
  } catch (error) {
    throw error instanceof StoreError ? storeFailure(error, location.kind) : error;
  } finally {
    await store.close();
  }
}

/** A store that would be gone with this command, or a folder that nobody has begun one in. */
function refuseNoStore(location: StoreLocation, creates: boolean): void {
  if (location.kind === 'memory') {
    const problem = '--store: memory: is gone when this command ends';
    throw new Failure('usage', problem, 'give a server’s --http address: --store http://HOST:PORT');
  }
  if (location.kind !== 'file' || creates || existsSync(location.directory)) return;
  const problem = `file:${location.directory}: there is no such folder`;
  throw new Failure('unreachable', problem, 'check the path; set and serve begin a new store');
}

/** The key that a NAME argument means: a domain name or, if it begins with `/`, the key itself. */
export function keyOfArgument(text: string, prefix: string): string {
  if (text.startsWith('/')) {
    const key = text.replace(/\/+$/, '');
    if (key === '') throw new Failure('usage', `${text}: is no key`, `give one below ${prefix}`);
    return key;
  }
  const name = text === '' ? undefined : parseName(text);
  if (name === undefined) {
    throw new Failure(
      'usage',
      `${text}: is no domain name`,
      'labels have 1 to 63 octets, names 255 at most',
    );
  }
  if (name.length === 0) return prefix.slice(0, -1);
  const key = keyOfName(name, prefix);
  if (key === undefined) {
    throw new Failure(
      'usage',
      `${text}: cannot be stored`,
      'a label with a dot or a slash has no key',
    );
  }
  return key;
}

/** The name that a key stands for, `undefined` when it stands for none. */
export function ownerOfKey(key: string, prefix: string): Name | undefined {
  const read = nameOfKey(key, prefix);
  return read.kind === 'name' ? read.owner : undefined;
}

/** The certificates and keys that options name, read and tried out before anybody waits for a connection with them. */

type TlsFiles = NonNullable<EtcdLocation['tls']>;

/** PEM, each present if its file is named. */
export interface TlsCredentials {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

/** Throws a `Failure` that names the option whose file is no good. */
export function readTls({ caFile, certFile, keyFile }: TlsFiles): TlsCredentials {
  const tls = {
    ...readPem('ca', '--ca-cert', caFile, 'CERTIFICATE'),
    ...readPem('cert', '--tls-pem', certFile, 'CERTIFICATE'),
    ...readPem('key', '--tls-key', keyFile, '(?:[A-Z]+ )?PRIVATE KEY'),
  };
  try {
    createSecureContext(tls);
  } catch (error) {
    const { message } = error as Error;
    const problem = /values mismatch/i.test(message)
      ? `--tls-key: ${keyFile} is not the key of ${certFile}`
      : `--ca-cert, --tls-pem, --tls-key: OpenSSL cannot use them (${message})`;
    throw new Failure('usage', problem, 'give a certificate and its own key, unencrypted, in PEM');
  }
  return tls;
}

function readPem(
  field: keyof TlsCredentials,
  option: string,
  path: string | undefined,
  kind: string,
): { readonly [F in keyof TlsCredentials]?: Buffer } {
  if (path === undefined) return {};
  const pem = readOctets(option, path);
  if (!new RegExp(`^-----BEGIN ${kind}-----`, 'm').test(pem.toString('latin1'))) {
    const what = kind === 'CERTIFICATE' ? 'certificate' : 'private key';
    throw new Failure('usage', `${option}: ${path} holds no ${what} in PEM`, 'see openssl x509');
  }
  return { [field]: pem };
}

function readOctets(option: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code;
    const problem = `${option}: cannot read ${path} (${reason})`;
    throw new Failure('usage', problem, 'give a file that can be read');
  }
}
