/** A container's claims: each for a name with all of its records, or for a number below a base. Pure. */
import { compareTexts } from '../describe/container.ts';
import type { DesiredRecord } from '../describe/description.ts';
import {
  keysOfName,
  nameKeyOf,
  type OwnerStamp,
  type StampedRecord,
} from '../describe/storedValue.ts';
import type { ShortId } from '../engine/containerId.ts';
import { identityOf } from '../leadership/identity.ts';
import type { StoredRecord } from './storedRecords.ts';

/** The records of one container under one name: one record, or one for each address family. */
export interface Claim {
  readonly shortId: ShortId;
  readonly owner: OwnerStamp;
  readonly instance: DesiredRecord['instance'];
  /** The name's key; of a numbered instance the base's key. */
  readonly key: string;
  /** A PTR record, which neither hides names above it nor is hidden by names below it. */
  readonly isPointer: boolean;
  readonly preferredNumber: number | undefined;
  readonly records: readonly StampedRecord[];
}

/** The claims; those of the container that started first come first. A description has each name once. */
export function claimsOf(desired: readonly StampedRecord[]): Claim[] {
  const claims = new Map<string, Claim & { records: StampedRecord[] }>();
  for (const stamped of [...desired].sort(byAge)) {
    const { key, instance, preferredNumber, pointer } = stamped.record;
    const { owner } = stamped;
    const { shortId } = owner;
    const id = `${instance} ${shortId} ${key}`;
    const claim = claims.get(id);
    if (claim !== undefined) {
      claim.records.push(stamped);
      continue;
    }
    const isPointer = pointer !== undefined;
    const common = { shortId, owner, instance, key, isPointer, preferredNumber };
    claims.set(id, { ...common, records: [stamped] });
  }
  return [...claims.values()];
}

/** The key of a claim's record under the assigned name: the name's own key, or the one for the record's family. */
export function keyForRecord(name: string, { record: { family } }: StampedRecord): string {
  const [own, v4, v6] = keysOfName(name);
  if (family === undefined) return own;
  return family === 'ipv4' ? v4 : v6;
}

/**
 * The key for a container whose name ends in its id, while a cloned container with the same id holds that name;
 * `undefined` if its name does not end so.
 */
export function keyIfCloned({ key, owner }: Pick<Claim, 'key' | 'owner'>): string | undefined {
  const { hostPart } = identityOf(owner.id);
  const endsInId = key.endsWith(`/${owner.shortId}`);
  return endsInId && hostPart !== '' ? `${key}-${hostPart}` : undefined;
}

/** The names that a container may get for a record: its own and the alternatives. Numbers are claimed below `auto` names. */
export function possibleNames({
  record,
  owner,
}: Pick<StampedRecord, 'record' | 'owner'>): string[] {
  const { key, keyIfTaken } = record;
  return [key, keyIfTaken, keyIfCloned({ key, owner })].filter((name) => name !== undefined);
}

/** Whether the store has that record under one of its names, for the same life of the container. */
export function isStored(
  stamped: StampedRecord,
  records: { get(key: string): StoredRecord | undefined },
): boolean {
  const { shortId, startedAt } = stamped.owner;
  return possibleNames(stamped).some((name) => {
    const owner = records.get(keyForRecord(name, stamped))?.owner;
    return owner?.shortId === shortId && owner.startedAt === startedAt;
  });
}

/** Splits a stored key into base and number; `undefined` if its name does not end in a number. */
function parseNumberedKey(key: string): { base: string; number: number } | undefined {
  const [, base, digits] = /^(.*)\/([1-9][0-9]{0,8})$/.exec(nameKeyOf(key)) ?? [];
  return base === undefined ? undefined : { base, number: Number(digits) };
}

/** The numbers that containers have in the store, whichever registrar wrote the records. */
export class StoredNumbers {
  readonly #numbers = new Map<string, number[]>();

  constructor(records: Iterable<StoredRecord>) {
    for (const { entry, owner } of records) {
      const parsed = parseNumberedKey(entry.key);
      if (parsed === undefined || owner === undefined) continue;
      const id = numberId(owner.shortId, parsed.base);
      const some = this.#numbers.get(id);
      if (some === undefined) this.#numbers.set(id, [parsed.number]);
      else if (!some.includes(parsed.number)) some.push(parsed.number);
    }
    for (const some of this.#numbers.values()) some.sort((a, b) => a - b);
  }

  /** Ascending. */
  of({ shortId, key }: Pick<Claim, 'shortId' | 'key'>): readonly number[] {
    return this.#numbers.get(numberId(shortId, key)) ?? [];
  }
}

const MAX_FORMER_NUMBERS = 10_000;

/** The numbers that containers had, so that a restarted container gets the same number again. Bounded. */
export class FormerNumbers {
  /** By `numberId`, the latest last. */
  readonly #numbers = new Map<string, number>();

  /** Also call it for records that an earlier run wrote and this one keeps. */
  remember({ kind, stamped: { owner, record }, key }: NumberedAssignment): void {
    if (kind !== 'key' || record.instance !== 'auto') return;
    const parsed = parseNumberedKey(key);
    if (parsed === undefined) return;
    const id = numberId(owner.shortId, parsed.base);
    this.#numbers.delete(id);
    this.#numbers.set(id, parsed.number);
    if (this.#numbers.size <= MAX_FORMER_NUMBERS) return;
    const [oldest = ''] = this.#numbers.keys();
    this.#numbers.delete(oldest);
  }

  get(shortId: ShortId, base: string): number | undefined {
    return this.#numbers.get(numberId(shortId, base));
  }
}

/** The part of an `Assignment` that contains a number. */
interface NumberedAssignment {
  readonly kind: 'key' | 'taken';
  readonly stamped: StampedRecord;
  readonly key: string;
}

export function numberId(shortId: ShortId, base: string): string {
  return `${shortId} ${base}`;
}

function byAge(a: StampedRecord, b: StampedRecord): number {
  return (
    compareTexts(a.owner.startedAt, b.owner.startedAt) ||
    compareTexts(a.containerId, b.containerId) ||
    compareTexts(a.record.key, b.record.key) ||
    compareTexts(a.record.family ?? '', b.record.family ?? '')
  );
}
