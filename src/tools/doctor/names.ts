/** Reads the store's values for `doctor`, from etcd or from the server on this host. */
import { openStore } from '../../app/process/openStore.ts';
import type { Config } from '../../config/config.ts';
import type { StoreLocation } from '../../config/storeLocation.ts';
import { printSocketAddress, reachableAddress } from '../../dns/address.ts';
import { HiddenValues } from '../../registrar/reconcile/hiddenValues.ts';
import { Namespace } from '../../registrar/reconcile/namespace.ts';
import { keyPrefix } from '../../service/key.ts';
import type { Store } from '../../store/store.ts';
import { withDeadline } from '../../timing/deadline.ts';
import type { HiddenFacts } from './judge/hidden.ts';

/** A store may hold millions of values; reading them all takes too long. */
const MAX_VALUES = 200_000;
const TIMEOUT_MS = 10_000;

/** Other checks report a store that cannot be read. */
export async function readHidden(config: Config): Promise<HiddenFacts> {
  const location = locationOf(config);
  if (location === undefined) return { kind: 'unread' };
  const store = await openStore(location).catch(() => undefined);
  if (store === undefined) return { kind: 'unread' };
  const unread = (): HiddenFacts => ({ kind: 'unread' });
  try {
    const { pathPrefix, aggregateDepth = Number.POSITIVE_INFINITY } = config;
    const reading = read(store, keyPrefix(pathPrefix), aggregateDepth);
    return await withDeadline(reading.catch(unread), TIMEOUT_MS, unread);
  } finally {
    await store.close();
  }
}

/** Only the server can open an embedded store, so its HTTP API is used. */
function locationOf({ store, http }: Config): StoreLocation | undefined {
  if (store.kind === 'etcd' || store.kind === 'http') return store;
  if (http === undefined) return undefined;
  return {
    kind: 'http',
    url: `http://${printSocketAddress(reachableAddress(http))}`,
    token: undefined,
  };
}

async function read(store: Store, prefix: string, aggregateDepth: number): Promise<HiddenFacts> {
  const values = new HiddenValues(prefix, aggregateDepth);
  let count = 0;
  for await (const { entries } of store.snapshot(prefix)) {
    for (const entry of entries) values.add(entry);
    count += entries.length;
    if (count >= MAX_VALUES) break;
  }
  const namespace = new Namespace(prefix, []);
  const named = ({
    key,
    holder,
  }: {
    readonly key: string;
    readonly holder: string | undefined;
  }) => ({
    name: namespace.print(key),
    holder,
  });
  const hidden = [...values.find().values()].flatMap((value) => {
    const { by, isByOthers } = value;
    const [first] = by;
    if (first === undefined) return [];
    return { ...named(value), by: named(first), more: value.count - 1, isByOthers };
  });
  return { kind: 'read', hidden, count, isWhole: count < MAX_VALUES };
}
