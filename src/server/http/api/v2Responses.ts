/**
 * The store's entries and errors as etcd's v2 JSON. A value appears as UTF-8 text, with U+FFFD for invalid octets.
 * `createdIndex` is the store's createRevision: unlike in etcd it stays when a plain `set` overwrites a key.
 */
import type { Entry, Lease } from '../../../service/change.ts';
import { StoreError } from '../../../store/store.ts';
import { type HttpReply, jsonReply } from '../exchange/exchange.ts';
import { NeedsToken } from './guardedStore.ts';

export interface Instant {
  /** The monotonic time, the scale of lease expiries. */
  readonly monotonicMs: number;
  /** Milliseconds since 1970. */
  readonly wallMs: number;
}

export interface NodeJson {
  /** Absent for the root. */
  readonly key?: string;
  readonly value?: string;
  readonly dir?: true;
  /** ISO 8601, with `ttl`. */
  readonly expiration?: string;
  /** The remaining seconds, rounded up. */
  readonly ttl?: number;
  readonly nodes?: readonly NodeJson[];
  readonly modifiedIndex?: number;
  readonly createdIndex?: number;
}

export interface EventJson {
  readonly action: string;
  readonly node?: NodeJson;
  readonly prevNode?: NodeJson;
}

export const now = (): Instant => ({ monotonicMs: performance.now(), wallMs: Date.now() });

export function valueText(value: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(value);
}

/** The node of an entry with its value; the entry of a directory's marker (`/a/b/`) is that directory. */
export function entryNode(entry: Entry, clock: Instant): NodeJson {
  return {
    ...(isMarker(entry.key)
      ? { key: entry.key.slice(0, -1), dir: true }
      : { key: entry.key, value: valueText(entry.value) }),
    ...leaseFields(entry.lease, clock),
    ...indices(entry.modRevision, entry.createRevision),
  };
}

/** The node of a key that was deleted at `revision`. */
export function deletedNode(key: string, revision: number, createRevision: number): NodeJson {
  const what = isMarker(key) ? ({ key: key.slice(0, -1), dir: true } as const) : { key };
  return { ...what, ...indices(revision, createRevision) };
}

/** A directory without its children. */
export function directoryNode(key: string, modified: number, created: number): NodeJson {
  return { key, dir: true, ...indices(modified, created) };
}

/** The marker of an empty directory is a key that ends in a slash. */
export function isMarker(key: string): boolean {
  return key.endsWith('/');
}

export function indices(modifiedIndex: number, createdIndex: number) {
  return { modifiedIndex, createdIndex };
}

export function leaseFields(lease: Lease | undefined, clock: Instant) {
  // A lease without a known expiry is omitted.
  if (lease?.expiresAtMs === undefined) return {};
  const leftMs = lease.expiresAtMs - clock.monotonicMs;
  return {
    expiration: new Date(clock.wallMs + leftMs).toISOString(),
    // An existing key has time left, if only until the store's next check of the clock.
    ttl: Math.max(1, Math.ceil(leftMs / 1000)),
  };
}

/**
 * The errors of etcd's v2 API as etcd 3.4 sends them: a number on which clients branch, the HTTP status for it, a fixed
 * message, and a cause in free text.
 */
const STATUS_AND_MESSAGE = {
  100: [404, 'Key not found'],
  101: [412, 'Compare failed'],
  102: [403, 'Not a file'],
  104: [400, 'Not a directory'],
  105: [412, 'Key already exists'],
  107: [400, 'Root is read only'],
  108: [403, 'Directory not empty'],
  110: [401, 'The request requires user authentication'],
  201: [400, 'PrevValue is Required in POST form'],
  202: [400, 'The given TTL in POST form is not a number'],
  203: [400, 'The given index in POST form is not a number'],
  209: [400, 'Invalid field'],
  210: [400, 'Invalid POST form'],
  211: [400, 'Value provided on refresh'],
  212: [400, 'A TTL must be provided on refresh'],
  300: [500, 'Raft Internal Error'],
  400: [400, 'watcher is cleared due to etcd recovery'],
  401: [400, 'The event in requested index is outdated and cleared'],
} as const satisfies Record<number, readonly [number, string]>;

export type V2ErrorCode = keyof typeof STATUS_AND_MESSAGE;

/** A failed request. `index` is the store's revision, or 0 if the server did not read the store. */
export interface V2Failure {
  readonly kind: 'failure';
  readonly code: V2ErrorCode;
  readonly cause: string;
  readonly index: number;
  /** Set if HTTP has a better status than etcd's table (413, 503). */
  readonly status?: number;
}

export function failure(code: V2ErrorCode, cause: string, index = 0, status?: number): V2Failure {
  return { kind: 'failure', code, cause, index, ...(status === undefined ? {} : { status }) };
}

/** The v2 failure for a store's error. A client can correct the cause of `compacted`, `replaced` and `invalid`. */
export function failureOfStore(error: StoreError): V2Failure {
  if (error instanceof NeedsToken) return failure(110, error.message);
  switch (error.code) {
    case 'compacted':
    case 'replaced':
      return failure(401, error.message);
    case 'invalid':
      return failure(209, error.message);
    case 'denied':
      return failure(300, `the store refuses this server: ${error.message}`);
    case 'unavailable':
      return failure(300, `the store cannot be reached: ${error.message}`, 0, 503);
  }
}

/** The result of `run`, or the failure for its StoreError. */
export async function orStoreFailure<T>(
  run: () => Promise<T>,
  failureOf: (error: StoreError) => V2Failure = failureOfStore,
): Promise<T | V2Failure> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof StoreError) return failureOf(error);
    throw error;
  }
}

/** With this header etcdctl sends the token as a password. */
const CHALLENGE = { 'WWW-Authenticate': 'Basic realm="soradns"' };

/** The error as etcd writes it: `{"errorCode","message","cause","index"}`, and the fields of `more`. */
export function failureReply({ code, cause, index, status }: V2Failure, more = {}): HttpReply {
  const [usualStatus, message] = STATUS_AND_MESSAGE[code];
  return jsonReply(
    status ?? usualStatus,
    { errorCode: code, message, cause, index, ...more },
    { 'X-Etcd-Index': String(index), ...(code === 110 ? CHALLENGE : {}) },
  );
}
