/**
 * Checks of `soradns set`: whether the new value hides another value or is hidden, and whether its name is served. The
 * server does not answer with a value that has names below its own, so a name that is set above or below another one by
 * mistake makes one of them disappear from DNS. A command on a store knows the served domains only from the variables
 * of `serve` and from the key in the store.
 */
import { Failure } from '../app/process/failure.ts';
import type { Io } from '../app/process/process.ts';
import {
  aggregateDepthOfVariables,
  DEFAULT_DOMAINS,
  domainsOfStoreConfig,
  domainsOfVariables,
} from '../config/servedDomains.ts';
import { isReverseName } from '../dns/address.ts';
import { isSubdomainOf, type Name, printName, ROOT } from '../dns/name.ts';
import { Type } from '../dns/rr.ts';
import { keysOfName, nameKeyOf, printHolder } from '../registrar/describe/storedValue.ts';
import { Namespace, pathOf } from '../registrar/reconcile/namespace.ts';
import type { Entry } from '../service/change.ts';
import { configKey, nameOfKey } from '../service/key.ts';
import { hasRecordsOnly, parseService } from '../service/service.ts';
import { type Store, StoreError } from '../store/store.ts';
import type { StoreAccess } from './storeAccess.ts';

/** Without known domains every name may be in one. */
export const ANY_DOMAIN: readonly Name[] = [ROOT, ...DEFAULT_DOMAINS];

/**
 * Throws a `Failure` if a new value at the key would hide another one or be hidden. Accepts a key that has a value, and
 * a value that hides nothing because it counts at its own name only, such as one with nothing but records.
 */
export async function refuseToHide(
  key: string,
  value: Uint8Array,
  access: StoreAccess,
  io: Io,
): Promise<void> {
  const { store, prefix } = access;
  if (isApart(value)) return;
  const named = nameOfKey(key, prefix);
  if (named.kind !== 'name' || isReverseName(named.owner) || key === configKey(prefix)) return;
  if ((await entryAt(key, store)) !== undefined) return;
  const domains = (await servedDomains(access, io).catch(() => undefined)) ?? [];
  const namespace = new Namespace(prefix, [...domains, ...DEFAULT_DOMAINS]);
  const depth = aggregateDepthOfVariables(io);
  const above = await valueAbove(pathOf(key), depth, namespace, access);
  const name = namespace.print(key);
  if (above !== undefined) {
    const hidden = namespace.print(nameKeyOf(above.key));
    throw hidingFailure(`${name}: would hide ${hidden}`, above);
  }
  const below = await valueBelow(key, depth, namespace, access);
  if (below !== undefined)
    throw hidingFailure(`${name}: would be hidden by ${namespace.print(below.key)}`, below);
}

async function valueAbove(
  path: string,
  depth: number,
  namespace: Namespace,
  { store }: StoreAccess,
): Promise<Entry | undefined> {
  // A registrar stores a name with both address families as two keys below the name.
  const keys = [...namespace.above(path)]
    .slice(0, depth)
    .flatMap(keysOfName)
    .filter((above) => above !== path);
  const found = await Promise.all(keys.map((above) => entryAt(above, store)));
  // A delegation above hides the value, so it hides none.
  if (found.some((entry) => entry !== undefined && isDelegation(entry.value))) return undefined;
  const canBeHidden = (entry: Entry) => isService(entry, namespace) && !isRecordsOnly(entry.value);
  return found.flatMap((entry) => entry ?? []).find(canBeHidden);
}

async function valueBelow(
  key: string,
  depth: number,
  namespace: Namespace,
  { store }: StoreAccess,
): Promise<Entry | undefined> {
  const delegated: string[] = [];
  const isDelegated = ({ key: at, value }: Entry): boolean => {
    // A key comes before the keys below it.
    if (isDelegation(value)) delegated.push(at);
    return delegated.some((above) => at === above || at.startsWith(`${above}/`));
  };
  try {
    for await (const { entries } of store.snapshot(`${key}/`)) {
      const hides = (entry: Entry) =>
        !isDelegated(entry) &&
        levelsBelow(key, entry) <= depth &&
        isService(entry, namespace) &&
        !isApart(entry.value);
      const found = entries.find(hides);
      if (found !== undefined) return found;
    }
  } catch (error) {
    if (!isDenied(error)) throw error;
  }
  return undefined;
}

function levelsBelow(key: string, below: Entry): number {
  return pathOf(below.key).split('/').length - pathOf(key).split('/').length;
}

/** An etcd user may be allowed to write a key but not to read its neighbours. */
async function entryAt(key: string, store: Store): Promise<Entry | undefined> {
  try {
    return (await store.get(key)).entry;
  } catch (error) {
    if (isDenied(error)) return undefined;
    throw error;
  }
}

function isDenied(error: unknown): boolean {
  return error instanceof StoreError && error.code === 'denied';
}

function isService(entry: Entry, namespace: Namespace): boolean {
  return namespace.isNamed(entry) && parseService(entry.value).kind === 'service';
}

function isRecordsOnly(value: Uint8Array): boolean {
  const parsed = parseService(value);
  return parsed.kind === 'service' && hasRecordsOnly(parsed.service);
}

function isDelegation(value: Uint8Array): boolean {
  const parsed = parseService(value);
  const records = parsed.kind === 'service' ? parsed.service.attributes.records : [];
  return records.some(({ type }) => type === Type.NS);
}

/** Whether a value is a service that does not count in the names above its own, and so hides none. */
function isApart(value: Uint8Array): boolean {
  const parsed = parseService(value);
  return parsed.kind === 'service' && !parsed.service.attributes.aggregate;
}

function hidingFailure(problem: string, { value }: Entry): Failure {
  const holder = printHolder(value);
  const origin = holder === undefined ? 'was set by hand' : `${holder} holds`;
  return new Failure(
    'conflict',
    `${problem}, which ${origin}`,
    'choose a name beside it, or force it with --force',
  );
}

/**
 * The domains that the variables of `serve` or the key in the store set; undefined if neither sets them, because a flag
 * of `serve` may.
 */
export async function servedDomains(
  { store, prefix }: StoreAccess,
  io: Io,
): Promise<readonly Name[] | undefined> {
  const given = domainsOfVariables(io);
  if (given.kind !== 'none') return given.kind === 'domains' ? given.domains : undefined;
  const { entry } = await store.get(configKey(prefix));
  return entry && domainsOfStoreConfig(Buffer.from(entry.value).toString('utf8'));
}

/** Whether the server answers the name from the store. */
function isServed(name: Name, domains: readonly Name[]): boolean {
  return isReverseName(name) || domains.some((domain) => isSubdomainOf(name, domain));
}

/** Warns about a name outside the served domains. The value is stored by then, so this never fails. */
export async function warnUnserved(name: Name, access: StoreAccess, io: Io): Promise<void> {
  const domains = await servedDomains(access, io).catch(() => undefined);
  if (domains === undefined || isServed(name, domains)) return;
  const served = domains.map(printName).join(', ');
  io.stderr.write(
    `soradns: note: ${printName(name)} is outside the served domains (${served}); add its domain with soradns serve --domain\n`,
  );
}
