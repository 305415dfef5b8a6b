/**
 * Which key each wished record gets. A name has one holder, which keeps it until it is released: a record that no
 * registrar wrote, a container of another engine, or another of our containers. All others wait, or go where they may go
 * instead. PURE and deterministic: where there is a choice the container that started first goes first.
 */
import type { ActualRecord } from './actual.ts';
import { keysOfName, type NameKeys, nameKeyOf } from './claim.ts';
import { compareTexts } from './container.ts';
import type { DesiredRecord } from './description.ts';
import { identityOf } from './identity.ts';
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
  readonly actual: {
    get(key: string): ActualRecord | undefined;
    /** Our own ones, those that dangle, and others' where something is wished for. */
    records(): Iterable<ActualRecord>;
  };
  /** Whether it is known what that container (first 12 digits) should have. Records of others stay as they are. */
  isKnown(containerId: string): boolean;
  readonly owners: Owners;
  /** The number that a container (first 12 digits) had below a base in an earlier life. */
  formerNumber(containerId: string, base: string): number | undefined;
}

/** What is known of the owners of others' records. */
export interface Owners {
  /** Whether no registrar keeps that owner's records any more. Those of our own containers are ours to write. */
  isAbandoned(ownerId: string): boolean;
  /** Whether it is one of our engine's id that has no lock, so that its records should have ended with their lease. */
  isGone(ownerId: string): boolean;
  /** Whether it is the registrar of another engine with our engine's id. Containers that were cloned have one id, too. */
  isClone(ownerId: string): boolean;
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
  const unheld = unnumbered.filter((claim) => !round.waitForNumber(claim));
  const fresh = unheld.filter((claim) => !round.resumeNumber(claim));
  const others = fresh.filter((claim) => !round.takePreferredNumber(claim));
  for (const claim of others) round.takeNumber(claim);
  return round.finish();
}

/** The records of one container under one name: one, or one for each family. */
interface Claim {
  /** First 12 digits. */
  readonly containerId: string;
  readonly owner: Owner;
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
  /** By container and base, whoever wrote the record. */
  readonly #storedNumbers: ReadonlyMap<string, readonly number[]>;

  constructor(input: AssignInput) {
    this.#input = input;
    const hasAuto = input.wishes.some(({ record }) => record.instance === 'auto');
    this.#storedNumbers = hasAuto ? numbersOf(input.actual.records()) : new Map();
  }

  /** Leaves the name with the container that has it already. */
  keep(claim: Claim): boolean {
    const other = keyIfCloned(claim);
    return (
      this.#keepName(claim, claim.key) || (other !== undefined && this.#keepName(claim, other))
    );
  }

