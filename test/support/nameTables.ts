/** The store's tables beside the services, filled from plain values, for a catalog. */
import assert from 'node:assert/strict';
import { consulMeaning } from '../../src/ambassador/names/consulName.ts';
import { consulNames } from '../../src/ambassador/names/consulTable.ts';
import { LeaderChoices } from '../../src/ambassador/names/leaderChoices.ts';
import { QueryAliases } from '../../src/ambassador/names/queryAliases.ts';
import { VirtualAddresses } from '../../src/ambassador/names/virtualAddresses.ts';
import type { Change } from '../../src/service/change.ts';
import { type NameTable, tablePrefix } from '../../src/service/key.ts';
import type { Catalog } from '../../src/zone/tree/catalog.ts';
import type { NameFacts } from '../../src/zone/tree/view.ts';

const PREFIX = '/skydns/';

/** A put of a table's key; a value that is no text is written as JSON. */
export function tablePut(
  table: NameTable,
  path: string,
  value: unknown,
  revision: number,
  createRevision = revision,
): Change {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const key = `${tablePrefix(PREFIX, table)}${path}`;
  const entry = {
    key,
    value: Buffer.from(text),
    createRevision,
    modRevision: revision,
    lease: undefined,
  };
  return { kind: 'put', entry, previous: undefined };
}

export function tableDelete(table: NameTable, path: string, modRevision: number): Change {
  const key = `${tablePrefix(PREFIX, table)}${path}`;
  return { kind: 'delete', key, modRevision, previous: undefined };
}

export interface TestTables {
  readonly vip: VirtualAddresses;
  readonly leader: LeaderChoices;
  readonly query: QueryAliases;
  readonly facts: NameFacts;
}

/** The tables of a catalog's names. An invalid value fails the test unless `onInvalid` takes it. */
export function tablesOf(
  catalog: Catalog,
  onInvalid: (key: string, reason: string) => void = (key, reason) =>
    assert.fail(`${key}: ${reason}`),
  onAliases: (ids: readonly string[]) => void = () => {},
): TestTables {
  const options = { prefix: PREFIX, catalog, onInvalid };
  const vip = new VirtualAddresses(options);
  const leader = new LeaderChoices(options);
  const query = new QueryAliases({ prefix: PREFIX, onInvalid, onChange: onAliases });
  const facts: NameFacts = {
    chosenLeader: (name) => leader.chosenLeader(name),
    consulMeaning: (name, consul) => consulMeaning(name, consul, (id) => query.aliasOf(id)),
    consulNames: (consul) => consulNames(consul, query.ids()),
  };
  return { vip, leader, query, facts };
}

/** Gives names their addresses, each address older than the next. */
export function giveAddresses(tables: TestTables, names: Readonly<Record<string, string>>): void {
  const puts = Object.entries(names).map(([address, name], i) =>
    tablePut('vip', address, { name }, i + 1),
  );
  tables.vip.apply(puts);
}
