/** Names of a store as a server sees them: for commands that need what a DNS answer is made of, not its records. */
import { LeaderChoices } from '../../ambassador/names/leaderChoices.ts';
import { VirtualAddresses } from '../../ambassador/names/virtualAddresses.ts';
import { Failure } from '../../app/process/failure.ts';
import type { Io } from '../../app/process/process.ts';
import { SERVE_OPTIONS } from '../../config/options/serveOptions.ts';
import { foldName, type Name, parseName, ROOT } from '../../dns/name.ts';
import { keyOfName, type NameTable, tablePrefix } from '../../service/key.ts';
import type { Replica } from '../../store/mirror.ts';
import { StoreError } from '../../store/store.ts';
import { Catalog } from '../../zone/tree/catalog.ts';
import { NO_FORWARDED_NAMES } from '../../zone/tree/forwardedNames.ts';
import { isLeaderName } from '../../zone/tree/meaning.ts';
import { isWildcard } from '../../zone/tree/select.ts';
import { NO_FACTS, type View, type ZoneSettings } from '../../zone/tree/view.ts';
import { DelegatedNames, delegatedIn } from '../../zone/zoneCuts.ts';
import { servedDomains } from '../nameChecks.ts';
import type { StoreAccess } from '../storeAccess.ts';

/** The folded name of a service that an argument names. Throws a `Failure`. */
export function serviceNameOf(text: string): Name {
  const name = text === '' ? undefined : parseName(text);
  if (name === undefined || name.length === 0 || name.some(isWildcard)) {
    const hint = 'for example mysql.skydns.local';
    throw new Failure('usage', `${JSON.stringify(text)} is not the name of a service`, hint);
  }
  return foldName(name);
}

/** Reads what the names can stand for, with their virtual addresses and chosen leaders, and no other names. */
export async function readNames(
  names: readonly Name[],
  access: StoreAccess,
  io: Io,
): Promise<View> {
  const { prefix } = access;
  const delegated = new DelegatedNames();
  const catalog = new Catalog({ prefix, onApplied: (nodes) => void delegated.apply(nodes) });
  for (const name of names) await readBelow(baseOf(name), access, catalog);
  const tables = { prefix, catalog, onInvalid: () => {} };
  const leaders = new LeaderChoices(tables);
  await readTable('vip', access, new VirtualAddresses(tables));
  await readTable('leader', access, leaders);
  const settings = await settingsFor(access, io);
  return {
    root: catalog.root,
    settings: { ...settings, forwarded: delegatedIn(delegated.cuts(), settings.apexes) },
    nowMs: performance.now(),
    unixSeconds: Math.floor(Date.now() / 1000),
    sampleStart: 0,
    externals: { sent: 0, get: () => undefined },
    facts: { ...NO_FACTS, chosenLeader: (name) => leaders.chosenLeader(name) },
    localAddress: undefined,
    recursionDesired: true,
    roomOctets: undefined,
    onFault(error) {
      throw error;
    },
  };
}

/** All services that a name can stand for are at or below this one. */
function baseOf(name: Name): Name {
  const base = foldName(name).slice(name.findLastIndex(isWildcard) + 1);
  return isLeaderName(base, ROOT) ? base.slice(1) : base;
}

async function readBelow(
  name: Name,
  { store, prefix }: StoreAccess,
  catalog: Catalog,
): Promise<void> {
  const key = keyOfName(name, prefix);
  // No key can stand for such a name.
  if (key === undefined) return;
  const { entry } = await store.get(key);
  if (entry !== undefined) catalog.apply([{ kind: 'put', entry, previous: undefined }]);
  await readSnapshot(name.length === 0 ? prefix : `${key}/`, store, catalog);
}

/** A store that refuses to show a table costs only that table, as in a server. */
async function readTable(
  table: NameTable,
  { store, prefix }: StoreAccess,
  replica: Replica,
): Promise<void> {
  try {
    await readSnapshot(tablePrefix(prefix, table), store, replica);
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== 'denied') throw error;
  }
}

async function readSnapshot(
  prefix: string,
  store: StoreAccess['store'],
  replica: Pick<Replica, 'apply'>,
): Promise<void> {
  for await (const { entries } of store.snapshot(prefix))
    replica.apply(entries.map((entry) => ({ kind: 'put', entry, previous: undefined })));
}

const { domains, ttlSeconds, minTtlSeconds, minLeaseTtlSeconds } = SERVE_OPTIONS;
const { leaderTtlSeconds, priority, parentValue, questionWildcards } = SERVE_OPTIONS;

/**
 * The server's defaults: its options are not known here. Names outside its domains are read as those inside are. The
 * names that the store delegates are not known here either.
 */
export async function settingsFor(access: StoreAccess, io: Io): Promise<ZoneSettings> {
  const served = await servedDomains(access, io).catch(() => undefined);
  return {
    apexes: [...(served ?? domains.fallback), ROOT],
    ttlSeconds: ttlSeconds.fallback,
    minTtlSeconds: minTtlSeconds.fallback,
    minLeaseTtlSeconds: minLeaseTtlSeconds.fallback,
    leaderTtlSeconds: leaderTtlSeconds.fallback,
    priority: priority.fallback,
    hostmaster: undefined,
    local: undefined,
    roundRobin: false,
    near: undefined,
    any: 'refuse',
    parentValue: parentValue.fallback,
    // The keys of wildcards are not read.
    storedWildcards: false,
    aggregateDepth: Number.POSITIVE_INFINITY,
    questionWildcards: questionWildcards.fallback,
    virtualAddresses: true,
    consul: undefined,
    forwarded: NO_FORWARDED_NAMES,
    ambassador: false,
    ownAddresses: [],
  };
}
