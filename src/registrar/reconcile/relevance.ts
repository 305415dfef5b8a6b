/** Which records of other owners matter to a registrar: those at, above and below the names that it wants. Pure. */
import { nameKeyOf } from '../describe/storedValue.ts';
import { type Namespace, parentPath } from './namespace.ts';

/** Names, as paths. */
export interface WantedNames {
  readonly names: ReadonlySet<string>;
  /** Names of PTR records, which conflict with no name above or below them. */
  readonly pointers: ReadonlySet<string>;
  /** Names below which containers claim numbers. */
  readonly bases: ReadonlySet<string>;
}

export type Relevance =
  | { readonly kind: 'none' }
  /** At a key of a wanted name or number, or of a name above one. */
  | { readonly kind: 'direct' }
  /** `name`: the nearest wanted name or number above it. */
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

  /** The names above the wanted ones. */
  above(): ReadonlySet<string> {
    return this.#above;
  }

  relevanceOf(path: string): Relevance {
    const { names, pointers, bases } = this.wanted;
    const name = nameKeyOf(path);
    if (names.has(path) || names.has(name)) return DIRECT;
    if (pointers.has(path) || this.#above.has(name)) return DIRECT;
    if (names.size === 0 && bases.size === 0) return NONE;
    for (let at = path; at !== ''; ) {
      const parent = parentPath(at);
      if (bases.has(parent) && isNumber(at.slice(parent.length + 1)))
        return at === path || at === name ? DIRECT : { kind: 'below', name: at };
      if (names.has(parent)) return { kind: 'below', name: parent };
      at = parent;
    }
    return NONE;
  }

  /** Whether it was made from equal arguments. */
  isFor(wanted: WantedNames, namespace: Namespace): boolean {
    const { names, pointers, bases } = this.wanted;
    return (
      namespace === this.#namespace &&
      isSame(names, wanted.names) &&
      isSame(pointers, wanted.pointers) &&
      isSame(bases, wanted.bases)
    );
  }

  /** Stops at a name that was added before, because the names above it were added with it. */
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
