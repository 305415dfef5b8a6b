/**
 * The limits of keys, values and lifetimes. Each check throws StoreError `invalid` with a message of one line. Writes
 * have the same limits in every store, so that a write that `memory:` accepts also works on `file:`. etcd may hold
 * longer keys, and keys that are not Unicode, from other writers; its store reads those.
 */
import { type PutOptions, StoreError } from './store.ts';

/** lmdb's keys have at most 1978 octets, and the index of deadlines puts 8 octets before the key. */
export const MAX_KEY_OCTETS = 1900;
/** etcd's recommended limit for one value. A service has at most 64 KB; its reader refuses a larger value. */
export const MAX_VALUE_OCTETS = 1024 * 1024;
/** For a key's own TTL: etcd's limit, 285 years. */
const MAX_LEASE_SECONDS = 9_000_000_000;
/**
 * For a lease of an embedded store. The holder renews the lease while the holder runs, so the lease need not outlast
 * the holder by more than a day.
 */
const MAX_GRANTED_SECONDS = 86_400;
/** In an embedded store. Each lease stays on disk until it ends, with or without keys. */
export const MAX_LEASES = 10_000;

const LONE_SURROGATE = /\p{Surrogate}/u;

/** For every key, including one that is only read or deleted. */
export function checkPath(key: string): void {
  if (!key.startsWith('/')) throw new StoreError('invalid', 'a key must begin with "/"');
}

/** For every prefix, including one that is only read or deleted. */
export function checkPrefixPath(prefix: string): void {
  checkPath(prefix);
  if (!prefix.endsWith('/')) throw new StoreError('invalid', 'a prefix must end with "/"');
}

/** A lone surrogate has no UTF-8 encoding. */
export function checkUnicode(key: string): void {
  if (LONE_SURROGATE.test(key)) throw new StoreError('invalid', 'a key must be valid Unicode');
}

/** For a key that is written. */
export function checkKey(key: string): void {
  checkPath(key);
  checkUnicode(key);
  if (Buffer.byteLength(key) > MAX_KEY_OCTETS) {
    throw new StoreError('invalid', `a key has at most ${MAX_KEY_OCTETS} octets`);
  }
}

export function checkPrefix(prefix: string): void {
  checkKey(prefix);
  checkPrefixPath(prefix);
}

export function checkValue(value: Uint8Array): void {
  if (value.length > MAX_VALUE_OCTETS) {
    throw new StoreError('invalid', `a value has at most ${MAX_VALUE_OCTETS} octets`);
  }
}

/** A key has a TTL, a lease, or neither. */
export function checkLifetime({ ttlSeconds, lease }: PutOptions): void {
  checkTtl(ttlSeconds);
  if (ttlSeconds !== undefined && lease !== undefined) {
    throw new StoreError('invalid', 'a key has a TTL of its own or a lease, not both');
  }
}

/** The error of a put with a lease that does not exist. */
export function noSuchLease(id: string): StoreError {
  return new StoreError('invalid', `lease ${JSON.stringify(id.slice(0, 40))} does not exist`);
}

export function checkTtl(ttlSeconds: number | undefined): void {
  if (ttlSeconds !== undefined) checkSeconds(ttlSeconds, MAX_LEASE_SECONDS, 'a TTL');
}

/** For the TTL of a new lease in an embedded store. */
export function checkGrantedTtl(ttlSeconds: number): void {
  checkSeconds(ttlSeconds, MAX_GRANTED_SECONDS, 'the TTL of a lease');
}

function checkSeconds(seconds: number, max: number, what: string): void {
  if (Number.isInteger(seconds) && seconds >= 1 && seconds <= max) return;
  throw new StoreError('invalid', `${what} is a whole number of seconds, 1..${max}`);
}

export function tooManyLeases(): StoreError {
  const problem = `the store has ${MAX_LEASES} leases, its maximum`;
  return new StoreError('unavailable', `${problem}; revoke some, or let some expire`);
}
