/**
 * Which key each wished record gets. A name has one holder, which keeps it until it is released: a record that no
 * registrar wrote, a container of another engine, or another of our containers. Names above and below it are not free for
 * others either. All others wait, or go where they may go instead. PURE and deterministic: the holders of names come
 * first, the eldest before the others; among those that have none yet the container that started first goes first.
 */
import { recordValue } from '../describe/record.ts';
import type { ShortId } from '../engine/containerId.ts';
import {
  type Claim,
  claimsOf,
  keyForRecord,
  keyIfCloned,
  numberId,
  type StampedRecord,
  StoredNumbers,
} from './claims.ts';
import { type Obstacle, Occupancy, type OccupancyInput } from './occupancy.ts';
import type { StoredRecord } from './storedRecords.ts';

export type Assignment =
  /** `value`: the wish's, with what only the assignment tells: a number that PTR points to, how long the name is held. */
  | {
      readonly kind: 'key';
      readonly stamped: StampedRecord;
      readonly key: string;
      readonly value: Uint8Array;
    }
  /** `key`: of the name. */
  | {
      readonly kind: 'taken';
      readonly stamped: StampedRecord;
      readonly key: string;
      readonly obstacle: Obstacle;
    };

export interface AssignInput extends OccupancyInput {
  readonly desired: readonly StampedRecord[];
  readonly stored: OccupancyInput['stored'] & {
    /** Our own ones, those that dangle, and others' where something is wished for. */
    records(): Iterable<StoredRecord>;
  };
  /** The number that a container had below a base in an earlier life. */
  formerNumber(shortId: ShortId, base: string): number | undefined;
}

/** One for each wish; no two with the same key. */
export function assignKeys(input: AssignInput): Assignment[] {
  const round = new KeyAssigner(input);
  const claims = claimsOf(input.desired);
  const kept = round.keepHeld(claims);
  const fresh = claims.filter((claim) => !kept.has(claim));
  for (const claim of fresh) if (claim.instance === 'named') round.take(claim);
  const autos = fresh.filter(({ instance }) => instance === 'auto');
  const unheld = autos.filter((claim) => !round.waitForNumber(claim));
  const unnumbered = unheld.filter((claim) => !round.resumeNumber(claim));
  const others = unnumbered.filter((claim) => !round.takePreferredNumber(claim));
  for (const claim of others) round.takeNumber(claim);
  return round.finish();
}

/** A name that a container has had since a revision. */
interface HeldName {
  readonly claim: Claim;
  readonly name: string;
  readonly number: number | undefined;
  readonly since: number;
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

  /** Leaves names and numbers with the containers that have them already; gives the claims that are served so. */
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

  /** A container that another registrar of this engine has given a number needs no second one. */
  waitForNumber(claim: Claim): boolean {
    const names = this.#storedNumbers.of(claim).map((number) => `${claim.key}/${number}`);
    const name = names.find((each) => this.#occupancy.isKeptByPeer(each, claim));
    const obstacle = name === undefined ? undefined : this.#occupancy.obstacle(claim, name);
    if (name === undefined || obstacle === undefined) return false;
    this.#refuse(claim, name, obstacle);
    return true;
  }

  /** Gives the number of an earlier life, before anybody else takes it. */
  resumeNumber(claim: Claim): boolean {
    return this.#takeNumberIfFree(claim, this.#input.formerNumber(claim.shortId, claim.key));
  }

  takePreferredNumber(claim: Claim): boolean {
    return this.#takeNumberIfFree(claim, claim.preferredNumber);
  }

  /** The smallest that is free. Where another holds a name above one number, it stands above all of them. */
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

  /** All that was given. PTR records come to know the number of the name that they point to. */
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

  /** What a claim has of what it wants. Where several containers may go instead is a way out, not theirs to keep. */
  #holdingsOf(claim: Claim): HeldName[] {
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

  /** Gives a name, or what is in the way. The name is the claim's whichever of its keys it has records at. */
  #tryName(claim: Claim, name: string): Obstacle | undefined {
    const obstacle = this.#occupancy.obstacle(claim, name);
    if (obstacle !== undefined) return obstacle;
    const since = this.#occupancy.heldSince(claim, name);
    const keys = claim.records.map((stamped) => keyForRecord(name, stamped));
    const isKnown = keys.some((key) => this.#input.stored.get(key)?.since === since);
    claim.records.forEach((stamped, i) => {
      const key = keys[i] ?? name;
      const value = this.#valueAt(key, stamped, isKnown ? undefined : since);
      this.#assignments.push({ kind: 'key', stamped, key, value });
    });
    this.#occupancy.assign(claim, name);
    return undefined;
  }

  /** `since`: which the records at the name's other keys, soon gone, are alone in telling. A new one tells it then. */
  #valueAt(
    key: string,
    { record, owner, value }: StampedRecord,
    since: number | undefined,
  ): Uint8Array {
    const stored = this.#input.stored.get(key)?.owner;
    const isSame = stored?.shortId === owner.shortId;
    const toTell = isSame ? stored.since : stored === undefined ? since : undefined;
    return toTell === undefined ? value : recordValue(record, { ...owner, since: toTell });
  }

  #refuse({ records: desired }: Claim, name: string, obstacle: Obstacle): void {
    for (const stamped of desired)
      this.#assignments.push({ kind: 'taken', stamped, key: name, obstacle });
  }
}
