/**
 * transfer/: The versions of a zone, what differs between them, and the messages of a transfer, with signatures. Pure.
 * Imports: dns, forward, zone, zone/tree.
 * Used by: app/answering, cli, cli/commands, config, config/options, server/transfer.
 *
 * A secondary gets one version of a zone after the other, each with a serial of its own (RFC 1996, RFC 1995). The zone
 * tree has no versions: it changes with the store. So a zone with secondaries has a copy of its records here. When a
 * version is made, the records of the names that may have changed are computed again, and what differs from the copy
 * is the difference between the two versions. So the differences always lead from one copy to the next one.
 */
import { type Name, nameKey, printName } from '../dns/name.ts';
import {
  type ContentsRules,
  contentsAt,
  listingView,
  namesOf,
  soaOf,
  type ZoneData,
  zoneWith,
} from '../zone/contents.ts';
import { Dependents, dependenciesOf } from '../zone/tree/dependents.ts';
import type { Node } from '../zone/tree/tree.ts';
import type { View } from '../zone/tree/view.ts';
import {
  addChanges,
  changedRecords,
  type Difference,
  type RecordChanges,
  VersionHistory,
} from './difference.ts';
import { RecordMap, type RecordSnapshot } from './recordMap.ts';
import { countRecords, type ListedRecord, nameOfOwner, recordOf, recordsOf } from './records.ts';
import { isNewerSerial } from './serial.ts';

export interface ZoneVersionsOptions extends ContentsRules {
  readonly apex: Name;
  readonly data: ZoneData;
  readonly inOrder: (node: Node) => readonly Node[];
  /** How many records the differences to earlier versions may have, those of the SOA included. */
  readonly historyRecords: number;
  /** Receives names whose records cannot be in a zone, with the reason. */
  readonly onSkipped: (name: Name, reason: string) => void;
}

/** What a transfer sends. */
export type TransferContents =
  /** The secondary has the newest version, or a newer one. */
  | { readonly kind: 'same'; readonly soa: ListedRecord }
  | { readonly kind: 'differences'; readonly records: Iterable<ListedRecord> }
  | { readonly kind: 'zone'; readonly records: Iterable<ListedRecord> };

export class ZoneVersions {
  readonly apex: Name;
  readonly #options: ZoneVersionsOptions;
  #view: View;
  readonly #apexOwner: string;
  readonly #records = new RecordMap();
  readonly #dependents = new Dependents<string>();
  readonly #history: VersionHistory;
  #serial = 0;
  /** Records of all names. */
  #count = 0;

  constructor(options: ZoneVersionsOptions) {
    this.#options = options;
    this.apex = options.apex;
    this.#view = listingView(options.data, options.inOrder);
    this.#apexOwner = nameKey(options.apex);
    this.#history = new VersionHistory(options.historyRecords);
  }

  /** Call this before `make` if the zone's data is another one, with the nodes whose names it changes. */
  setData(data: ZoneData): void {
    this.#view = listingView(data, this.#options.inOrder);
  }

  get serial(): number {
    return this.#serial;
  }

