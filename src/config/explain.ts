/** What each option came to, and who said so, as text for a person. Secrets stay hidden. Pure. */
import type { Option } from './option.ts';
import { find, type Origin, type Rows, type Sources } from './settings.ts';
import { withoutPassword } from './storeLocation.ts';

export interface Explained {
  /** As in `--name`. */
  readonly name: string;
  /** As it was written, a list with commas; the default's words where nobody wrote anything. */
  readonly value: string;
  readonly origin: Origin;
  /** `--ttl`, `SORADNS_TTL`, `ttl in x.json`; absent for a default. */
  readonly place?: string;
}

/** One line for each option, in the rows' order. */
export function explain(rows: Rows, sources: Sources): readonly Explained[] {
  return Object.values(rows).map((row) => {
    const { name, defaultText = 'none' } = row;
    const found = find(row, sources);
    if (found === undefined) return { name, value: defaultText, origin: 'default' };
    const { origin, place, raw } = found;
    return { name, value: shown(row, raw), origin, place };
  });
}

function shown({ secret }: Option<unknown>, raw: unknown): string {
  if (secret) return '[secret]';
  const items = Array.isArray(raw) ? raw : [raw];
  return withoutPassword(items.map(String).join(','));
}
