/** The aliases for Consul's queries, from the store. */
import type { Label } from '../../dns/name.ts';
import { tablePrefix, textOfLabel } from '../../service/key.ts';
import { parseQueryAlias, type QueryAlias } from '../../service/queryAlias.ts';
import { StoreTable } from './storeTable.ts';

export interface QueryAliasesOptions {
  /** Of the names, as `keyPrefix` returns it. */
  readonly prefix: string;
  readonly onInvalid: (key: string, reason: string) => void;
  /** Receives the ids of the aliases that have changed. Must not throw. */
  readonly onChange: (ids: readonly Label[]) => void;
}

/** More aliases are ignored: each takes a name in the answer table. */
const MAX_ALIASES = 10_000;

export class QueryAliases extends StoreTable<QueryAlias> {
  readonly #aliases: ReadonlyMap<Label, QueryAlias>;

  constructor({ prefix, onInvalid, onChange }: QueryAliasesOptions) {
    const aliases = new Map<Label, QueryAlias>();
    const table = tablePrefix(prefix, 'query');
    super({
      prefix: table,
      maxKeys: MAX_ALIASES,
      parse(path, { value }) {
        const parsed = parseQueryAlias(path, value);
        if (parsed.kind === 'invalid') return parsed;
        const { alias } = parsed;
        // Otherwise two keys could stand for one alias.
        const text = textOfLabel(alias.id);
        return text === path
          ? { kind: 'row', row: alias }
          : { kind: 'invalid', reason: `the key is another form of ${table}${text ?? alias.id}` };
      },
      onChange(changes) {
        const ids = changes.flatMap(({ before, after }) => {
          const row = after ?? before;
          if (row === undefined) return [];
          if (after === undefined) aliases.delete(row.id);
          else aliases.set(row.id, after);
          return [row.id];
        });
        onChange(ids);
      },
      onInvalid,
    });
    this.#aliases = aliases;
  }

  /** The alias with a folded id. */
  aliasOf(id: Label): QueryAlias | undefined {
    return this.#aliases.get(id);
  }

  /** The ids of all aliases. */
  ids(): Iterable<Label> {
    return this.#aliases.keys();
  }
}
