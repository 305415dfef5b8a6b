/**
 * Which key each wished record gets. A key has one holder: whoever holds it keeps it as long as he wants it, be it
 * another's record, another registrar or another container of ours; all others wait, or go where they may go instead.
 * PURE and deterministic: where there is a choice the container that started first goes first.
 */
import type { ActualRecord } from './actual.ts';
import { compareTexts } from './container.ts';
import type { DesiredRecord } from './description.ts';
import type { Owner } from './record.ts';

/** A record that a container should have, with the stamp that it gets. */
export interface Wish {
  readonly containerId: string;
  readonly owner: Owner;
  readonly record: DesiredRecord;
  /** `recordValue` of the two. */
  readonly value: Uint8Array;
}

export type Assignment =
  | { readonly kind: 'key'; readonly wish: Wish; readonly key: string }
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
  const wishes = [...input.wishes].sort(byAge);
  const named = wishes.filter(({ record }) => record.instance === 'named');
  const rest = named.filter((wish) => !round.keep(wish));
  for (const wish of rest) round.take(wish);
  const groups = groupAutos(wishes.filter(({ record }) => record.instance === 'auto'));
  const unnumbered = groups.filter((group) => !round.keepNumber(group));
  const fresh = unnumbered.filter((group) => !round.resumeNumber(group));
  for (const group of fresh) round.takeNumber(group);
  return round.assignments;
}

/** Records of one container below one base: the same number for all of them. */
interface Group {
  /** First 12 digits. */
  readonly containerId: string;
  readonly base: string;
  readonly wishes: readonly Wish[];
}

class Round {
  readonly assignments: Assignment[] = [];
  readonly #input: AssignInput;
  readonly #claimed = new Map<string, Wish>();
  readonly #ownNumbers: ReadonlyMap<string, readonly number[]>;

  constructor(input: AssignInput) {
    this.#input = input;
    const hasAuto = input.wishes.some(({ record }) => record.instance === 'auto');
    this.#ownNumbers = hasAuto ? numbersOf(input.actual.own()) : new Map();
  }

  /** Gives the key to the container that has it already. */
  keep(wish: Wish): boolean {
    const { key } = wish.record;
    if (this.#claimed.has(key)) return false;
    const actual = this.#input.actual.get(key);
    if (actual?.isOwn !== true || !isSameContainer(actual, wish)) return false;
    this.#give(wish, key);
    return true;
  }

  take(wish: Wish): void {
    const { key, keyIfTaken } = wish.record;
    if (this.#isFree(key, wish)) this.#give(wish, key);
    else if (keyIfTaken !== undefined && this.#isFree(keyIfTaken, wish))
      this.#give(wish, keyIfTaken);
    else this.assignments.push({ kind: 'taken', wish, key, holder: this.#holderOf(key) });
  }

  keepNumber(group: Group): boolean {
    const numbers = this.#ownNumbers.get(numberKey(group.containerId, group.base)) ?? [];
    const number = numbers.find((each) => this.#isNumberFree(group, each));
    if (number !== undefined) this.#giveNumber(group, number);
    return number !== undefined;
  }

  /** Gives the number of an earlier life, before anybody else takes it. */
  resumeNumber(group: Group): boolean {
    const former = this.#input.formerNumber(group.containerId, group.base);
    if (former === undefined || !this.#isNumberFree(group, former)) return false;
    this.#giveNumber(group, former);
    return true;
  }

  takeNumber(group: Group): void {
    let number = 1;
    while (!this.#isNumberFree(group, number)) number++;
    this.#giveNumber(group, number);
  }

  #isNumberFree({ wishes }: Group, number: number): boolean {
    return wishes.every((wish) => this.#isFree(numberedKey(wish.record, number), wish));
  }

  #giveNumber({ wishes }: Group, number: number): void {
    for (const wish of wishes) this.#give(wish, numberedKey(wish.record, number));
  }

  #isFree(key: string, wish: Wish): boolean {
    if (this.#claimed.has(key)) return false;
    const actual = this.#input.actual.get(key);
    if (actual === undefined) return true;
    if (!actual.isOwn || actual.owner === undefined) return false;
    // What another container of ours left is ours to reuse, if we know that it no longer wants it.
    return isSameContainer(actual, wish) || this.#input.isKnown(actual.owner.containerId);
  }

  #give(wish: Wish, key: string): void {
    this.#claimed.set(key, wish);
    this.assignments.push({ kind: 'key', wish, key });
  }

  #holderOf(key: string): string {
    const claimant = this.#claimed.get(key);
    if (claimant !== undefined) return `container ${claimant.owner.containerId} of this engine`;
    const owner = this.#input.actual.get(key)?.owner;
    if (owner === undefined) return 'a record that no registrar wrote';
    return `container ${owner.containerId} of engine ${owner.engineId}`;
  }
}

function isSameContainer({ owner }: ActualRecord, wish: Wish): boolean {
  return owner?.containerId === wish.owner.containerId;
}

function numberedKey({ key, instanceSuffix = '' }: DesiredRecord, number: number): string {
  return `${key}/${number}${instanceSuffix}`;
}

/** The number of a key below a base, if it is one that `numberedKey` gives. */
export function parseNumberedKey(key: string): { base: string; number: number } | undefined {
  const [, base, digits] = /^(.*)\/([1-9][0-9]{0,8})(?:-[a-z0-9-]+)?$/.exec(key) ?? [];
  return base === undefined ? undefined : { base, number: Number(digits) };
}

function numbersOf(own: Iterable<ActualRecord>): Map<string, number[]> {
  const numbers = new Map<string, number[]>();
  for (const { entry, owner } of own) {
    const parsed = parseNumberedKey(entry.key);
    if (parsed === undefined) continue;
    const id = numberKey(owner?.containerId, parsed.base);
    const some = numbers.get(id);
    if (some === undefined) numbers.set(id, [parsed.number]);
    else some.push(parsed.number);
  }
  for (const some of numbers.values()) some.sort((a, b) => a - b);
  return numbers;
}

function numberKey(containerId: string | undefined, base: string): string {
  return `${containerId} ${base}`;
}

/** A container may have the same suffix twice below a base, for two of its ports: those are two groups. */
function groupAutos(wishes: readonly Wish[]): Group[] {
  const groups = new Map<string, Group & { wishes: Wish[] }>();
  const seen = new Map<string, number>();
  for (const wish of wishes) {
    const { key: base, instanceSuffix = '' } = wish.record;
    const { containerId } = wish.owner;
    const leaf = `${containerId} ${base} ${instanceSuffix}`;
    const nth = seen.get(leaf) ?? 0;
    seen.set(leaf, nth + 1);
    const id = `${containerId} ${base} ${nth}`;
    const group = groups.get(id);
    if (group === undefined) groups.set(id, { containerId, base, wishes: [wish] });
    else group.wishes.push(wish);
  }
  return [...groups.values()];
}

function byAge(a: Wish, b: Wish): number {
  return (
    compareTexts(a.owner.startedAt, b.owner.startedAt) ||
    compareTexts(a.containerId, b.containerId) ||
    compareTexts(a.record.key, b.record.key)
  );
}
