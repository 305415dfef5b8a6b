/**
 * Chooses which records of other owners below a wanted name are kept: the oldest few. One of them is enough to keep the
 * name from us, and the oldest decides whether it does. Other owners may write a million, so memory has to be bounded.
 */

/** Per wanted name. */
export const MAX_KEPT_BELOW = 16;

interface Subtree {
  /** The revision since which the owner has the name, by key. */
  readonly members: Map<string, number>;
  /** No record that was dropped is older. `Infinity`: none was dropped. */
  droppedSince: number;
}

export type OfferResult =
  /** `evicted`: the key of the record that it replaces. */
  { readonly kind: 'kept'; readonly evicted: string | undefined } | { readonly kind: 'dropped' };

export class OldestBelow {
  readonly #subtrees = new Map<string, Subtree>();
  /** Names below which a dropped record may be older than every kept one. */
  readonly #incomplete = new Set<string>();

  /** Decides whether to keep a record below that name. */
  offer(name: string, key: string, since: number): OfferResult {
    const subtree = this.#subtreeOf(name);
    const { members } = subtree;
    if (members.has(key) || members.size < MAX_KEPT_BELOW) {
      members.set(key, since);
      this.#check(name, subtree);
      return { kind: 'kept', evicted: undefined };
    }
    const [youngest, youngestSince] = youngestOf(members);
    subtree.droppedSince = Math.min(subtree.droppedSince, Math.max(since, youngestSince));
    if (since >= youngestSince) return { kind: 'dropped' };
    members.delete(youngest);
    members.set(key, since);
    return { kind: 'kept', evicted: youngest };
  }

  remove(name: string, key: string): void {
    const subtree = this.#subtrees.get(name);
    if (subtree?.members.delete(key) === true) this.#check(name, subtree);
  }

  /** There may be records below that name that were never offered; none is older than `since`. */
  noteDropped(name: string, since: number): void {
    const subtree = this.#subtreeOf(name);
    subtree.droppedSince = Math.min(subtree.droppedSince, since);
    this.#check(name, subtree);
  }

  /** Forgets everything. Returns the names below which records were dropped, and since when the oldest may exist. */
  clear(): ReadonlyMap<string, number> {
    const dropped = new Map<string, number>();
    for (const [name, { droppedSince }] of this.#subtrees)
      if (droppedSince < Number.POSITIVE_INFINITY) dropped.set(name, droppedSince);
    for (const name of this.takeIncomplete()) dropped.set(name, 0);
    this.#subtrees.clear();
    return dropped;
  }

  /** The names below which the store has to be read again. Returns each once. */
  takeIncomplete(): readonly string[] {
    const names = [...this.#incomplete];
    this.#incomplete.clear();
    return names;
  }

  #subtreeOf(name: string): Subtree {
    const known = this.#subtrees.get(name);
    if (known !== undefined) return known;
    const subtree = { members: new Map<string, number>(), droppedSince: Number.POSITIVE_INFINITY };
    this.#subtrees.set(name, subtree);
    return subtree;
  }

  /** The oldest record must be among the kept ones. If it may not be, all records have to be offered again. */
  #check(name: string, subtree: Subtree): void {
    const { members, droppedSince } = subtree;
    if (Math.min(...members.values()) > droppedSince) {
      this.#incomplete.add(name);
      subtree.droppedSince = Number.POSITIVE_INFINITY;
    }
    if (members.size === 0) this.#subtrees.delete(name);
  }
}

function youngestOf(members: ReadonlyMap<string, number>): readonly [key: string, since: number] {
  let youngest: readonly [string, number] = ['', Number.NEGATIVE_INFINITY];
  for (const member of members) if (member[1] > youngest[1]) youngest = member;
  return youngest;
}
