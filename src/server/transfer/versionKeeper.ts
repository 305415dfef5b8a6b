/**
 * Keeps the versions of our zones: reads each zone once, then follows its changes, and makes a version at most once in
 * `serialIntervalSeconds`. The first change after a pause waits a moment, so that the changes of a deployment make one
 * version.
 */
import { equalNames, type Name } from '../../dns/name.ts';
import { type Change, keyOfChange, revisionOf } from '../../service/change.ts';
import { nameOfKey } from '../../service/key.ts';
import { Alarm, type Clock } from '../../timing/clock.ts';
import { FairScheduler } from '../../timing/fairScheduler.ts';
import { ChildOrder } from '../../transfer/childOrder.ts';
import {
  isNewerSerial,
  nextSerial,
  nextUnixSerial,
  serialOfRevision,
} from '../../transfer/serial.ts';
import { ZoneVersions } from '../../transfer/zoneVersions.ts';
import { type ZoneData, zoneWith } from '../../zone/contents.ts';
import { findNode, type Node } from '../../zone/tree/tree.ts';
import { apexAround, apexOf, consulOf, type ZoneSettings } from '../../zone/tree/view.ts';

export type SerialSource = 'revision' | 'unixtime';

export interface VersionKeeperOptions {
  readonly data: () => ZoneData;
  /** The prefix of the keys, as `keyPrefix` returns it. */
  readonly prefix: string;
  /** Of the store. */
  readonly revision: () => number;
  readonly serial: SerialSource;
  readonly serialIntervalSeconds: number;
  readonly historyRecords: number;
  readonly aggregates: boolean;
  readonly clock: Clock;
  /** Called after a zone has got a version, when answers may show its serial. Must not throw. */
  readonly onVersion: (zone: ZoneVersions) => void;
  /** The serial of a zone went back, because the store's revision did. */
  readonly onOlderSerial: (apex: Name, from: number, to: number) => void;
  readonly onSkipped: (name: Name, reason: string) => void;
}

/** How long the first change after a pause waits for others. */
const GATHER_MS = 20;
/** Names that one step reads. */
const NAMES_IN_A_STEP = 20;
const SLICE = { steps: 1_000, sliceMs: 2 };

interface Touch {
  /** The greatest of the changes. */
  readonly revision: number;
  /** A key of a name is among them, not only keys of tables. */
  readonly isOfName: boolean;
}

/** A zone that is being read. */
interface Reading {
  readonly zone: ZoneVersions;
  readonly names: Iterator<void>;
}

export class VersionKeeper {
  readonly #options: VersionKeeperOptions;
  readonly #scheduler: FairScheduler;
  readonly #alarm: Alarm;
  /** The versions that clients get, by domain. */
  #zones: readonly ZoneVersions[] = [];
  #reading: Reading[] = [];
  #order = new ChildOrder();
  /** Of the zones. */
  #settings: ZoneSettings | undefined;
  #isStarted = false;
  /** The nodes that have changed since the last version, and all nodes above them. */
  #changed = new Set<Node>();
  /**
   * The changes of keys in each zone since its last version, by the settings' own object of the apex, which is also
   * `ZoneVersions.apex`: with other apexes all zones are read anew.
   */
  #touched = new Map<Name, Touch>();
  /** The greatest revision of the last changes of any keys. */
  #lastRevision = 0;
  #madeAtMs = Number.NEGATIVE_INFINITY;
  /** The alarm is set. */
  #isWaiting = false;

  constructor(options: VersionKeeperOptions) {
    this.#options = options;
    const { clock } = options;
    this.#scheduler = new FairScheduler({ ...SLICE, nowMs: () => clock.monotonicMs() });
    this.#alarm = new Alarm(clock, () => this.#make());
  }

  get zones(): readonly ZoneVersions[] {
    return this.#zones;
  }

  /** The zone with exactly that apex; `undefined` if it is not ours, or not read yet. */
  zoneOf(apex: Name): ZoneVersions | undefined {
    return this.#zones.find((zone) => equalNames(zone.apex, apex));
  }

