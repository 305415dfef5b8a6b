/** Which domains are served, as far as a command on a store can know: by the variables of `serve`, and the store's key. */
import { CONFIG_OPTIONS, readConfig, withStoreConfig } from '../config.ts';
import { isReverseName } from '../dns/address.ts';
import { isSubdomainOf, type Name } from '../dns/name.ts';
import { configKey } from '../service/key.ts';
import type { Io } from './io.ts';
import type { StoreAccess } from './storeAccess.ts';

const VARIABLES = ['SORADNS_DOMAIN', ...(CONFIG_OPTIONS.domains.env ?? [])];

/** The domains that somebody chose; undefined where nobody did, as the server may have been told by a flag. */
export async function servedDomains(
  { store, prefix }: StoreAccess,
  { env, readFile, stateDirectory }: Io,
): Promise<readonly Name[] | undefined> {
  const own = Object.fromEntries(VARIABLES.map((name) => [name, env[name]]));
  const read = readConfig({ flags: { store: 'memory:' }, env: own, readFile, stateDirectory });
  if (read.kind === 'mistakes') return undefined;
  if (read.config.origins.domains !== 'default') return read.config.domains;
  const { entry } = await store.get(configKey(prefix));
  if (entry === undefined) return undefined;
  const { config } = withStoreConfig(read.config, Buffer.from(entry.value).toString('utf8'));
  // Nothing but the domains of the key is taken for a choice.
  return config.domains === read.config.domains ? undefined : config.domains;
}

/** Whether a question for the name is answered from the store. */
export function isServed(name: Name, domains: readonly Name[]): boolean {
  return isReverseName(name) || domains.some((domain) => isSubdomainOf(name, domain));
}
