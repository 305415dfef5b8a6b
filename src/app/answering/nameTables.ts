/**
 * What the store holds about names beside their services, each kind kept by a mirror of its own: virtual addresses, the
 * leaders that operators have chosen, and aliases of Consul's queries. A store that refuses to show one of them costs
 * only that one.
 */
import { consulMeaning } from '../../ambassador/names/consulName.ts';
import { consulNames } from '../../ambassador/names/consulTable.ts';
import { LeaderChoices } from '../../ambassador/names/leaderChoices.ts';
import { QueryAliases } from '../../ambassador/names/queryAliases.ts';
import { VirtualAddresses } from '../../ambassador/names/virtualAddresses.ts';
import type { VipRange } from '../../ambassador/vipRange.ts';
import type { Label, Name } from '../../dns/name.ts';
import type { Log } from '../../observability/log.ts';
import { type NameTable, tablePrefix } from '../../service/key.ts';
import { Mirror, type MirrorState, type Replica } from '../../store/mirror.ts';
import type { Store } from '../../store/store.ts';
import type { Catalog } from '../../zone/tree/catalog.ts';
import type { NameFacts } from '../../zone/tree/view.ts';
import { createTableLog } from '../process/mirrorReports.ts';

export interface NameTablesOptions {
  readonly store: Store;
  /** Of the names, as `keyPrefix` returns it. */
  readonly prefix: string;
  readonly catalog: Catalog;
  /** See `NameFacts`. */
  readonly zoneSerial: (apex: Name) => number | undefined;
  /** The virtual addresses that this host may route. */
  readonly vipRanges: readonly VipRange[];
  readonly log: Log;
  readonly onInvalid: (key: string, reason: string) => void;
  /** Called after each change of virtual addresses, when answers reflect it. Must not throw. */
  readonly onVirtualAddresses: () => void;
  /** Receives the ids of query aliases that have changed. Must not throw. */
  readonly onAliases: (ids: readonly Label[]) => void;
}

const TITLES: Readonly<Record<NameTable, string>> = {
  vip: 'virtual addresses',
  leader: 'chosen leaders',
  query: 'query aliases',
};

export class NameTables {
  readonly virtualAddresses: VirtualAddresses;
  readonly facts: NameFacts;
  readonly #options: NameTablesOptions;
  readonly #leaderChoices: LeaderChoices;
  readonly #queryAliases: QueryAliases;
  readonly #mirrors = new Map<NameTable, Mirror>();

  constructor(options: NameTablesOptions) {
    const { prefix, catalog, onInvalid, onAliases } = options;
    const { vipRanges: ranges, onVirtualAddresses: onChange } = options;
    this.#options = options;
    const shared = { prefix, catalog, onInvalid };
    this.virtualAddresses = new VirtualAddresses({ ...shared, ranges, onChange });
    const leaders = new LeaderChoices(shared);
    const aliases = new QueryAliases({ prefix, onInvalid, onChange: onAliases });
    this.#leaderChoices = leaders;
    this.#queryAliases = aliases;
    this.facts = {
      chosenLeader: (name) => leaders.chosenLeader(name),
      consulMeaning: (name, consul) => consulMeaning(name, consul, (id) => aliases.aliasOf(id)),
      consulNames: (consul) => consulNames(consul, aliases.ids()),
      zoneSerial: options.zoneSerial,
    };
  }

  /** Follows the tables that every server needs. */
  start(): void {
    this.#follow('leader', this.#leaderChoices);
  }

  /** Follows the virtual addresses. Resolves when they have been read. */
  async followVirtualAddresses(): Promise<void> {
    await this.#follow('vip', this.virtualAddresses).waitFor(0);
  }

  /** Follows the aliases, which only Consul's names need. */
  followQueryAliases(): void {
    this.#follow('query', this.#queryAliases);
  }

  /** `undefined`: the table is not followed. */
  state(table: NameTable): MirrorState | undefined {
    return this.#mirrors.get(table)?.state();
  }

  close(): void {
    for (const mirror of this.#mirrors.values()) mirror.close();
  }

  #follow(table: NameTable, replica: Replica): Mirror {
    const followed = this.#mirrors.get(table);
    if (followed !== undefined) return followed;
    const { store, prefix, log } = this.#options;
    const onEvent = createTableLog(log, TITLES[table]);
    const mirror = new Mirror({ store, prefix: tablePrefix(prefix, table), replica, onEvent });
    this.#mirrors.set(table, mirror);
    mirror.start();
    return mirror;
  }
}
