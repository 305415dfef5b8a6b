/** Which names stand above which, and how far up that matters. PURE. */
import { isReverseName } from '../../dns/address.ts';
import { type Name, printName } from '../../dns/name.ts';
import type { Entry } from '../../service/change.ts';
import { keyOfName, nameOfKey } from '../../service/key.ts';
import { parseService } from '../../service/service.ts';
import { ownerOf } from '../describe/record.ts';

/** PTR records are in these zones, whichever zones are served. */
const REVERSE_ZONES: readonly Name[] = [
  ['in-addr', 'arpa'],
  ['ip6', 'arpa'],
];

const DOT = 0x2e;
const CAPITAL_A = 0x41;
const CAPITAL_Z = 0x5a;

/**
 * The canonical key of the name that a key stands for. Several keys may stand for one name: with capitals, with a slash
 * at the end, and with several labels in one component, as registrator writes them (`web/a.b` for `web/b/a`).
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

/** Without a regular expression, as it is asked of every key that is written anywhere. */
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

  /** `prefix`: of the store's keys, as `keyPrefix` gives it. */
  constructor(prefix: string, zones: readonly Name[]) {
    this.#prefix = prefix;
    const paths = [...zones, ...REVERSE_ZONES].map((zone) => keyOfName(zone, prefix) ?? '');
    this.#zones = new Set(paths.map(pathOf));
  }

  /**
   * The names above a name, the nearest first, within its zone. A value at the zone's own key claims no more than that
   * key, as every name of the zone is below it.
   */
  *above(path: string): Generator<string, void, undefined> {
    for (let at = parentPath(path); at.length >= this.#prefix.length; at = parentPath(at)) {
      if (this.#zones.has(at)) return;
      yield at;
    }
  }

  /** Whether an entry is at a name. The mark of an empty directory is not, nor is a key that no name can have. */
  isNamed({ key, value }: Entry): boolean {
    if (value.length === 0 && key.endsWith('/')) return false;
    return nameOfKey(key, this.#prefix).kind === 'name';
  }

  /** The name of a key without the final dot; the key itself where it stands for no name. */
  print(key: string): string {
    const named = nameOfKey(key, this.#prefix);
    return named.kind === 'name' ? printName(named.owner).replace(/\.$/, '') : key;
  }
}

/**
 * Values that count for nothing because there are names below theirs, and what hides them. Reverse names hide nothing:
 * PTR is looked for one label below, too. PURE.
 */

/** A value, and who wrote it. */
export interface HeldValue {
  readonly key: string;
  /** `container 0123456789ab of engine E`; `undefined`: no registrar wrote it. */
  readonly holder: string | undefined;
}

export interface HiddenValue extends HeldValue {
  /** Some of them, those of other holders first. */
  readonly by: readonly HeldValue[];
  /** All of them. */
  readonly count: number;
  /** Whether one of those has another holder. */
  readonly isByOthers: boolean;
}

const MAX_LISTED = 8;

export class HiddenValues {
  readonly #prefix: string;
  readonly #values = new Map<string, HeldValue[]>();

  /** `prefix`: as `keyPrefix` gives it. */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** What is no service at a name hides nothing and is not hidden. */
  add({ key, value }: Entry): void {
    const named = nameOfKey(key, this.#prefix);
    if (named.kind !== 'name' || isReverseName(named.owner)) return;
    if (key === `${this.#prefix}config` || parseService(value).kind !== 'service') return;
    const held = { key, holder: printHolder(value) };
    const path = pathOf(key);
    const others = this.#values.get(path);
    if (others === undefined) this.#values.set(path, [held]);
    else others.push(held);
  }

  /** By key. */
  find(): ReadonlyMap<string, HiddenValue> {
    const hiders = new Map<string, HeldValue[]>();
    for (const [path, values] of this.#values)
      for (let above = parentPath(path); above !== ''; above = parentPath(above)) {
        if (!this.#values.has(above)) continue;
        const found = hiders.get(above);
        if (found === undefined) hiders.set(above, [...values]);
        else for (const value of values) found.push(value);
      }
    const hidden = [...hiders].flatMap(([path, by]) =>
      (this.#values.get(path) ?? []).map((value) => [value.key, hiddenValue(value, by)] as const),
    );
    return new Map(hidden);
  }
}

function hiddenValue(value: HeldValue, by: readonly HeldValue[]): HiddenValue {
  const others = by.filter(({ holder }) => holder !== value.holder);
  const listed = [...others, ...by.filter(({ holder }) => holder === value.holder)];
  const isByOthers = others.length > 0;
  return { ...value, by: listed.slice(0, MAX_LISTED), count: by.length, isByOthers };
}

/** Whose a value is, in words. */
export function printHolder(value: Uint8Array): string | undefined {
  const owner = ownerOf(value);
  return owner && `container ${owner.shortId} of engine ${owner.id}`;
}
