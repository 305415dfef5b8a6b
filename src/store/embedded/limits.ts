/**
 * What an embedded store accepts. Each check throws StoreError `invalid` with one line that says what is wrong; both
 * stores have the same limits, so that what works on `memory:` works on `file:`.
 */
import { type PutOptions, StoreError } from '../store.ts';

/** lmdb's keys end at 1978 octets, and the index by deadline puts 8 before the key. */
export const MAX_KEY_OCTETS = 1900;
/** As etcd recommends for one value; what is no service of at most 64 KB is refused later, by its reader. */
export const MAX_VALUE_OCTETS = 1024 * 1024;
/** etcd's own limit for a lease, 285 years. */
export const MAX_TTL_SECONDS = 9_000_000_000;

const LONE_SURROGATE = /\p{Surrogate}/u;

export function checkKey(key: string): void {
  if (!key.startsWith('/')) throw new StoreError('invalid', 'a key begins with "/"');
  if (LONE_SURROGATE.test(key)) throw new StoreError('invalid', 'a key must be valid Unicode');
  if (Buffer.byteLength(key) > MAX_KEY_OCTETS) {
    throw new StoreError('invalid', `a key has at most ${MAX_KEY_OCTETS} octets`);
  }
}

export function checkPrefix(prefix: string): void {
  checkKey(prefix);
  if (!prefix.endsWith('/')) throw new StoreError('invalid', 'a prefix ends with "/"');
}

export function checkValue(value: Uint8Array): void {
  if (value.length > MAX_VALUE_OCTETS) {
    throw new StoreError('invalid', `a value has at most ${MAX_VALUE_OCTETS} octets`);
  }
}

/** A key's life: a TTL, a lease, or neither. */
export function checkLife({ ttlSeconds, lease }: PutOptions): void {
  checkTtl(ttlSeconds);
  if (ttlSeconds !== undefined && lease !== undefined) {
    throw new StoreError('invalid', 'a key has a TTL of its own or a lease, not both');
  }
}

/** What a put on a lease that does not exist is refused with. */
export function noSuchLease(id: string): StoreError {
  return new StoreError('invalid', `there is no lease ${JSON.stringify(id.slice(0, 40))}`);
}

export function checkTtl(ttlSeconds: number | undefined): void {
  if (ttlSeconds === undefined) return;
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1 || ttlSeconds > MAX_TTL_SECONDS) {
    throw new StoreError('invalid', `a TTL is a whole number of seconds, 1..${MAX_TTL_SECONDS}`);
  }
}
