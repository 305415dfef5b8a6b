/**
 * Values that count for nothing because there are names below theirs, and what hides them. Reverse names hide nothing:
 * PTR is looked for one label below, too. PURE.
 */
import { isReverseName } from '../dns/address.ts';
import type { Entry } from '../service/change.ts';
import { nameOfKey } from '../service/key.ts';
import { parseService } from '../service/service.ts';
import { parentPath, pathOf } from './namespace.ts';
import { ownerOf } from './record.ts';

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
  return owner && `container ${owner.containerId} of engine ${owner.id}`;
}
