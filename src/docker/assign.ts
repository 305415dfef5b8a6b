/**
 * Which key each wished record gets. A name has one holder, which keeps it until it is released: a record that no
 * registrar wrote, a container of another engine, or another of our containers. All others wait, or go where they may go
 * instead. PURE and deterministic: where there is a choice the container that started first goes first.
 */
import type { ActualRecord } from './actual.ts';
import { keysOfName, type NameKeys, nameKeyOf } from './claim.ts';
import { compareTexts } from './container.ts';
import type { DesiredRecord } from './description.ts';
import { type Owner, recordValue } from './record.ts';

/** A record that a container should have, with the stamp that it gets. */
export interface Wish {
  readonly containerId: string;
  readonly owner: Owner;
  readonly record: DesiredRecord;
  /** `recordValue` of the two. */
  readonly value: Uint8Array;
}

export type Assignment =
  /** `value`: the wish's, but for a PTR record with the number that its name was given. */
  | { readonly kind: 'key'; readonly wish: Wish; readonly key: string; readonly value: Uint8Array }
  /** `key`: of the name. */
  | { readonly kind: 'taken'; readonly wish: Wish; readonly key: string; readonly holder: string };

export interface AssignInput {
  readonly wishes: readonly Wish[];
  readonly actual: { get(key: string): ActualRecord | undefined; own(): Iterable<ActualRecord> };
  /** Whether it is known what that container (first 12 digits) should have. Records of others stay as they are. */
  isKnown(containerId: string): boolean;
  /** The number that a container (first 12 digits) had below a base in an earlier life. */
  formerNumber(containerId: string, base: string): number | undefined;
}

/** One for each wish; no two with the same key. */
export function assignKeys(input: AssignInput): Assignment[] {
  const round = new Round(input);
  const claims = claimsOf([...input.wishes].sort(byAge));
  const named = claims.filter(({ instance }) => instance === 'named');
  const rest = named.filter((claim) => !round.keep(claim));
  for (const claim of rest) round.take(claim);
  const autos = claims.filter(({ instance }) => instance === 'auto');
  const unnumbered = autos.filter((claim) => !round.keepNumber(claim));
  const fresh = unnumbered.filter((claim) => !round.resumeNumber(claim));
  const others = fresh.filter((claim) => !round.takePreferredNumber(claim));
  for (const claim of others) round.takeNumber(claim);
  return round.finish();
}

/** The records of one container under one name: one, or one for each family. */
interface Claim {
  /** First 12 digits. */
  readonly containerId: string;
  readonly instance: DesiredRecord['instance'];
  /** The name's key, or the one under which its number is claimed. */
  readonly key: string;
  readonly preferredNumber: number | undefined;
  readonly wishes: readonly Wish[];
}

class Round {
  readonly #assignments: Assignment[] = [];
  readonly #input: AssignInput;
  /** Who has been given each key, or may be: all three of a name that was given. */
  readonly #claimed = new Map<string, Claim>();
  readonly #numbers = new Map<string, number>();
  readonly #ownNumbers: ReadonlyMap<string, readonly number[]>;

  constructor(input: AssignInput) {
    this.#input = input;
    const hasAuto = input.wishes.some(({ record }) => record.instance === 'auto');
    this.#ownNumbers = hasAuto ? numbersOf(input.actual.own()) : new Map();
  }

  /** Leaves the name with the container that has it already. */
  keep(claim: Claim): boolean {
    return this.#keepName(claim, claim.key);
  }

