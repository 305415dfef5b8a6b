/**
 * The derived names in the table (`reply/derivedCheck.ts`). Clients make them up, so their number is bounded, and they
 * only use memory that the names of the tree do not need.
 */
import { type Name, nameKey, wireName } from '../../dns/name.ts';
import type { DerivedForm, DerivedRule } from '../../zone/tree/view.ts';
import { type PackedRule, RuleForm } from '../reply/derivedCheck.ts';
import { NO_ROOM } from '../table/nameSet.ts';
import type { AnswerTable } from '../table/table.ts';

const MAX_DERIVED = 32_768;
/** From this many on, a name is admitted only when it is asked for again. */
const ADMIT_AT_ONCE = MAX_DERIVED / 2;
/** Names that were asked for and not admitted, by a hash: a power of two. */
const REMEMBERED = 4_096;

export class DerivedNames {
  readonly #table: AnswerTable;
  /** Addresses in the table by `nameKey`, the oldest first. */
  readonly #addresses = new Map<string, number>();
  readonly #refused: (string | undefined)[] = new Array(REMEMBERED).fill(undefined);

  constructor(table: AnswerTable) {
    this.#table = table;
  }

  get size(): number {
    return this.#addresses.size;
  }

  /** The address of a folded name; 0 if the table lacks it. */
  addressOf(name: Name): number {
    return this.#addresses.size === 0 ? 0 : (this.#addresses.get(nameKey(name)) ?? 0);
  }

  /**
   * Adds a folded name that the table lacks. Returns its address, or 0 if it is not admitted. `evict` receives the
   * address of a name that had to make room.
   */
  admit(name: Name, evict: (address: number) => void): number {
    const key = nameKey(name);
    if (this.#table.isScarce || !this.#isWanted(key)) return 0;
    if (this.#addresses.size >= MAX_DERIVED) {
      const [[oldest, address] = ['', 0]] = this.#addresses;
      this.#addresses.delete(oldest);
      evict(address);
    }
    const address = this.#table.addOptional(wireName(name));
    if (address === NO_ROOM) return 0;
    this.#addresses.set(key, address);
    return address;
  }

  /** Forgets a folded name. Returns its address, which the caller keeps or removes; 0 if the table lacks it. */
  take(name: Name): number {
    const address = this.addressOf(name);
    if (address !== 0) this.#addresses.delete(nameKey(name));
    return address;
  }

  /** Forgets all names. Returns their addresses, which the caller removes. */
  takeAll(): readonly number[] {
    const addresses = [...this.#addresses.values()];
    this.#addresses.clear();
    return addresses;
  }

  /** A flood of names that are asked for once displaces no names. */
  #isWanted(key: string): boolean {
    if (this.#addresses.size < ADMIT_AT_ONCE) return true;
    const slot = hashOf(key) & (REMEMBERED - 1);
    const isSecond = this.#refused[slot] === key;
    this.#refused[slot] = isSecond ? undefined : key;
    return isSecond;
  }
}

function hashOf(key: string): number {
  let hash = 0;
  for (let i = 0; i < key.length; i++) hash = (Math.imul(hash, 31) + key.charCodeAt(i)) | 0;
  return hash;
}

const FORMS: Readonly<Record<DerivedForm, number>> = {
  service: RuleForm.SERVICE,
  srv: RuleForm.SRV,
  whole: RuleForm.WHOLE,
  address: RuleForm.ADDRESS,
  any: RuleForm.ANY,
};

/** The rule as readers of the table have it. */
export function packedRule({ suffix, base, form }: DerivedRule): PackedRule {
  return { suffix: wireName(suffix), base: wireName(base), form: FORMS[form] };
}
