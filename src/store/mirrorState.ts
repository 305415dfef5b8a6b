/** What a mirror maintains, and what it reports about itself. */
import type { Change } from '../service/change.ts';

/** The state that the mirror maintains. */
export interface Replica {
  /** Makes all changes visible at once. */
  apply(changes: readonly Change[]): void;
  /** The replica's keys with their revisions. Not called during `apply`. */
  revisions(): Iterable<readonly [key: string, modRevision: number]>;
}

/** Times are on the clock's monotonic scale. */
export type MirrorState =
  | { readonly kind: 'loading'; readonly sinceMs: number; readonly reason: string | undefined }
  | { readonly kind: 'synced'; readonly revision: number; readonly lastEventAtMs: number }
  /** The replica equals the store at `revision`. The mirror has lost the store since `sinceMs`. */
  | {
      readonly kind: 'stale';
      readonly revision: number;
      readonly sinceMs: number;
      readonly reason: string;
    };

/** Events for the operator's log. */
export type MirrorEvent =
  | {
      readonly kind: 'loaded';
      readonly revision: number;
      readonly keys: number;
      readonly tookMs: number;
    }
  | {
      readonly kind: 'lost';
      readonly error: unknown;
      readonly retryInMs: number;
      /** 1 for the first failure after a success. */
      readonly failuresInARow: number;
    }
  | { readonly kind: 'resumed'; readonly revision: number }
  | {
      readonly kind: 'relisted';
      readonly revision: number;
      readonly puts: number;
      readonly deletes: number;
      readonly tookMs: number;
    };

export interface MirrorCounters {
  /** Changes received through the watch. */
  readonly events: number;
  /** Failed watches, loads and relists. */
  readonly failures: number;
  /** Complete snapshots after the first. */
  readonly resyncs: number;
}
