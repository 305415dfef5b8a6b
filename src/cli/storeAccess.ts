/** What commands on a store share: their options, opening the store that the options name, and NAME arguments as keys. */
import { Failure, failureOf } from '../app/process/failure.ts';
import type { Io } from '../app/process/process.ts';
import { DEFAULT_CLIENT_STORE, readClientConfig } from '../config/clientConfig.ts';
import { type OptionWords, wordsOf } from '../config/options/option.ts';
import { STORE_OPTIONS } from '../config/options/storeOptions.ts';
import type { Arguments } from '../config/settings.ts';
import type { StoreLocation } from '../config/storeLocation.ts';
import { type Name, parseName } from '../dns/name.ts';
import { keyOfName, keyPrefix, nameOfKey } from '../service/key.ts';
import type { LeaseStore } from '../store/store.ts';
import { OUTPUT_OPTIONS } from './command.ts';

/** The options of every command on a store. */
export const CLIENT_OPTIONS: readonly OptionWords[] = [
  ...OUTPUT_OPTIONS,
  ...wordsOf(STORE_OPTIONS).map((words) =>
    words.name === 'store' ? { ...words, defaultText: DEFAULT_CLIENT_STORE } : words,
  ),
];

/** A store and the prefix of the keys that are names. */
export interface StoreAccess {
  readonly store: LeaseStore;
  /** As `keyPrefix` returns it. */
  readonly prefix: string;
}

/**
 * Runs `use` on the store that the arguments name, and closes it. Only with `creates` may this create an embedded
 * store.
 */
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
  const { openStore } = await import('../app/process/openStore.ts');
  const store = await openStore(location, io);
  try {
    return await use({ store, prefix: keyPrefix(read.config.pathPrefix) });
  } catch (error) {
    throw failureOf(error, location.kind);
  } finally {
    await store.close();
  }
}

/** Refuses a store that ends with this command, and a missing folder. */
function refuseNoStore(location: StoreLocation, creates: boolean): void {
  if (location.kind === 'memory') {
    const problem = '--store: a memory: store ends with this command';
    throw new Failure('usage', problem, 'use a server’s --http address: --store http://HOST:PORT');
  }
  const { existsSync } = process.getBuiltinModule('node:fs');
  if (location.kind !== 'file' || creates || existsSync(location.directory)) return;
  const problem = `file:${location.directory}: the folder does not exist`;
  throw new Failure('unreachable', problem, 'check the path; set and serve create a store');
}

/** The key for a NAME argument: a domain name or, if it begins with `/`, the key itself. Throws a `Failure`. */
export function keyOfArgument(text: string, prefix: string): string {
  if (text.startsWith('/')) {
    const key = text.replace(/\/+$/, '');
    if (key === '')
      throw new Failure('usage', `${text}: is not a key`, `give a key below ${prefix}`);
    return key;
  }
  const name = text === '' ? undefined : parseName(text);
  if (name === undefined) {
    throw new Failure(
      'usage',
      `${text}: is not a domain name`,
      'labels have 1 to 63 octets, names 255 at most',
    );
  }
  if (name.length === 0) return prefix.slice(0, -1);
  const key = keyOfName(name, prefix);
  if (key === undefined) {
    throw new Failure(
      'usage',
      `${text}: cannot be stored`,
      'a label with a dot or a slash cannot be part of a key',
    );
  }
  return key;
}

/** The owner name of a key; undefined for a key that is not a name. */
export function ownerOfKey(key: string, prefix: string): Name | undefined {
  const read = nameOfKey(key, prefix);
  return read.kind === 'name' ? read.owner : undefined;
}
