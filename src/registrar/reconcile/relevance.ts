/** Which of others' records a registrar has to know: those at, above and below the names that it wants. PURE. */
import { nameKeyOf } from '../describe/record.ts';
import { type Namespace, parentPath } from './namespace.ts';

/** Names by their paths. */
export interface WantedNames {
  readonly names: ReadonlySet<string>;
  /** Names that are not in the way of what is above or below them: those of PTR records. */
  readonly pointers: ReadonlySet<string>;
  /** Names under which numbers are claimed. */
  readonly bases: ReadonlySet<string>;
}

export type Relevance =
  | { readonly kind: 'none' }
  /** At a wanted name, at a number, or above one of them. */
  | { readonly kind: 'direct' }
  /** The nearest wanted name that it is below. */
  | { readonly kind: 'below'; readonly name: string };

const NONE: Relevance = { kind: 'none' };
const DIRECT: Relevance = { kind: 'direct' };

export class RelevantNames {
  readonly wanted: WantedNames;
  readonly #namespace: Namespace;
  readonly #above = new Set<string>();

  constructor(wanted: WantedNames, namespace: Namespace) {
    this.wanted = wanted;
    this.#namespace = namespace;
    for (const name of wanted.names) this.#addAbove(name);
    for (const base of wanted.bases) {
      this.#above.add(base);
      this.#addAbove(base);
    }
  }

  /** The names above those that are wanted, each once. */
  above(): ReadonlySet<string> {
    return this.#above;
  }

  relevanceOf(path: string): Relevance {
    const { names, pointers, bases } = this.wanted;
    if (names.has(path) || pointers.has(path) || this.#above.has(nameKeyOf(path))) return DIRECT;
    if (names.size === 0 && bases.size === 0) return NONE;
    for (let at = path; at !== ''; ) {
      const parent = parentPath(at);
      if (bases.has(parent) && isNumber(at.slice(parent.length + 1)))
        return at === path ? DIRECT : { kind: 'below', name: at };
      if (names.has(parent)) return { kind: 'below', name: parent };
      at = parent;
    }
    return NONE;
  }

  isFor(wanted: WantedNames, namespace: Namespace): boolean {
    const { names, pointers, bases } = this.wanted;
    return (
      namespace === this.#namespace &&
      isSame(names, wanted.names) &&
      isSame(pointers, wanted.pointers) &&
      isSame(bases, wanted.bases)
    );
  }

  /** Ends where another name has been: all above that is added with it. */
  #addAbove(path: string): void {
    for (const above of this.#namespace.above(path)) {
      if (this.#above.has(above)) return;
      this.#above.add(above);
    }
  }
}

function isNumber(label: string): boolean {
  return /^[1-9][0-9]{0,8}$/.test(label);
}

function isSame(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  if (a.size !== b.size) return false;
  for (const each of a) if (!b.has(each)) return false;
  return true;
}

/**
 * Of others' records below a wanted name the oldest few: one of them is enough to keep the name from us, and the oldest
 * one decides whether it does. There may be a million, and their number is not ours to choose.
 */

/** Kept for each name. */
export const MAX_KEPT_BELOW = 16;

interface Subtree {
  /** By key, the revisions since which their owners have the names. */
  readonly members: Map<string, number>;
  /** There were others, which were not kept. */
  hasMore: boolean;
}

export type OfferResult =
  /** `evicted`: the key that makes room. */
  { readonly kind: 'in'; readonly evicted: string | undefined } | { readonly kind: 'out' };

export class OldestBelow {
  readonly #subtrees = new Map<string, Subtree>();
  /** Names that had more than were kept, of which none is left. */
  readonly #incomplete = new Set<string>();

  /** Whether to keep a record below that name. */
  offer(name: string, key: string, since: number): OfferResult {
    const crowd = this.#subtrees.get(name) ?? {
      members: new Map<string, number>(),
      hasMore: false,
    };
    this.#subtrees.set(name, crowd);
    const { members } = crowd;
    if (members.has(key) || members.size < MAX_KEPT_BELOW) {
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

  remove(name: string, key: string): void {
    const crowd = this.#subtrees.get(name);
    if (crowd?.members.delete(key) !== true || crowd.members.size > 0) return;
    this.#subtrees.delete(name);
    if (crowd.hasMore) this.#incomplete.add(name);
  }

  /** There may be records below that name which were never offered. */
  markIncomplete(name: string): void {
    const crowd = this.#subtrees.get(name);
    if (crowd === undefined) this.#incomplete.add(name);
    else crowd.hasMore = true;
  }

  /** Forgets everything; gives the names of which not all records are known. */
  clear(): readonly string[] {
    const partial = [...this.#subtrees].flatMap(([name, { hasMore }]) => (hasMore ? [name] : []));
    this.#subtrees.clear();
    return [...partial, ...this.takeIncomplete()];
  }

  /** The names below which the store is to be read again, each given once. */
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
