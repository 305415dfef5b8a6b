/**
 * The records that the store should hold now: the records in the containers' descriptions, without those whose check
 * fails, and without those that need a name that their container does not hold (`onlyBeside`). After the grace period
 * for an absent engine there are none. The host's own records are among them.
 */

import type { StampedRecord } from './describe/storedValue.ts';
import type { ShortId } from './engine/containerId.ts';
import type { GracePeriod } from './gracePeriod.ts';
import type { Checks } from './observe/checks.ts';
import type { Containers } from './observe/containers.ts';
import { isStored } from './reconcile/claims.ts';
import type { DesiredSource } from './reconcile/reconciler.ts';
import { mayStand, type StoredRecords } from './reconcile/storedRecords.ts';

export class DesiredRecords implements DesiredSource {
  readonly #containers: Pick<Containers, 'all' | 'isDesiredKnown'>;
  readonly #checks: Pick<Checks, 'run'>;
  readonly #gracePeriod: Pick<GracePeriod, 'isExpired'>;
  readonly #node: () => readonly StampedRecord[];

  constructor(
    containers: Pick<Containers, 'all' | 'isDesiredKnown'>,
    checks: Pick<Checks, 'run'>,
    gracePeriod: Pick<GracePeriod, 'isExpired'>,
    node: () => readonly StampedRecord[],
  ) {
    this.#containers = containers;
    this.#checks = checks;
    this.#gracePeriod = gracePeriod;
    this.#node = node;
  }

  /** Also starts the checks of these records, and ends all other checks. */
  list(stored: StoredRecords): readonly StampedRecord[] {
    const described = this.#described();
    const states = this.#checks.run(described);
    return described.filter((stamped) => {
      const state = states.get(stamped);
      // A record that an earlier registrar stored stays until the first result of its check.
      const isPassing = state === 'unknown' ? isStored(stamped, stored) : state !== 'failing';
      return isPassing && mayStand(stamped, stored);
    });
  }

  /** After the grace period the desired records of every container are known: none. */
  isKnown(shortId: ShortId): boolean {
    return this.#gracePeriod.isExpired || this.#containers.isDesiredKnown(shortId);
  }

  #described(): readonly StampedRecord[] {
    if (this.#gracePeriod.isExpired) return [];
    return [...[...this.#containers.all()].flatMap(({ desired }) => desired), ...this.#node()];
  }
}
