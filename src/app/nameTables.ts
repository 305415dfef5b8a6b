/**
 * What the store holds about names beside their services, each kind kept by a mirror of its own: virtual addresses, and
 * the leaders that operators have chosen. A store that refuses to show one of them costs only that one.
 */
import { LeaderChoices } from '../ambassador/names/leaderChoices.ts';
import { VirtualAddresses } from '../ambassador/names/virtualAddresses.ts';
import type { Log } from '../observability/log.ts';
import { type NameTable, tablePrefix } from '../service/key.ts';
import { Mirror, type MirrorState, type Replica } from '../store/mirror.ts';
import type { Store } from '../store/store.ts';
import type { Catalog } from '../zone/catalog.ts';
import type { NameFacts } from '../zone/view.ts';
import { createTableLog } from './mirrorReports.ts';

export interface NameTablesOptions {
  readonly store: Store;
  /** Of the names, as `keyPrefix` returns it. */
  readonly prefix: string;
  readonly catalog: Catalog;
  readonly log: Log;
  readonly onInvalid: (key: string, reason: string) => void;
  /** Called after each change of virtual addresses, when answers reflect it. Must not throw. */
  readonly onVirtualAddresses?: () => void;
}

const TITLES: Readonly<Record<NameTable, string>> = {
  vip: 'virtual addresses',
  leader: 'chosen leaders',
};

export class NameTables {
  readonly virtualAddresses: VirtualAddresses;
  readonly facts: NameFacts;
  readonly #options: NameTablesOptions;
  readonly #leaderChoices: LeaderChoices;
  readonly #mirrors = new Map<NameTable, Mirror>();

  constructor(options: NameTablesOptions) {
    const { prefix, catalog, onInvalid, onVirtualAddresses = () => {} } = options;
    this.#options = options;
    const shared = { prefix, catalog, onInvalid };
    this.virtualAddresses = new VirtualAddresses({ ...shared, onChange: onVirtualAddresses });
    this.#leaderChoices = new LeaderChoices(shared);
    this.facts = { chosenLeader: (name) => this.#leaderChoices.chosenLeader(name) };
  }

  /** Follows the tables that every server needs. */
  start(): void {
    this.#follow('leader', this.#leaderChoices);
  }

  /** Follows the virtual addresses. Resolves when they have been read. */
  async followVirtualAddresses(): Promise<void> {
    await this.#follow('vip', this.virtualAddresses).waitFor(0);
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
