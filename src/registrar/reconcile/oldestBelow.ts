/**
 * Chooses which records of other owners below a wanted name are kept: the oldest few. One of them is enough to keep the
 * name from us, and the oldest decides whether it does. Other owners may write a million, so memory has to be bounded.
 */

/** Per wanted name. */
export const MAX_KEPT_BELOW = 16;

interface Subtree {
  /** The revision since which the owner has the name, by key. */
  readonly members: Map<string, number>;
  /** Records were dropped. */
  hasMore: boolean;
}

export type OfferResult =
  /** `evicted`: the key of the record that it replaces. */
  { readonly kind: 'kept'; readonly evicted: string | undefined } | { readonly kind: 'dropped' };

export class OldestBelow {
  readonly #subtrees = new Map<string, Subtree>();
  /** Names whose kept records are gone, although others were dropped. */
  readonly #incomplete = new Set<string>();

  /** Decides whether to keep a record below that name. */
  offer(name: string, key: string, since: number): OfferResult {
    const subtree = this.#subtrees.get(name) ?? {
      members: new Map<string, number>(),
      hasMore: false,
    };
    this.#subtrees.set(name, subtree);
    const { members } = subtree;
    if (members.has(key) || members.size < MAX_KEPT_BELOW) {
      members.set(key, since);
      return { kind: 'kept', evicted: undefined };
    }
    subtree.hasMore = true;
    const [youngest, youngestSince] = youngestOf(members);
    if (since >= youngestSince) return { kind: 'dropped' };
    members.delete(youngest);
    members.set(key, since);
    return { kind: 'kept', evicted: youngest };
  }

  remove(name: string, key: string): void {
    const subtree = this.#subtrees.get(name);
    if (subtree?.members.delete(key) !== true || subtree.members.size > 0) return;
    this.#subtrees.delete(name);
    if (subtree.hasMore) this.#incomplete.add(name);
  }

  /** There may be records below that name that were never offered. */
  markIncomplete(name: string): void {
    const subtree = this.#subtrees.get(name);
    if (subtree === undefined) this.#incomplete.add(name);
    else subtree.hasMore = true;
  }

  /** Forgets everything. Returns the names below which records were dropped. */
  clear(): readonly string[] {
    const partial = [...this.#subtrees].flatMap(([name, { hasMore }]) => (hasMore ? [name] : []));
    this.#subtrees.clear();
    return [...partial, ...this.takeIncomplete()];
  }

  /** The names below which the store has to be read again. Returns each once. */
  takeIncomplete(): readonly string[] {
    const names = [...this.#incomplete];
    this.#incomplete.clear();
    return names;
  }
}

function youngestOf(members: ReadonlyMap<string, number>): readonly [key: string, since: number] {
  let youngest: readonly [string, number] = ['', Number.NEGATIVE_INFINITY];
  for (const member of members) if (member[1] > youngest[1]) youngest = member;
  return youngest;
}
