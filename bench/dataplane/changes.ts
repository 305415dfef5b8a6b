/** Which changes a busy store sees: a fair mix within the zone that is asked for. */
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
 * The change of an index, of a zone of `names` names: half give an existing name a new address, a quarter add a name, a
 * quarter delete one that was added. The names that the load asks for are never deleted.
 */
export function changeOf(index: number, names: number): KeyChange {
  const kind = index % 4;
  if (kind === 2) return { kind: 'put', key: newKey(index), value: newValue(index) };
  if (kind === 3 && index > NEW_NAME_LASTS)
    return { kind: 'delete', key: newKey(index - 1 - NEW_NAME_LASTS) };
  return { kind: 'put', key: benchKey((index * STRIDE) % names), value: newValue(index) };
}

/** A name below the same parents as the names that the load asks for. */
function newKey(index: number): string {
  return `${BENCH_FOLDER}/service${index % 1000}/new${index}`;
}

function newValue(index: number): string {
  return serviceValue(addressOf(NEW_VALUES_FROM + index));
}
