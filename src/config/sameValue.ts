import { Secret } from './values.ts';

/** Whether two option values say the same: scalars, secrets, and lists and plain objects of them. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (a instanceof Secret && b instanceof Secret) return a.reveal() === b.reveal();
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  const [one, other] = [Object.entries(a), Object.entries(b)];
  if (Array.isArray(a) !== Array.isArray(b) || one.length !== other.length) return false;
  const values = new Map(other);
  return one.every(([key, value]) => values.has(key) && sameValue(value, values.get(key)));
}
