/** Which of others' records a registrar has to know: those at, above and below the names that it wants. PURE. */
import { nameKeyOf } from './claim.ts';
import { type Namespace, parentPath } from './namespace.ts';

/** Names by their paths. */
export interface Wanted {
  readonly names: ReadonlySet<string>;
  /** Names that are not in the way of what is above or below them: those of PTR records. */
  readonly pointers: ReadonlySet<string>;
  /** Names under which numbers are claimed. */
  readonly bases: ReadonlySet<string>;
}

export type Concern =
  | { readonly kind: 'none' }
  /** At a wanted name, at a number, or above one of them. */
  | { readonly kind: 'direct' }
  /** The nearest wanted name that it is below. */
  | { readonly kind: 'below'; readonly name: string };

const NONE: Concern = { kind: 'none' };
const DIRECT: Concern = { kind: 'direct' };

export class Interest {
  readonly wanted: Wanted;
  readonly #namespace: Namespace;
  readonly #above = new Set<string>();

  constructor(wanted: Wanted, namespace: Namespace) {
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

  concernOf(path: string): Concern {
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

  isOf(wanted: Wanted, namespace: Namespace): boolean {
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
