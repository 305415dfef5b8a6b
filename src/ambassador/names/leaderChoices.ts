/** The leaders that operators have chosen, from the store. */
import { type Name, nameKey } from '../../dns/name.ts';
import { nameOfKey, tablePrefix } from '../../service/key.ts';
import { parseLeaderChoice } from '../../service/leader.ts';
import type { Catalog } from '../../zone/tree/catalog.ts';
import { findNode } from '../../zone/tree/tree.ts';
import { type RowChange, StoreTable } from './storeTable.ts';

export interface LeaderChoice {
  /** The folded name whose leader was chosen. */
  readonly name: Name;
  /** The folded owner name of the chosen instance. */
  readonly instance: Name;
}

export interface LeaderChoicesOptions {
  /** Of the names, as `keyPrefix` returns it. */
  readonly prefix: string;
  /** The names that the choices are about. */
  readonly catalog: Catalog;
  readonly onInvalid: (key: string, reason: string) => void;
}

export class LeaderChoices extends StoreTable<LeaderChoice> {
  readonly #chosen: ReadonlyMap<string, Name>;

  constructor({ prefix, catalog, onInvalid }: LeaderChoicesOptions) {
    const table = tablePrefix(prefix, 'leader');
    const chosen = new Map<string, Name>();
    super({
      prefix: table,
      parse(_, { key, value }) {
        const named = nameOfKey(key, table);
        if (named.kind !== 'name' || !named.canonical) {
          return { kind: 'invalid', reason: 'the key is not the path of a name' };
        }
        const parsed = parseLeaderChoice(value);
        if (parsed.kind === 'invalid') return parsed;
        return { kind: 'row', row: { name: named.owner, instance: parsed.instance } };
      },
      onChange(changes) {
        for (const change of changes) note(chosen, change);
        const names = changes.flatMap(({ before, after }) => nameOfRow(after ?? before));
        // The answers about the leader of a name depend on the name.
        catalog.touch(names.flatMap((name) => findNode(catalog.root, name) ?? []));
      },
      onInvalid,
    });
    this.#chosen = chosen;
  }

  /** The chosen instance of a folded name. */
  chosenLeader(name: Name): Name | undefined {
    return this.#chosen.size === 0 ? undefined : this.#chosen.get(nameKey(name));
  }
}

/** A key has one name for as long as it exists. */
function note(chosen: Map<string, Name>, { before, after }: RowChange<LeaderChoice>): void {
  if (after !== undefined) chosen.set(nameKey(after.name), after.instance);
  else if (before !== undefined) chosen.delete(nameKey(before.name));
}

function nameOfRow(row: LeaderChoice | undefined): readonly Name[] {
  return row === undefined ? [] : [row.name];
}
