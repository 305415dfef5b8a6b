/**
 * Assigns a key to each desired record. A name has one holder, which keeps it until released: a record that no
 * registrar wrote, a container of another engine, or one of our containers. The names above and below are not free for
 * other holders either. Every other claim waits, or gets its alternative name. Pure and deterministic: present holders
 * come first, beginning with the oldest; of the other claims the one whose container started first comes first.
 */

import type { StampedRecord } from '../describe/storedValue.ts';
import { recordValue } from '../describe/storedValue.ts';
import type { ShortId } from '../engine/containerId.ts';
import {
  type Claim,
  claimsOf,
  keyForRecord,
  keyIfCloned,
  numberId,
  StoredNumbers,
} from './claims.ts';
import { type Obstacle, Occupancy, type OccupancyInput } from './occupancy.ts';
import type { StoredRecord } from './storedRecords.ts';

export type Assignment =
  /** `value` contains what the assignment decides: the number that a PTR record points to, and the age of the name. */
  | {
      readonly kind: 'key';
      readonly stamped: StampedRecord;
      readonly key: string;
      readonly value: Uint8Array;
    }
  /** `key`: the name's own key. */
  | {
      readonly kind: 'taken';
      readonly stamped: StampedRecord;
      readonly key: string;
      readonly obstacle: Obstacle;
    };

export interface AssignInput extends OccupancyInput {
  readonly desired: readonly StampedRecord[];
  readonly stored: OccupancyInput['stored'] & {
    /** Own and dangling records, and those of other owners around the desired names. */
    records(): Iterable<StoredRecord>;
  };
  /** The number that a container had below a base before. */
  formerNumber(shortId: ShortId, base: string): number | undefined;
}

/** Returns one assignment for each desired record; no two have the same key. */
export function assignKeys(input: AssignInput): Assignment[] {
  const assigner = new KeyAssigner(input);
  const claims = claimsOf(input.desired);
  const kept = assigner.keepHeld(claims);
  const fresh = claims.filter((claim) => !kept.has(claim));
  for (const claim of fresh) if (claim.instance === 'named') assigner.take(claim);
  const autos = fresh.filter(({ instance }) => instance === 'auto');
  const unheld = autos.filter((claim) => !assigner.waitForNumber(claim));
  const unnumbered = unheld.filter((claim) => !assigner.resumeNumber(claim));
  const others = unnumbered.filter((claim) => !assigner.takePreferredNumber(claim));
  for (const claim of others) assigner.takeNumber(claim);
  return assigner.finish();
}

/** A name that a container holds since a revision. */
interface NameHolding {
  readonly claim: Claim;
  readonly name: string;
  readonly number: number | undefined;
  readonly since: number;
}

interface AgeCarriers {
  readonly since: number;
  readonly keys: readonly string[];
}

class KeyAssigner {
  readonly #assignments: Assignment[] = [];
  readonly #input: AssignInput;
  readonly #occupancy: Occupancy;
  readonly #numbers = new Map<string, number>();
  readonly #storedNumbers: StoredNumbers;

  constructor(input: AssignInput) {
    this.#input = input;
    this.#occupancy = new Occupancy(input);
    const hasAuto = input.desired.some(({ record }) => record.instance === 'auto');
    this.#storedNumbers = new StoredNumbers(hasAuto ? input.stored.records() : []);
  }

