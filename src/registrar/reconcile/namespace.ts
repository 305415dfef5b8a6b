/** Paths of names, and the names above a name within its zone. Pure. */
import { type Name, printName } from '../../dns/name.ts';
import type { Entry } from '../../service/change.ts';
import { keyOfName, nameOfKey } from '../../service/key.ts';

/** PTR records are in these zones, even if the registrar does not serve them. */
const REVERSE_ZONES: readonly Name[] = [
  ['in-addr', 'arpa'],
  ['ip6', 'arpa'],
];

const DOT = 0x2e;
const CAPITAL_A = 0x41;
const CAPITAL_Z = 0x5a;

/**
 * The path of the name that a key stands for: its canonical key. Several keys may stand for one name: with capitals,
 * with a slash at the end, and with several labels in one component, as registrator writes them (`web/a.b` for
 * `web/b/a`).
 */
export function pathOf(key: string): string {
  if (isCanonical(key)) return key;
  return key
    .replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
    .replace(/\/$/, '')
    .split('/')
    .map((component) => component.split('.').reverse().join('/'))
    .join('/');
}

/** Without a regular expression, because the mirror calls it for every key of the store. */
function isCanonical(key: string): boolean {
  for (let i = 0; i < key.length; i++) {
    const code = key.charCodeAt(i);
    if (code === DOT || (code >= CAPITAL_A && code <= CAPITAL_Z)) return false;
  }
  return !key.endsWith('/');
}

/** The path of the name one label shorter. */
export function parentPath(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}

export class Namespace {
  readonly #prefix: string;
  readonly #zones: ReadonlySet<string>;

  /** `prefix`: of the store's keys, as `keyPrefix` returns it. */
  constructor(prefix: string, zones: readonly Name[]) {
    this.#prefix = prefix;
    const paths = [...zones, ...REVERSE_ZONES].map((zone) => keyOfName(zone, prefix) ?? '');
    this.#zones = new Set(paths.map(pathOf));
  }

  /**
   * The names above a name within its zone, the nearest first. The zone's own name is not among them: every name of the
   * zone is below it, so a value there claims only its own key.
   */
  *above(path: string): Generator<string, void, undefined> {
    for (let at = parentPath(path); at.length >= this.#prefix.length; at = parentPath(at)) {
      if (this.#zones.has(at)) return;
      yield at;
    }
  }

  /**
   * Whether the entry's key stands for a name. The mark of an empty directory does not, and neither does a key that
   * no name can have.
   */
  isNamed({ key, value }: Entry): boolean {
    if (value.length === 0 && key.endsWith('/')) return false;
    return nameOfKey(key, this.#prefix).kind === 'name';
  }

  /** The name of a key, without the final dot; the key itself if it stands for no name. */
  print(key: string): string {
    const named = nameOfKey(key, this.#prefix);
    return named.kind === 'name' ? printName(named.owner).replace(/\.$/, '') : key;
  }

  /**
   * The argument with which the commands find the key: its name, or the key itself if its name leads to another key.
   */
  argumentFor(key: string): string {
    return isCanonical(key) ? this.print(key) : key;
  }
}
