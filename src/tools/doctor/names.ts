/** Reads the store's values for `doctor`, from etcd or from the server on this host. */
import { openStore } from '../../app/process/openStore.ts';
import type { Config } from '../../config/config.ts';
import type { StoreLocation } from '../../config/storeLocation.ts';
import { printSocketAddress, reachableAddress } from '../../dns/address.ts';
import { HiddenValues } from '../../registrar/reconcile/hiddenValues.ts';
import { Namespace } from '../../registrar/reconcile/namespace.ts';
import type { Entry } from '../../service/change.ts';
import { keyPrefix } from '../../service/key.ts';
import type { Store } from '../../store/store.ts';
import { withDeadline } from '../../timing/deadline.ts';
import { DelegatedEntries } from '../../zone/delegatedEntries.ts';
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
    const reading = read(store, config);
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

async function read(store: Store, config: Config): Promise<HiddenFacts> {
  const { aggregateDepth = Number.POSITIVE_INFINITY } = config;
  const prefix = keyPrefix(config.pathPrefix);
  const values = new HiddenValues(prefix, aggregateDepth);
  const keys: string[] = [];
  const delegating: Entry[] = [];
  let count = 0;
  for await (const { entries } of store.snapshot(prefix)) {
    for (const entry of entries) {
      values.add(entry);
      if (mayDelegate(entry)) delegating.push(entry);
      else keys.push(entry.key);
    }
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
  const others = config.forward.map(({ name }) => name);
  const delegated = new DelegatedEntries(prefix, delegating, config.domains, others);
  const all = [...delegating, ...keys.map((key) => ({ key, value: NOTHING }))];
  return {
    kind: 'read',
    hidden,
    delegations: delegated.cuts.map(({ name }) => name),
    delegatedCount: all.filter((entry) => delegated.hiderOf(entry) !== undefined).length,
    count,
    isWhole: count < MAX_VALUES,
  };
}

const NOTHING = new Uint8Array();

/** Whether the value may have NS records; most values cost no parsing. */
function mayDelegate({ value }: Entry): boolean {
  return Buffer.from(value.buffer, value.byteOffset, value.length).includes('NS ');
}
