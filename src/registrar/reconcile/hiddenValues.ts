/**
 * Finds hidden values, which no answer contains because names below theirs have values, and the values that hide them.
 * Values that count at their own name only hide none, and neither do those too far below. Reverse names hide nothing,
 * because a PTR look-up also reads one label below. Values at and below a name with NS records are in no answer about
 * the names above. Pure.
 */
import { isReverseName } from '../../dns/address.ts';
import { Type } from '../../dns/rr.ts';
import type { Entry } from '../../service/change.ts';
import { nameOfKey } from '../../service/key.ts';
import { hasRecordsOnly, parseService } from '../../service/service.ts';
import { printHolder } from '../describe/storedValue.ts';
import { parentPath, pathOf } from './namespace.ts';

/** A value and its holder. */
export interface HeldValue {
  readonly key: string;
  /** `container 0123456789ab of engine E`; `undefined`: no registrar wrote it. */
  readonly holder: string | undefined;
}

export interface HiddenValue extends HeldValue {
  /** The first few values that hide it, those of other holders first. */
  readonly by: readonly HeldValue[];
  /** How many values hide it. */
  readonly count: number;
  /** Whether a value of another holder hides it. */
  readonly isByOthers: boolean;
}

const MAX_LISTED = 8;

interface PlacedValue extends HeldValue {
  /** It counts in the names above its own. */
  readonly isAggregate: boolean;
}

export class HiddenValues {
  readonly #prefix: string;
  readonly #aggregateDepth: number;
  readonly #values = new Map<string, PlacedValue[]>();
  /** Of the names with NS records. */
  readonly #delegated = new Set<string>();

  /** `prefix`: as `keyPrefix` returns it. */
  constructor(prefix: string, aggregateDepth: number) {
    this.#prefix = prefix;
    this.#aggregateDepth = aggregateDepth;
  }

  /** Ignores entries that are no services, or only records, at a name: they hide nothing, and nothing hides them. */
  add({ key, value }: Entry): void {
    const named = nameOfKey(key, this.#prefix);
    if (named.kind !== 'name' || isReverseName(named.owner)) return;
    const parsed = parseService(value);
    if (key === `${this.#prefix}config` || parsed.kind !== 'service') return;
    const path = pathOf(key);
    const { records } = parsed.service.attributes;
    if (records.some(({ type }) => type === Type.NS)) this.#delegated.add(path);
    if (hasRecordsOnly(parsed.service)) return;
    const { aggregate: isAggregate } = parsed.service.attributes;
    const held = { key, holder: printHolder(value), isAggregate };
    const others = this.#values.get(path);
    if (others === undefined) this.#values.set(path, [held]);
    else others.push(held);
  }

  /** The hidden values, by key. */
  find(): ReadonlyMap<string, HiddenValue> {
    const hiders = new Map<string, HeldValue[]>();
    for (const [path, all] of this.#values) {
      const values = this.#isDelegated(path) ? [] : all.filter(({ isAggregate }) => isAggregate);
      let levels = values.length > 0 ? this.#aggregateDepth : 0;
      for (let above = parentPath(path); above !== '' && levels > 0; above = parentPath(above)) {
        levels--;
        if (!this.#values.has(above)) continue;
        const found = hiders.get(above);
        if (found === undefined) hiders.set(above, [...values]);
        else for (const value of values) found.push(value);
      }
    }
    const hidden = [...hiders].flatMap(([path, by]) =>
      (this.#values.get(path) ?? []).map((value) => [value.key, hiddenValue(value, by)] as const),
    );
    return new Map(hidden);
  }

  #isDelegated(path: string): boolean {
    if (this.#delegated.size === 0) return false;
    for (let at = path; at !== ''; at = parentPath(at)) if (this.#delegated.has(at)) return true;
    return false;
  }
}

function hiddenValue({ key, holder }: HeldValue, by: readonly HeldValue[]): HiddenValue {
  const others = by.filter((each) => each.holder !== holder);
  const listed = [...others, ...by.filter((each) => each.holder === holder)];
  const isByOthers = others.length > 0;
  return { key, holder, by: listed.slice(0, MAX_LISTED), count: by.length, isByOthers };
}
