/** The entries of a store and their changes: the types that the stores, the mirror and the zone share. */

/**
 * The lease of one or more keys. `expiresAtMs` is on the monotonic clock (`performance.now()`); a store changes it when
 * the lease is renewed, so read it at the moment of use. Some stores name a key's lease before they know its TTL: both
 * numbers are undefined until then, and the lease may end at any time.
 */
export interface Lease {
  readonly id: string;
  readonly ttlSeconds: number | undefined;
  readonly expiresAtMs: number | undefined;
}

export interface Entry {
  /** Begins with `/`. */
  readonly key: string;
  readonly value: Uint8Array;
  /** The store's revisions at which the key was created and last written. */
  readonly createRevision: number;
  readonly modRevision: number;
  /** `undefined`: the key exists until it is deleted. */
  readonly lease: Lease | undefined;
}

export type Change =
  | { readonly kind: 'put'; readonly entry: Entry; readonly previous: Entry | undefined }
  | {
      readonly kind: 'delete';
      readonly key: string;
      readonly modRevision: number;
      readonly previous: Entry | undefined;
      /** Whether the key ended with its lease; undefined if the store did not record it, or the key had no lease. */
      readonly ranOut?: boolean | undefined;
    };

export function revisionOf(change: Change): number {
  return change.kind === 'put' ? change.entry.modRevision : change.modRevision;
}

export function keyOfChange(change: Change): string {
  return change.kind === 'put' ? change.entry.key : change.key;
}
