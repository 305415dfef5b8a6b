/**
 * Entries of the store in the shapes of etcd's v2 JSON. A value is shown as UTF-8 text, with U+FFFD for octets that
 * are none. `createdIndex` is the store's createRevision: unlike in etcd it stays when a plain `set` overwrites a key.
 */
import type { Entry, Lease } from '../../../service/change.ts';
import type { StoreError } from '../../../store/store.ts';
import { type HttpReply, jsonReply } from '../exchange/exchange.ts';
import { NeedsToken } from './keyPath.ts';

export interface Instant {
  /** The monotonic clock that leases are on. */
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
  /** Seconds that are left, rounded up. */
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

/** The entry of a key as a node with its value; the marker of a directory (`/a/b/`) as that directory. */
export function entryNode(entry: Entry, clock: Instant): NodeJson {
  return {
    ...(isMarker(entry.key)
      ? { key: entry.key.slice(0, -1), dir: true }
      : { key: entry.key, value: valueText(entry.value) }),
    ...leaseFields(entry.lease, clock),
    ...indices(entry.modRevision, entry.createRevision),
  };
}

/** What is left of a key after its deletion at `revision`. */
export function deletedNode(key: string, revision: number, createRevision: number): NodeJson {
  const what = isMarker(key) ? ({ key: key.slice(0, -1), dir: true } as const) : { key };
  return { ...what, ...indices(revision, createRevision) };
}

/** A directory without its nodes. */
export function directoryNode(key: string, modified: number, created: number): NodeJson {
  return { key, dir: true, ...indices(modified, created) };
}

/** The key under which an empty directory is kept ends in a slash. */
export function isMarker(key: string): boolean {
  return key.endsWith('/');
}

export function indices(modifiedIndex: number, createdIndex: number) {
  return { modifiedIndex, createdIndex };
}

export function leaseFields(lease: Lease | undefined, clock: Instant) {
  // One whose end is not known yet is left out.
  if (lease?.expiresAtMs === undefined) return {};
  const leftMs = lease.expiresAtMs - clock.monotonicMs;
  return {
    expiration: new Date(clock.wallMs + leftMs).toISOString(),
    // A key that is still there has time left, if only until the store's next look at its clock.
    ttl: Math.max(1, Math.ceil(leftMs / 1000)),
  };
}

/**
 * The errors of etcd's v2 API as etcd 3.4 sends them: a number that clients branch on, the HTTP status that goes with
 * it, a fixed message, and a cause in free text.
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

/** A request that came to nothing. `index` is the store's revision, or 0 when the store was not asked. */
export interface V2Failure {
  readonly kind: 'failure';
  readonly code: V2ErrorCode;
  readonly cause: string;
  readonly index: number;
  /** Where HTTP knows a better status than etcd's table (413, 503). */
  readonly status?: number;
}

export function failure(code: V2ErrorCode, cause: string, index = 0, status?: number): V2Failure {
  return { kind: 'failure', code, cause, index, ...(status === undefined ? {} : { status }) };
}

/** What a v2 client is told when the store itself failed; `compacted` and `invalid` are the client's to correct. */
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

/** etcdctl sends the token as a password when it is asked like this. */
const CHALLENGE = { 'WWW-Authenticate': 'Basic realm="soradns"' };

/** The error as etcd writes it: `{"errorCode","message","cause","index"}`, and `more` beside that. */
export function failureReply({ code, cause, index, status }: V2Failure, more = {}): HttpReply {
  const [usualStatus, message] = STATUS_AND_MESSAGE[code];
  return jsonReply(
    status ?? usualStatus,
    { errorCode: code, message, cause, index, ...more },
    { 'X-Etcd-Index': String(index), ...(code === 110 ? CHALLENGE : {}) },
  );
}
