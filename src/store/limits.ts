/**
 * What stores accept. Each check throws StoreError `invalid` with one line that says what is wrong. What is written has
 * the same limits in all of them, so that what works on `memory:` works on `file:`; etcd may hold longer keys, and keys
 * that are no Unicode, which others wrote.
 */
import { type PutOptions, StoreError } from './store.ts';

/** lmdb's keys end at 1978 octets, and the index by deadline puts 8 before the key. */
export const MAX_KEY_OCTETS = 1900;
/** As etcd recommends for one value; what is no service of at most 64 KB is refused later, by its reader. */
export const MAX_VALUE_OCTETS = 1024 * 1024;
/** Of a key by itself: etcd's own limit, 285 years. */
const MAX_LEASE_SECONDS = 9_000_000_000;
/** Of a lease that an embedded store grants: its holder is alive to renew it, so it need not outlive him for longer. */
const MAX_GRANTED_SECONDS = 86_400;
/** That an embedded store holds at once: each stays on disk until it ends, whether or not it has keys. */
export const MAX_LEASES = 10_000;

const LONE_SURROGATE = /\p{Surrogate}/u;

/** What every store wants of a key, also of one that is only read or deleted. */
export function checkPath(key: string): void {
  if (!key.startsWith('/')) throw new StoreError('invalid', 'a key begins with "/"');
}

/** The same for a prefix. */
export function checkPrefixPath(prefix: string): void {
  checkPath(prefix);
  if (!prefix.endsWith('/')) throw new StoreError('invalid', 'a prefix ends with "/"');
}

/** Lone surrogates have no UTF-8. */
export function checkUnicode(key: string): void {
  if (LONE_SURROGATE.test(key)) throw new StoreError('invalid', 'a key must be valid Unicode');
}

/** What is written. */
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
  if (ttlSeconds !== undefined) checkSeconds(ttlSeconds, MAX_LEASE_SECONDS, 'a TTL');
}

/** The TTL of a lease that an embedded store is asked to grant. */
export function checkGranted(ttlSeconds: number): void {
  checkSeconds(ttlSeconds, MAX_GRANTED_SECONDS, 'the TTL of a lease');
}

function checkSeconds(seconds: number, max: number, what: string): void {
  if (Number.isInteger(seconds) && seconds >= 1 && seconds <= max) return;
  throw new StoreError('invalid', `${what} is a whole number of seconds, 1..${max}`);
}

export function tooManyLeases(): StoreError {
  const problem = `the store holds ${MAX_LEASES} leases, as many as it may`;
  return new StoreError('unavailable', `${problem}; revoke some, or let them run out`);
}