  /** Reads the zone, one name at each step. Changes meanwhile have to be given to `begin`. */
  *read(): Iterable<void> {
    for (const name of namesOf(this.#view, this.apex)) {
      const owner = nameKey(name);
      this.#replace(owner, this.#recordsAt(owner, name));
      yield;
    }
  }

  /** Makes the first version, after `read`. */
  begin(serial: number, changed: Iterable<Node>): void {
    this.#apply(changed);
    this.#serial = serial;
  }

  /**
   * Computes the records again that the changed nodes may affect, among them all nodes above each. Makes the next
   * version, with the serial that `newSerial` returns, if a record has changed or `isTouched`. Returns whether it did.
   */
  make(changed: Iterable<Node>, isTouched: boolean, newSerial: () => number): boolean {
    const changes = this.#apply(changed);
    if (!isTouched && changedRecords(changes) === 0) return false;
    const fromSerial = this.#serial;
    const toSerial = newSerial();
    this.#history.add({ fromSerial, toSerial, ...changes });
    // Secondaries compare serials: no difference leads to a version whose serial is not newer.
    if (!isNewerSerial(toSerial, fromSerial)) this.#history.clear();
    this.#serial = toSerial;
    return true;
  }

  soa(): ListedRecord {
    return this.#soaWith(this.#serial);
  }

  /** The whole newest version (RFC 5936 §2.2). */
  whole(): Extract<TransferContents, { kind: 'zone' }> {
    return { kind: 'zone', records: wholeZone(this.soa(), this.#apexOwner, this.#records) };
  }

  /** What a secondary with that serial lacks (RFC 1995 §4). */
  since(serial: number): TransferContents {
    // RFC 1995 §2: the single SOA also if the client has a newer version.
    if (serial === this.#serial || isNewerSerial(serial, this.#serial)) {
      return { kind: 'same', soa: this.soa() };
    }
    const differences = this.#history.since(serial);
    if (differences === undefined) return this.whole();
    const changed = differences.reduce((sum, each) => sum + changedRecords(each), 0);
    if (changed > this.#count) return this.whole();
    return { kind: 'differences', records: this.#sequence(differences) };
  }

  *#sequence(differences: readonly Difference[]): Iterable<ListedRecord> {
    const soa = this.soa();
    yield soa;
    for (const { fromSerial, toSerial, removed, added } of differences) {
      yield this.#soaWith(fromSerial);
      yield* removed;
      yield this.#soaWith(toSerial);
      yield* added;
    }
    yield soa;
  }

  #soaWith(serial: number): ListedRecord {
    return { owner: this.#apexOwner, octets: recordOf(soaOf(this.#view, this.apex, serial)) };
  }

  #apply(changed: Iterable<Node>): RecordChanges {
    const changes: RecordChanges = { removed: [], added: [] };
    for (const owner of this.#affected(changed)) {
      const before = this.#records.get(owner);
      const after = this.#recordsAt(owner, nameOfOwner(owner));
      if (before === after) continue;
      addChanges(changes, owner, before, after);
      this.#replace(owner, after);
    }
    return changes;
  }

  #replace(owner: string, after: string): void {
    this.#count += countRecords(after) - countRecords(this.#records.get(owner));
    this.#records.set(owner, after);
  }

  /** The names of the zone at the nodes, and those whose records depend on one of the nodes. */
  #affected(changed: Iterable<Node>): Set<string> {
    const owners = new Set<string>();
    for (const node of changed) {
      const name = node.owner();
      const own = nameKey(name);
      const isHere = zoneWith(this.#view.settings, name) === this.apex;
      if (isHere || this.#records.get(own) !== '') owners.add(own);
      if (this.#dependents.size === 0) continue;
      for (const owner of this.#dependents.of(node)) owners.add(owner);
      for (const owner of this.#dependents.of(printName(name))) owners.add(owner);
    }
    return owners;
  }

  /** Notes on what the records depend. */
  #recordsAt(owner: string, name: Name): string {
    const { onSkipped, data } = this.#options;
    this.#dependents.forget(owner);
    try {
      const contents = contentsAt(this.#view, name, this.#options);
      this.#dependents.add(owner, dependenciesOf(this.#view.root, name, contents));
      return recordsOf(contents.rrs);
    } catch (error) {
      if (error instanceof RangeError) onSkipped(name, error.message);
      else data.onFault(error);
      return '';
    }
  }
}

function wholeZone(
  soa: ListedRecord,
  apexOwner: string,
  records: RecordMap,
): Iterable<ListedRecord> {
  return inOrder(soa, apexOwner, records.get(apexOwner), records.snapshot());
}

/** The SOA at both ends, and the apex first: many secondaries expect its NS records there. */
function* inOrder(
  soa: ListedRecord,
  apexOwner: string,
  apexRecords: string,
  snapshot: RecordSnapshot,
): Iterable<ListedRecord> {
  yield soa;
  if (apexRecords !== '') yield { owner: apexOwner, octets: apexRecords };
  for (const [owner, octets] of snapshot.entries())
    if (owner !== apexOwner) yield { owner, octets };
  yield soa;
}