  take(claim: Claim): void {
    const { key, wishes } = claim;
    const keyIfTaken = wishes[0]?.record.keyIfTaken;
    if (this.#takeName(claim, key)) return;
    if (keyIfTaken !== undefined && this.#takeName(claim, keyIfTaken)) return;
    const other = this.#isClones(key, claim) ? keyIfCloned(claim) : undefined;
    if (other !== undefined && this.#takeName(claim, other)) return;
    for (const wish of wishes) this.#refuse(wish, key, claim);
  }

  keepNumber(claim: Claim): boolean {
    const numbers = this.#storedNumbersOf(claim);
    const number = numbers.find((each) => this.#keepName(claim, `${claim.key}/${each}`));
    if (number !== undefined) this.#noteNumber(claim, number);
    return number !== undefined;
  }

  /** A container that another registrar of this engine has given a number needs no second one. */
  waitForNumber(claim: Claim): boolean {
    const names = this.#storedNumbersOf(claim).map((number) => `${claim.key}/${number}`);
    const name = names.find((each) => keysOfName(each).some((key) => this.#isKept(key, claim)));
    if (name === undefined) return false;
    for (const wish of claim.wishes) this.#refuse(wish, name, claim);
    return true;
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

  #storedNumbersOf({ containerId, key }: Claim): readonly number[] {
    return this.#storedNumbers.get(numberId(containerId, key)) ?? [];
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
      if (!actual.isOwn && !this.#isInherited(actual, claim))
        othersSince = Math.min(othersSince, createRevision);
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
    const { owner, isOwn } = actual;
    if (owner === undefined) return false;
    if (!isOwn) return this.#isInherited(actual, claim);
    // What another container of ours left is ours to reuse, if we know that it no longer wants it.
    return isSameContainer(actual, claim) || this.#input.isKnown(owner.containerId);
  }

  /** Whether an abandoned owner wrote it for the same life of the container, so that it cannot be a cloned one's. */
  #isInherited({ owner, isOwn }: ActualRecord, claim: Claim): boolean {
    if (owner === undefined || isOwn) return false;
    const isSameLife =
      owner.containerId === claim.containerId && owner.startedAt === claim.owner.startedAt;
    return isSameLife && this.#input.owners.isAbandoned(owner.id);
  }

  /** Whether another registrar of this engine keeps a record of the same container there. */
  #isKept(key: string, claim: Claim): boolean {
    const actual = this.#input.actual.get(key);
    if (actual?.owner === undefined || actual.isOwn || !isSameContainer(actual, claim))
      return false;
    const { isAbandoned, isClone } = this.#input.owners;
    return !isAbandoned(actual.owner.id) && !isClone(actual.owner.id);
  }

  /** Whether a container with the same id, on another engine, has the name. */
  #isClones(name: string, claim: Claim): boolean {
    return keysOfName(name).some((key) => {
      const actual = this.#input.actual.get(key);
      if (actual?.owner === undefined || !isSameContainer(actual, claim)) return false;
      return !actual.isOwn && this.#input.owners.isClone(actual.owner.id);
    });
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
    return `container ${owner.containerId} of engine ${owner.id}`;
  }
}

/** Of a name's keys the one for the wish's family. */
function keyAmong([own, v4, v6]: NameKeys, { record: { family } }: Wish): string {
  if (family === undefined) return own;
  return family === 'ipv4' ? v4 : v6;
}

/**
 * Where a container goes whose name ends in its id while a cloned container with that id has the name; `undefined`: its
 * name does not end so.
 */
export function keyIfCloned({ key, owner }: Pick<Claim, 'key' | 'owner'>): string | undefined {
  const { hostPart } = identityOf(owner.id);
  const endsInId = key.endsWith(`/${owner.containerId}`);
  return endsInId && hostPart !== '' ? `${key}-${hostPart}` : undefined;
}

function isSameContainer({ owner }: ActualRecord, claim: Claim): boolean {
  return owner?.containerId === claim.containerId;
}

/** The number of a stored key below a base, if its name ends in one. */
export function parseNumberedKey(key: string): { base: string; number: number } | undefined {
  const [, base, digits] = /^(.*)\/([1-9][0-9]{0,8})$/.exec(nameKeyOf(key)) ?? [];
  return base === undefined ? undefined : { base, number: Number(digits) };
}

function numbersOf(records: Iterable<ActualRecord>): Map<string, number[]> {
  const numbers = new Map<string, number[]>();
  for (const { entry, owner } of records) {
    const parsed = parseNumberedKey(entry.key);
    if (parsed === undefined || owner === undefined) continue;
    const id = numberId(owner.containerId, parsed.base);
    const some = numbers.get(id);
    if (some === undefined) numbers.set(id, [parsed.number]);
    else some.push(parsed.number);
  }
  for (const some of numbers.values()) some.sort((a, b) => a - b);
  return numbers;
}

function numberId(containerId: string, base: string): string {
  return `${containerId} ${base}`;
}

/** A description has each name once, with one record or with one for each family. */
function claimsOf(wishes: readonly Wish[]): Claim[] {
  const claims = new Map<string, Claim & { wishes: Wish[] }>();
  for (const wish of wishes) {
    const { key, instance, preferredNumber } = wish.record;
    const { owner } = wish;
    const { containerId } = owner;
    const id = `${instance} ${containerId} ${key}`;
    const claim = claims.get(id);
    if (claim !== undefined) claim.wishes.push(wish);
    else claims.set(id, { containerId, owner, instance, key, preferredNumber, wishes: [wish] });
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
