/**
 * Entries of the store in the shapes of etcd's v2 JSON. A value is shown as UTF-8 text, with U+FFFD for octets that
 * are none. `createdIndex` is the store's createRevision: unlike in etcd it stays when a plain `set` overwrites a key.
 */
import type { Entry, Lease } from '../../service/change.ts';

export interface Clock {
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

export const now = (): Clock => ({ monotonicMs: performance.now(), wallMs: Date.now() });

export function textOf(value: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(value);
}

/** The entry of a key as a node with its value; the marker of a directory (`/a/b/`) as that directory. */
export function entryNode(entry: Entry, clock: Clock): NodeJson {
  return {
    ...(isMarker(entry.key)
      ? { key: entry.key.slice(0, -1), dir: true }
      : { key: entry.key, value: textOf(entry.value) }),
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

export function leaseFields(lease: Lease | undefined, clock: Clock) {
  // One whose end is not known yet is left out.
  if (lease?.expiresAtMs === undefined) return {};
  const leftMs = lease.expiresAtMs - clock.monotonicMs;
  return {
    expiration: new Date(clock.wallMs + leftMs).toISOString(),
    // A key that is still there has time left, if only until the store's next look at its clock.
    ttl: Math.max(1, Math.ceil(leftMs / 1000)),
  };
}
