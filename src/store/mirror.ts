/**
 * Keeps a replica equal to the keys below a prefix of a store: loads them at one revision, then applies every change
 * from the next revision on.
 *
 * `Feed` has the watch and `FedReplica` the replica's part. When the store has forgotten the revision at which a watch
 * should continue, or is another store, they take a snapshot at one revision and apply the difference in one step. A
 * reader of a loaded replica therefore never sees an empty or partial state.
 */
import { type Clock, systemClock } from '../timing/clock.ts';
import { FedReplica } from './fedReplica.ts';
import { Feed } from './feed.ts';
import type { MirrorCounters, MirrorEvent, MirrorState, Replica } from './mirrorState.ts';
import type { Store } from './store.ts';

export type { MirrorCounters, MirrorEvent, MirrorState, Replica } from './mirrorState.ts';

export interface MirrorOptions {
  readonly store: Store;
  readonly prefix: string;
  readonly replica: Replica;
  /** Must not throw. */
  readonly onEvent?: (event: MirrorEvent) => void;
  readonly clock?: Clock;
  /** Returns 0 to below 1, for the jitter of the backoff. */
  readonly random?: () => number;
}

/** The replica and the log of a mirror beside another one. */
export type BesideOptions = Pick<MirrorOptions, 'replica' | 'onEvent'>;

/** Does nothing until `start`. No method rejects or throws, even if the store fails. */
export class Mirror {
  readonly #options: MirrorOptions;
  readonly #feed: Feed;
  readonly #fed: FedReplica;

  /** `beside` uses the feed of another mirror; any other mirror has its own. */
  constructor(options: MirrorOptions, feed?: Feed) {
    const { store, prefix, replica, onEvent, clock = systemClock, random = Math.random } = options;
    this.#options = options;
    this.#feed = feed ?? new Feed({ store, prefix, clock, random });
    const onThrown = (error: unknown): void => this.#feed.onThrown(this.#fed, error);
    this.#fed = new FedReplica({ replica, onEvent, clock, onThrown });
  }

  /**
   * Returns a mirror of the same keys for another replica. The two share one watch, and each listing that both need.
   * Each has its own state, and continues when the other one is closed or its replica throws.
   */
  beside({ replica, onEvent = () => {} }: BesideOptions): Mirror {
    return new Mirror({ ...this.#options, replica, onEvent }, this.#feed);
  }

  start(): void {
    this.#feed.join(this.#fed);
  }

  state(): MirrorState {
    return this.#fed.state();
  }

  counters(): MirrorCounters {
    return this.#fed.counters();
  }

  /** Resolves when the replica has the changes of all revisions up to that one below the prefix. */
  waitFor(revision: number): Promise<void> {
    return this.#fed.waitFor(revision);
  }

  /** Stops changing the replica. Calls to the store that are in progress end when the store closes. */
  close(): void {
    this.#fed.close();
    this.#feed.leave(this.#fed);
  }
}
