/**
 * Of others' records below a wanted name the oldest few: one of them is enough to keep the name from us, and the oldest
 * one decides whether it does. There may be a million, and their number is not ours to choose.
 */

/** Kept for each name. */
export const MAX_CROWD = 16;

interface Crowd {
  /** By key, the revisions since which their owners have the names. */
  readonly members: Map<string, number>;
  /** There were others, which were not kept. */
  hasMore: boolean;
}

export type Admission =
  /** `evicted`: the key that makes room. */
  { readonly kind: 'in'; readonly evicted: string | undefined } | { readonly kind: 'out' };

export class Crowds {
  readonly #crowds = new Map<string, Crowd>();
  /** Names that had more than were kept, of which none is left. */
  readonly #unsure = new Set<string>();

  /** Whether to keep a record below that name. */
  admit(name: string, key: string, since: number): Admission {
    const crowd = this.#crowds.get(name) ?? { members: new Map<string, number>(), hasMore: false };
    this.#crowds.set(name, crowd);
    const { members } = crowd;
    if (members.has(key) || members.size < MAX_CROWD) {
      members.set(key, since);
      return { kind: 'in', evicted: undefined };
    }
    crowd.hasMore = true;
    const [youngest, youngestSince] = youngestOf(members);
    if (since >= youngestSince) return { kind: 'out' };
    members.delete(youngest);
    members.set(key, since);
    return { kind: 'in', evicted: youngest };
  }

  leave(name: string, key: string): void {
    const crowd = this.#crowds.get(name);
    if (crowd?.members.delete(key) !== true || crowd.members.size > 0) return;
    this.#crowds.delete(name);
    if (crowd.hasMore) this.#unsure.add(name);
  }

  /** There may be records below that name which were never offered. */
  doubt(name: string): void {
    const crowd = this.#crowds.get(name);
    if (crowd === undefined) this.#unsure.add(name);
    else crowd.hasMore = true;
  }

  /** Forgets everything; gives the names of which not all records are known. */
  clear(): readonly string[] {
    const partial = [...this.#crowds].flatMap(([name, { hasMore }]) => (hasMore ? [name] : []));
    this.#crowds.clear();
    return [...partial, ...this.takeUnsure()];
  }

  /** The names below which the store is to be read again, each given once. */
  takeUnsure(): readonly string[] {
    const names = [...this.#unsure];
    this.#unsure.clear();
    return names;
  }
}

function youngestOf(members: ReadonlyMap<string, number>): readonly [key: string, since: number] {
  let youngest: readonly [string, number] = ['', Number.NEGATIVE_INFINITY];
  for (const member of members) if (member[1] > youngest[1]) youngest = member;
  return youngest;
}