  /** Leaves names and numbers with the containers that hold them. Returns the claims that this satisfies. */
  keepHeld(claims: readonly Claim[]): ReadonlySet<Claim> {
    const kept = new Set<Claim>();
    const holdings = claims.flatMap((claim) => this.#holdingsOf(claim));
    for (const { claim, name, number } of holdings.sort((a, b) => a.since - b.since)) {
      if (kept.has(claim) || !this.#takeName(claim, name)) continue;
      if (number !== undefined) this.#noteNumber(claim, number);
      kept.add(claim);
    }
    return kept;
  }

  take(claim: Claim): void {
    const { key, records: desired } = claim;
    const obstacle = this.#tryName(claim, key);
    if (obstacle === undefined) return;
    const keyIfTaken = desired[0]?.record.keyIfTaken;
    if (keyIfTaken !== undefined && this.#takeName(claim, keyIfTaken)) return;
    const other = this.#occupancy.isHeldByClone(key, claim) ? keyIfCloned(claim) : undefined;
    if (other !== undefined && this.#takeName(claim, other)) return;
    this.#refuse(claim, key, obstacle);
  }

  /** A container with a number from another registrar of this engine gets no second one, but waits for that one. */
  waitForNumber(claim: Claim): boolean {
    const names = this.#storedNumbers.of(claim).map((number) => `${claim.key}/${number}`);
    const name = names.find((each) => this.#occupancy.isKeptByPeer(each, claim));
    const obstacle = name === undefined ? undefined : this.#occupancy.obstacle(claim, name);
    if (name === undefined || obstacle === undefined) return false;
    this.#refuse(claim, name, obstacle);
    return true;
  }

  /** Assigns the number that the container had before, ahead of all new claims. */
  resumeNumber(claim: Claim): boolean {
    return this.#takeNumberIfFree(claim, this.#input.formerNumber(claim.shortId, claim.key));
  }

  takePreferredNumber(claim: Claim): boolean {
    return this.#takeNumberIfFree(claim, claim.preferredNumber);
  }

  /** Assigns the smallest free number. A holder of a name above one number stands above all of them. */
  takeNumber(claim: Claim): void {
    for (let number = 1; ; number++) {
      const obstacle = this.#tryName(claim, `${claim.key}/${number}`);
      if (obstacle === undefined) {
        this.#noteNumber(claim, number);
        return;
      }
      if (obstacle.stands === 'below') {
        this.#refuse(claim, claim.key, obstacle);
        return;
      }
    }
  }

  /** The assignments. PTR records get the number of the name that they point to. */
  finish(): Assignment[] {
    return this.#assignments.map((assignment) => {
      const { record, owner } = assignment.stamped;
      const numberedBy = record.pointer?.numberedBy;
      if (assignment.kind === 'taken' || numberedBy === undefined) return assignment;
      const number = this.#numbers.get(numberId(owner.shortId, numberedBy));
      if (number === undefined) return assignment;
      const fields = { ...record.fields, host: `${number}.${record.fields.host}` };
      return { ...assignment, value: recordValue({ ...record, fields }, owner) };
    });
  }

  /** The names of a claim that its container holds. An alternative name that several containers share is not kept. */
  #holdingsOf(claim: Claim): NameHolding[] {
    const { key, instance } = claim;
    const names: (readonly [name: string, number: number | undefined])[] =
      instance === 'auto'
        ? this.#storedNumbers.of(claim).map((number) => [`${key}/${number}`, number])
        : [key, keyIfCloned(claim) ?? key].map((name) => [name, undefined]);
    return names.flatMap(([name, number]) => {
      const since = this.#occupancy.heldSince(claim, name);
      return since === undefined ? [] : { claim, name, number, since };
    });
  }

  #takeNumberIfFree(claim: Claim, number: number | undefined): boolean {
    if (number === undefined || !this.#takeName(claim, `${claim.key}/${number}`)) return false;
    this.#noteNumber(claim, number);
    return true;
  }

  #noteNumber({ shortId, key }: Claim, number: number): void {
    this.#numbers.set(numberId(shortId, key), number);
  }

  #takeName(claim: Claim, name: string): boolean {
    return this.#tryName(claim, name) === undefined;
  }

  /** Assigns a name, or returns its obstacle. One key of the name is enough to hold all of them. */
  #tryName(claim: Claim, name: string): Obstacle | undefined {
    const obstacle = this.#occupancy.obstacle(claim, name);
    if (obstacle !== undefined) return obstacle;
    const keys = claim.records.map((stamped) => keyForRecord(name, stamped));
    const carriers = this.#carriersOfAge(claim, name, keys);
    claim.records.forEach((stamped, i) => {
      const key = keys[i] ?? name;
      this.#assignments.push({
        kind: 'key',
        stamped,
        key,
        value: this.#valueAt(key, stamped, carriers),
      });
    });
    this.#occupancy.assign(claim, name);
    return undefined;
  }

  /**
   * The age of a name whose keys do not have it, because only records that are about to be deleted contain it; and the
   * keys whose new records contain it from then on: those that the container does not have yet, else the first.
   */
  #carriersOfAge(claim: Claim, name: string, keys: readonly string[]): AgeCarriers | undefined {
    const since = this.#occupancy.heldSince(claim, name);
    const { stored } = this.#input;
    if (since === undefined || keys.some((key) => stored.get(key)?.since === since))
      return undefined;
    const fresh = keys.filter((key) => stored.get(key)?.owner?.shortId !== claim.shortId);
    return { since, keys: fresh.length > 0 ? fresh : keys.slice(0, 1) };
  }

  #valueAt(
    key: string,
    { record, owner, value }: StampedRecord,
    carriers: AgeCarriers | undefined,
  ): Uint8Array {
    const stored = this.#input.stored.get(key)?.owner;
    const ownSince = stored?.shortId === owner.shortId ? stored.since : undefined;
    const since = carriers?.keys.includes(key) ? carriers.since : ownSince;
    return since === undefined ? value : recordValue(record, { ...owner, since });
  }

  #refuse({ records: desired }: Claim, name: string, obstacle: Obstacle): void {
    for (const stamped of desired)
      this.#assignments.push({ kind: 'taken', stamped, key: name, obstacle });
  }
}
