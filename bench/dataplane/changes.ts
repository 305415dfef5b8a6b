/** The changes to a busy store: a fixed mix within the zone that the load queries. */
import { addressOf, BENCH_FOLDER, benchKey, serviceValue } from '../names.ts';

export type KeyChange =
  | { readonly kind: 'put'; readonly key: string; readonly value: string }
  | { readonly kind: 'delete'; readonly key: string };

/** A new name is deleted after this many changes. */
const NEW_NAME_LASTS = 400;
/** A prime, so that every name gets changes. */
const STRIDE = 7919;
const NEW_VALUES_FROM = 1 << 20;

/**
 * Change number `index` to a zone of `names` names. Half of the changes give an existing name a new address, a quarter
 * add a name, and a quarter delete an added name. The names that the load queries are never deleted.
 */
export function changeOf(index: number, names: number): KeyChange {
  const kind = index % 4;
  if (kind === 2) return { kind: 'put', key: newKey(index), value: newValue(index) };
  if (kind === 3 && index > NEW_NAME_LASTS)
    return { kind: 'delete', key: newKey(index - 1 - NEW_NAME_LASTS) };
  return { kind: 'put', key: benchKey((index * STRIDE) % names), value: newValue(index) };
}

/** A key below the same parents as the names that the load queries. */
function newKey(index: number): string {
  return `${BENCH_FOLDER}/service${index % 1000}/new${index}`;
}

function newValue(index: number): string {
  return serviceValue(addressOf(NEW_VALUES_FROM + index));
}
