/**
 * The records that the store should hold now: what the containers' descriptions ask for, without records whose check
 * fails, and without records that may only stand beside a name that this container does not hold. Once the grace period
 * for an absent engine has expired, there are none.
 */
import type { ShortId } from './engine/containerId.ts';
import type { GracePeriod } from './gracePeriod.ts';
import type { Checks } from './observe/checks.ts';
import type { Containers } from './observe/containers.ts';
import type { StampedRecord } from './reconcile/claims.ts';
import type { DesiredSource } from './reconcile/reconciler.ts';
import { mayStand, type StoredRecords } from './reconcile/storedRecords.ts';

export class DesiredRecords implements DesiredSource {
  readonly #containers: Pick<Containers, 'all' | 'isDesiredKnown'>;
  readonly #checks: Pick<Checks, 'passing'>;
  readonly #gracePeriod: Pick<GracePeriod, 'isExpired'>;

  constructor(
    containers: Pick<Containers, 'all' | 'isDesiredKnown'>,
    checks: Pick<Checks, 'passing'>,
    gracePeriod: Pick<GracePeriod, 'isExpired'>,
  ) {
    this.#containers = containers;
    this.#checks = checks;
    this.#gracePeriod = gracePeriod;
  }

  list(stored: StoredRecords): readonly StampedRecord[] {
    return this.#checks
      .passing(this.#described(), stored)
      .filter((stamped) => mayStand(stamped, stored));
  }

  /** After the grace period it is known of every container: it should have nothing. */
  isKnown(shortId: ShortId): boolean {
    return this.#gracePeriod.isExpired || this.#containers.isDesiredKnown(shortId);
  }

  #described(): readonly StampedRecord[] {
    if (this.#gracePeriod.isExpired) return [];
    return [...this.#containers.all()].flatMap(({ desired }) => desired);
  }
}
