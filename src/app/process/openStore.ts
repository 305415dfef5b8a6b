/**
 * From a store's location to an open store. Each kind's code is loaded when needed, which keeps other commands fast.
 */
import type { EtcdLocation, StoreLocation } from '../../config/storeLocation.ts';
import { type LeaseStore, StoreError } from '../../store/store.ts';
import { Failure } from './failure.ts';
import { readTls } from './pemFiles.ts';

export interface OpenStoreOptions {
  /** May hold the token of a server on this host. */
  readonly stateDirectory?: string | undefined;
  /** Moves a damaged embedded store aside and starts a new one with the readable entries. */
  readonly repair?: boolean | undefined;
  /** Gets a line about a problem that does not keep the store from opening. */
  readonly onWarning?: ((line: string) => void) | undefined;
}

/** Opens the store at a location. If etcd or the server is unreachable, the first call fails. */
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
      // Node would warn that grpc-js gives an IP address to TLS; the operator cannot change that.
      process.noDeprecation = true;
      return new (await import('../../store/etcd/etcdStore.ts')).EtcdStore(etcdOptions(location));
    case 'http': {
      const { HttpStore } = await import('../../store/http/httpStore.ts');
      const { url, token } = location;
      const findToken = async () => {
        if (stateDirectory === undefined) return undefined;
        const { tokenForServer } = await import('./writerToken.ts');
        return tokenForServer(location, stateDirectory);
      };
      return new HttpStore({ url, token: token?.reveal(), findToken });
    }
  }
}

async function openEmbedded(
  directory: string,
  options: Pick<OpenStoreOptions, 'repair' | 'onWarning'>,
): Promise<LeaseStore> {
  const { openFileStore } = await import('../../store/file/fileStore.ts');
  // Only this user may read the files that this process makes from now on.
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
    return 'a server probably has it open: use its --http address, --store http://HOST:PORT';
  }
  if (/ is damaged: /.test(message)) {
    return 'restore a copy of the folder, or start the server once with --store-repair: it keeps the damaged file and every readable name';
  }
  if (/ is not a database$/.test(message)) {
    return 'restore a copy of the folder, or move data.mdb out of it to start an empty store';
  }
  if (/: the disk (is full|quota is used up)/.test(message)) {
    return 'free some space, or choose a folder on another disk';
  }
  return 'choose a folder that this user may write to, or --store memory:';
}

/** The options of an etcd client. Throws a `Failure` for unusable certificate files. */
export function etcdOptions({ endpoints, user, password, tls }: EtcdLocation) {
  return {
    endpoints,
    user,
    password: password?.reveal(),
    tls: tls && readTls(tls),
    // config/storeLocation.ts refuses a password that would cross a network unencrypted.
    allowPlaintextAuth: tls === undefined,
  };
}
