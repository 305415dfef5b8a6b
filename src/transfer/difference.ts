/** What differs between two versions of a zone, and what has to be sent to a secondary that has an older one. */
import { type ListedRecord, splitRecords } from './records.ts';

/** From one version to the next one that was made. The SOA records are not among those that changed. */
export interface Difference {
  readonly fromSerial: number;
  readonly toSerial: number;
  readonly removed: readonly ListedRecord[];
  readonly added: readonly ListedRecord[];
}

export interface RecordChanges {
  readonly removed: ListedRecord[];
  readonly added: ListedRecord[];
}

/** Adds the changes of one name, whose records were `before` and are `after`. */
export function addChanges(
  changes: RecordChanges,
  owner: string,
  before: string,
  after: string,
): void {
  const old = new Set(splitRecords(before));
  for (const octets of splitRecords(after)) {
    if (!old.delete(octets)) changes.added.push({ owner, octets });
  }
  for (const octets of old) changes.removed.push({ owner, octets });
}

export function changedRecords({ removed, added }: RecordChanges | Difference): number {
  return removed.length + added.length;
}

/** With the two SOA records. */
function listedRecords(difference: Difference): number {
  return changedRecords(difference) + 2;
}

/** The differences of the last versions. */
export class VersionHistory {
  readonly #differences: Difference[] = [];
  readonly #mostRecords: number;
  #records = 0;

  /** It forgets the oldest differences when it has more than so many records, those of the SOA included. */
  constructor(mostRecords: number) {
    this.#mostRecords = mostRecords;
  }

  add(difference: Difference): void {
    this.#differences.push(difference);
    this.#records += listedRecords(difference);
    while (this.#records > this.#mostRecords) {
      this.#records -= listedRecords(this.#differences.shift() as Difference);
    }
  }

  clear(): void {
    this.#differences.length = 0;
    this.#records = 0;
  }

  /** The differences from a version on, condensed if that is shorter; `undefined` if the version is not known. */
  since(serial: number): readonly Difference[] | undefined {
    const first = this.#differences.findLastIndex(({ fromSerial }) => fromSerial === serial);
    return first < 0 ? undefined : shortest(this.#differences.slice(first));
  }
}

/** Longer sequences are sent as they are: to condense them would block the main thread. */
const MOST_CONDENSED = 20_000;

function shortest(differences: readonly Difference[]): readonly Difference[] {
  if (differences.length < 2) return differences;
  const records = differences.reduce((sum, each) => sum + changedRecords(each), 0);
  if (records > MOST_CONDENSED) return differences;
  return [condensed(differences)];
}

/** One difference for several (RFC 1995 §5): without records that came and went, or went and came back. */
function condensed(differences: readonly Difference[]): Difference {
  const removed = new Map<string, ListedRecord>();
  const added = new Map<string, ListedRecord>();
  for (const difference of differences) {
    for (const record of difference.removed) move(record, added, removed);
    for (const record of difference.added) move(record, removed, added);
  }
  return {
    fromSerial: (differences[0] as Difference).fromSerial,
    toSerial: (differences.at(-1) as Difference).toSerial,
    removed: [...removed.values()],
    added: [...added.values()],
  };
}

function move(
  record: ListedRecord,
  from: Map<string, ListedRecord>,
  to: Map<string, ListedRecord>,
): void {
  // An owner's octets tell where it ends.
  const key = `${record.owner}\0${record.octets}`;
  if (!from.delete(key)) to.set(key, record);
}