  /** Call this once the store has been read. */
  start(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.#lastRevision = this.#options.revision();
    this.#readAll();
  }

  /**
   * Call this when the settings may have changed: then every record may have, unless only zone cuts have come or gone.
   */
  onSettings(): void {
    if (!this.#isStarted) return;
    const before = this.#settings;
    const data = this.#options.data();
    const { settings } = data;
    if (settings === before) return;
    if (before === undefined || this.#reading.length > 0 || !differInCutsOnly(before, settings)) {
      this.#readAll();
      return;
    }
    this.#settings = settings;
    for (const zone of this.#zones) zone.setData(data);
    for (const name of changedCuts(before, settings)) {
      const apex = apexAround(settings, name);
      if (apex !== undefined) this.#touch(apex, this.#lastRevision, true);
      this.#noteAll(findNode(data.root, name));
    }
    this.#schedule();
  }

  /** Call this before changes are applied. */
  noteChanges(changes: readonly Change[]): void {
    if (!this.#isStarted || this.#settings === undefined) return;
    const { prefix } = this.#options;
    let greatest = 0;
    for (const change of changes) {
      const revision = revisionOf(change);
      // The changes that a new listing finds are in the order of their keys.
      greatest = Math.max(greatest, revision);
      const name = nameOfKey(keyOfChange(change), prefix);
      const apex = name.kind === 'name' ? zoneOfName(this.#settings, name.owner) : undefined;
      if (apex !== undefined) this.#touch(apex, revision, true);
    }
    if (changes.length > 0) this.#lastRevision = greatest;
  }

  /**
   * Call this after changes were applied, with the nodes of their owner names; `revision`: of changes that `noteChanges`
   * did not get, as those of virtual addresses.
   */
  onApplied(nodes: readonly Node[], revision?: number): void {
    if (!this.#isStarted) return;
    if (revision !== undefined && this.#settings !== undefined) {
      for (const node of nodes) {
        const apex = zoneOfName(this.#settings, node.owner());
        if (apex !== undefined) this.#touch(apex, revision, false);
      }
    }
    for (const changed of nodes) this.#noteChanged(changed);
    this.#schedule();
  }

  #noteChanged(changed: Node): void {
    for (let node: Node | undefined = changed; node !== undefined; node = node.parent) {
      if (this.#changed.has(node)) break;
      this.#changed.add(node);
    }
  }

  /** The node, all nodes below it, and all above it. */
  #noteAll(node: Node | undefined): void {
    if (node === undefined) return;
    this.#noteChanged(node);
    for (const child of node.children ?? []) this.#noteAll(child);
  }

  close(): void {
    this.#isStarted = false;
    this.#reading = [];
    this.#scheduler.remove(this.#task);
    this.#alarm.set(undefined);
  }

  #touch(apex: Name, revision: number, isOfName: boolean): void {
    const last = this.#touched.get(apex);
    this.#touched.set(apex, {
      revision: Math.max(revision, last?.revision ?? 0),
      isOfName: isOfName || last?.isOfName === true,
    });
  }

  #schedule(): void {
    if (this.#reading.length > 0 || this.#changed.size === 0) return;
    // An alarm that is set already is due earlier.
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    const { clock, serialIntervalSeconds } = this.#options;
    const soonest = this.#madeAtMs + serialIntervalSeconds * 1_000;
    this.#alarm.set(Math.max(clock.monotonicMs() + GATHER_MS, soonest));
  }

  #readAll(): void {
    const { data, historyRecords, aggregates, onSkipped } = this.#options;
    const now = data();
    this.#settings = now.settings;
    this.#order = new ChildOrder();
    const { inOrder } = this.#order;
    const apexes = now.settings.apexes.filter((apex) => consulOf(now.settings, apex) === undefined);
    this.#reading = apexes.map((apex) => {
      const zone = new ZoneVersions({
        ...{ apex, data: now, inOrder, historyRecords, aggregates, onSkipped },
      });
      return { zone, names: zone.read()[Symbol.iterator]() };
    });
    this.#alarm.set(undefined);
    this.#isWaiting = false;
    this.#scheduler.add(this.#task);
  }

  readonly #task = {
    step: (): boolean => {
      for (const { names } of this.#reading) {
        for (let i = 0; i < NAMES_IN_A_STEP; i++) {
          if (names.next().done === true) break;
          if (i === NAMES_IN_A_STEP - 1) return true;
        }
      }
      this.#begin();
      return false;
    },
  };

  /** All zones were read: makes their first versions, with what has changed meanwhile. */
  #begin(): void {
    const before = this.#zones;
    const zones = this.#reading.map(({ zone }) => zone);
    const changed = this.#takeChanged();
    for (const zone of zones) {
      const last = before.find(({ apex }) => equalNames(apex, zone.apex));
      zone.begin(this.#nextSerial(last?.serial, this.#lastRevision), changed);
    }
    this.#reading = [];
    this.#zones = zones;
    this.#touched.clear();
    this.#madeAtMs = this.#options.clock.monotonicMs();
    for (const zone of zones) this.#options.onVersion(zone);
  }

  #make(): void {
    this.#isWaiting = false;
    const changed = this.#takeChanged();
    const touched = this.#touched;
    this.#touched = new Map();
    this.#madeAtMs = this.#options.clock.monotonicMs();
    for (const zone of this.#zones) {
      const touch = touched.get(zone.apex);
      // With equal changes every server makes the same serial, even if no record has changed.
      const isTouched = touch !== undefined && this.#options.serial === 'revision';
      const before = zone.serial;
      const newSerial = () => this.#serialAfter(before, touch);
      if (!zone.make(changed, isTouched, newSerial)) continue;
      if (!isNewerSerial(zone.serial, before)) {
        this.#options.onOlderSerial(zone.apex, before, zone.serial);
      }
      this.#options.onVersion(zone);
    }
  }

  #serialAfter(last: number, touch: Touch | undefined): number {
    const serial = this.#nextSerial(last, touch?.revision ?? this.#lastRevision);
    // Names and virtual addresses are followed apart: an older change of one may come after a newer one of the other.
    const isLate = touch?.isOfName !== true && !isNewerSerial(serial, last);
    return isLate ? nextSerial(last) : serial;
  }

  #nextSerial(last: number | undefined, revision: number): number {
    const { serial, clock } = this.#options;
    if (serial === 'revision') return serialOfRevision(revision);
    return nextUnixSerial(Math.floor(clock.wallMs() / 1_000), last);
  }

  #takeChanged(): ReadonlySet<Node> {
    const changed = this.#changed;
    this.#changed = new Set();
    for (const node of changed) this.#order.noteChange(node);
    this.#order.sweep();
    return changed;
  }
}

/** The zone of a name, or the one that delegates the name and still has records of it. */
function zoneOfName(settings: ZoneSettings, name: Name): Name | undefined {
  return apexOf(settings, name) ?? zoneWith(settings, name);
}

/**
 * Whether zones have the same records except at zone cuts. Live settings keep the identity of each field that has not
 * changed, and transfers contain all services, with every value of `near`.
 */
function differInCutsOnly(a: ZoneSettings, b: ZoneSettings): boolean {
  const fields = Object.keys(a) as readonly (keyof ZoneSettings)[];
  const isSame = fields.every(
    (field) => field === 'forwarded' || field === 'near' || a[field] === b[field],
  );
  return isSame && a.forwarded.hasSameDomains(b.forwarded);
}

/** The names of the zone cuts that have come, gone or changed, and of their name servers. Equal cuts are one object. */
function changedCuts({ forwarded: a }: ZoneSettings, { forwarded: b }: ZoneSettings): Name[] {
  const changed = [
    ...a.cuts.filter((cut) => b.cutAt(cut.name) !== cut),
    ...b.cuts.filter((cut) => a.cutAt(cut.name) !== cut),
  ];
  return changed.flatMap(({ name, servers }) => [name, ...servers]);
}
