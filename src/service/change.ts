/**
 * What a store holds under a key, and what can happen to it: the words that the stores, the mirror and the zone share.
 */

/**
 * The life of a key, or of all keys that one etcd lease carries. `expiresAtMs` is on the monotonic clock
 * (`performance.now()`); a store that learns of a renewal moves it, so read it at the moment of use. Some stores name a
 * key's lease before they know its life: both numbers are undefined until then, and the lease may end at any time.
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
  /** Revision of the store at which the key came into being, and at which it was last written. */
  readonly createRevision: number;
  readonly modRevision: number;
  /** `undefined`: the key stays until it is deleted. */
  readonly lease: Lease | undefined;
}

export type Change =
  | { readonly kind: 'put'; readonly entry: Entry; readonly previous: Entry | undefined }
  | {
      readonly kind: 'delete';
      readonly key: string;
      readonly modRevision: number;
      readonly previous: Entry | undefined;
    };

export function keyOfChange(change: Change): string {
  return change.kind === 'put' ? change.entry.key : change.key;
}