  take(claim: Claim): void {
    const { key, wishes } = claim;
    const keyIfTaken = wishes[0]?.record.keyIfTaken;
    if (this.#takeName(claim, key)) return;
    if (keyIfTaken !== undefined && this.#takeName(claim, keyIfTaken)) return;
    for (const wish of wishes) this.#refuse(wish, key, claim);
  }

  keepNumber(claim: Claim): boolean {
    const numbers = this.#ownNumbers.get(numberId(claim.containerId, claim.key)) ?? [];
    const number = numbers.find((each) => this.#keepName(claim, `${claim.key}/${each}`));
    if (number !== undefined) this.#noteNumber(claim, number);
    return number !== undefined;
  }

  /** Gives the number of an earlier life, before anybody else takes it. */
  resumeNumber(claim: Claim): boolean {
    return this.#takeNumberIfFree(claim, this.#input.formerNumber(claim.containerId, claim.key));
  }

  takePreferredNumber(claim: Claim): boolean {
    return this.#takeNumberIfFree(claim, claim.preferredNumber);
  }

  takeNumber(claim: Claim): void {
    let number = 1;
    while (!this.#takeNumberIfFree(claim, number)) number++;
  }

  /** All that was given. PTR records come to know the number of the name that they point to. */
  finish(): Assignment[] {
    return this.#assignments.map((assignment) => {
      const { record, owner } = assignment.wish;
      const numberedBy = record.pointer?.numberedBy;
      if (assignment.kind === 'taken' || numberedBy === undefined) return assignment;
      const number = this.#numbers.get(numberId(owner.containerId, numberedBy));
      if (number === undefined) return assignment;
      const fields = { ...record.fields, host: `${number}.${record.fields.host}` };
      return { ...assignment, value: recordValue({ ...record, fields }, owner) };
    });
  }

  #takeNumberIfFree(claim: Claim, number: number | undefined): boolean {
    if (number === undefined || !this.#takeName(claim, `${claim.key}/${number}`)) return false;
    this.#noteNumber(claim, number);
    return true;
  }

  #noteNumber({ containerId, key }: Claim, number: number): void {
    this.#numbers.set(numberId(containerId, key), number);
  }

  /** Gives a name that nobody has. */
  #takeName(claim: Claim, name: string): boolean {
    const keys = keysOfName(name);
    if (!keys.every((key) => this.#isFree(key, claim))) return false;
    this.#give(claim, keys);
    return true;
  }

  /**
   * Gives a name that the container has. Of others' records below it only those count that were there before: two
   * engines that take the keys of one name at the same time have both some of them, and the oldest key decides.
   */
  #keepName(claim: Claim, name: string): boolean {
    const keys = keysOfName(name);
    const needed = claim.wishes.map((wish) => keyAmong(keys, wish));
    let isHeld = false;
    let since = Number.POSITIVE_INFINITY;
    let othersSince = Number.POSITIVE_INFINITY;
    for (const key of keys) {
      if (this.#claimed.has(key)) return false;
      const actual = this.#input.actual.get(key);
      if (actual === undefined) continue;
      const { createRevision } = actual.entry;
      if (!actual.isOwn) othersSince = Math.min(othersSince, createRevision);
      else if (isSameContainer(actual, claim)) {
        isHeld = true;
        if (needed.includes(key)) since = Math.min(since, createRevision);
      }
    }
    const isFirst = othersSince === Number.POSITIVE_INFINITY || since < othersSince;
    if (!isHeld || !isFirst || !needed.every((key) => this.#isFree(key, claim))) return false;
    this.#give(claim, keys);
    return true;
  }

  #isFree(key: string, claim: Claim): boolean {
    if (this.#claimed.has(key)) return false;
    const actual = this.#input.actual.get(key);
    if (actual === undefined) return true;
    if (!actual.isOwn || actual.owner === undefined) return false;
    // What another container of ours left is ours to reuse, if we know that it no longer wants it.
    return isSameContainer(actual, claim) || this.#input.isKnown(actual.owner.containerId);
  }

  /** The name is the claim's with all of its keys, whichever of them it has records at. */
  #give(claim: Claim, keys: NameKeys): void {
    for (const wish of claim.wishes) {
      const key = keyAmong(keys, wish);
      this.#assignments.push({ kind: 'key', wish, key, value: wish.value });
    }
    for (const key of keys) this.#claimed.set(key, claim);
  }

  #refuse(wish: Wish, name: string, claim: Claim): void {
    this.#assignments.push({ kind: 'taken', wish, key: name, holder: this.#holderOf(name, claim) });
  }

  #holderOf(name: string, claim: Claim): string {
    const key = keysOfName(name).find((each) => !this.#isFree(each, claim)) ?? name;
    const claimant = this.#claimed.get(key);
    if (claimant !== undefined) return `container ${claimant.containerId} of this engine`;
    const owner = this.#input.actual.get(key)?.owner;
    if (owner === undefined) return 'a record that no registrar wrote';
    return `container ${owner.containerId} of engine ${owner.engineId}`;
  }
}

/** Of a name's keys the one for the wish's family. */
function keyAmong([own, v4, v6]: NameKeys, { record: { family } }: Wish): string {
  if (family === undefined) return own;
  return family === 'ipv4' ? v4 : v6;
}

function isSameContainer({ owner }: ActualRecord, claim: Claim): boolean {
  return owner?.containerId === claim.containerId;
}

/** The number of a stored key below a base, if its name ends in one. */
export function parseNumberedKey(key: string): { base: string; number: number } | undefined {
  const [, base, digits] = /^(.*)\/([1-9][0-9]{0,8})$/.exec(nameKeyOf(key)) ?? [];
  return base === undefined ? undefined : { base, number: Number(digits) };
}

function numbersOf(own: Iterable<ActualRecord>): Map<string, number[]> {
  const numbers = new Map<string, number[]>();
  for (const { entry, owner } of own) {
    const parsed = parseNumberedKey(entry.key);
    if (parsed === undefined) continue;
    const id = numberId(owner?.containerId, parsed.base);
    const some = numbers.get(id);
    if (some === undefined) numbers.set(id, [parsed.number]);
    else some.push(parsed.number);
  }
  for (const some of numbers.values()) some.sort((a, b) => a - b);
  return numbers;
}

function numberId(containerId: string | undefined, base: string): string {
  return `${containerId} ${base}`;
}

/** A description has each name once, with one record or with one for each family. */
function claimsOf(wishes: readonly Wish[]): Claim[] {
  const claims = new Map<string, Claim & { wishes: Wish[] }>();
  for (const wish of wishes) {
    const { key, instance, preferredNumber } = wish.record;
    const { containerId } = wish.owner;
    const id = `${instance} ${containerId} ${key}`;
    const claim = claims.get(id);
    if (claim !== undefined) claim.wishes.push(wish);
    else claims.set(id, { containerId, instance, key, preferredNumber, wishes: [wish] });
  }
  return [...claims.values()];
}

function byAge(a: Wish, b: Wish): number {
  return (
    compareTexts(a.owner.startedAt, b.owner.startedAt) ||
    compareTexts(a.containerId, b.containerId) ||
    compareTexts(a.record.key, b.record.key) ||
    compareTexts(a.record.family ?? '', b.record.family ?? '')
  );
}
