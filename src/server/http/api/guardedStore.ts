/** Protects the configurations of servers in a store from writers without the token. */
import { delegateStore } from '../../../store/delegate.ts';
import { type LeaseStore, StoreError } from '../../../store/store.ts';

/** The error of a write that is allowed only with the token. */
export class NeedsToken extends StoreError {
  constructor(cause: string) {
    super('denied', cause);
    this.name = 'NeedsToken';
  }
}

/**
 * The store for writers without the token: everything except the configurations of servers. `configKey` is this
 * server's; `cause` tells the client what to do.
 */
export function withoutConfig(store: LeaseStore, configKey: string, cause: string): LeaseStore {
  const refuseIf = (isConfig: boolean): void => {
    if (isConfig) throw new NeedsToken(cause);
  };
  return delegateStore(store, {
    async put(key, value, options) {
      refuseIf(isConfig(key, configKey));
      return store.put(key, value, options);
    },
    async delete(key, options) {
      refuseIf(isConfig(key, configKey));
      return store.delete(key, options);
    },
    async deleteTree(prefix) {
      refuseIf(configKey.startsWith(prefix) || isConfig(prefix, configKey));
      refuseIf(await hasForeignConfig(store, prefix, configKey));
      return store.deleteTree(prefix);
    },
    async revokeLease(id) {
      const { entry } = await store.get(configKey);
      refuseIf(entry?.lease?.id === id);
      return store.revokeLease(id);
    },
  });
}

/** Whether another server's configuration is below the prefix. It cannot be below this server's own prefix. */
async function hasForeignConfig(
  store: LeaseStore,
  prefix: string,
  configKey: string,
): Promise<boolean> {
  if (prefix.startsWith(prefixOfConfig(configKey))) return false;
  for await (const { entries } of store.snapshot(prefix)) {
    if (entries.some(({ key }) => isConfig(key, configKey))) return true;
  }
  return false;
}

function prefixOfConfig(configKey: string): string {
  return configKey.slice(0, configKey.lastIndexOf('/') + 1);
}

/**
 * Whether a key is a configuration: this server's, a key below it (which would replace it with a directory), or the
 * configuration of a server with another prefix on the same store. Below this server's own prefix `config` is a label
 * like any other.
 */
function isConfig(key: string, configKey: string): boolean {
  if (key === configKey || key.startsWith(`${configKey}/`)) return true;
  return !key.startsWith(prefixOfConfig(configKey)) && /\/config\/?$/.test(key);
}
