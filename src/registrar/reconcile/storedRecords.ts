/**
 * The part of the store that matters to this registrar: every record with our stamp, and the records of other owners
 * at, above and below the names that we want. All records under non-canonical keys are kept, because a read of a name's
 * canonical key does not find them.
 *
 * The mirror keeps it equal to the store. `learn` adds the result of our own call at once. That key is then ahead of
 * the mirror, so an older state of the key that the mirror brings later is ignored.
 */
import type { Change, Entry } from '../../service/change.ts';
import type { Replica } from '../../store/mirror.ts';
import type { DesiredRecord } from '../describe/description.ts';
import { keysOfName, type OwnerStamp, ownerOf, type StoredOwner } from '../describe/storedValue.ts';
import { identityOf } from '../leadership/identity.ts';
import { Namespace, pathOf } from './namespace.ts';
import { OldestBelow } from './oldestBelow.ts';
import { RecordTree } from './recordTree.ts';
import { type Relevance, RelevantNames, type WantedNames } from './relevance.ts';

export interface StoredRecord {
  readonly entry: Entry;
  /** `undefined`: no registrar wrote it. */
  readonly owner: StoredOwner | undefined;
  /** The revision since which the owner has the name. */
  readonly since: number;
  /** Its stamp has our identity. Only then may we delete it. */
  readonly isOwn: boolean;
  /** Another registrar with our engine's id wrote it, and it has no lease, so that it would never expire. */
  readonly isDangling: boolean;
}

export class StoredRecords implements Replica {
  readonly #ownerId: string;
  readonly #engineId: string;
  readonly #idOctets: Buffer;
  readonly #onChange: () => void;
  readonly #held = new RecordTree<StoredRecord>();
  readonly #oldestBelow = new OldestBelow();
  /** By key, including deleted keys: the revision that our own call brought, while the mirror has not reached it. */
  readonly #ahead = new Map<string, number>();
  /** Reads under way. Their results may be older than the changes that the mirror brings meanwhile. */
  #readings = 0;
  /** Keys that were deleted during these reads, with the revisions. */
  readonly #deleted = new Map<string, number>();
  #listedAt = 0;
  #namespace = new Namespace('/', []);
  #relevant = new RelevantNames(
    { names: new Set(), pointers: new Set(), bases: new Set() },
    this.#namespace,
  );

  /** `onChange` is called when the mirror brings a relevant change. */
  constructor(ownerId: string, onChange: () => void) {
    this.#ownerId = ownerId;
    this.#engineId = identityOf(ownerId).engineId;
    this.#idOctets = Buffer.from(this.#engineId);
    this.#onChange = onChange;
  }

  get(key: string): StoredRecord | undefined {
    return this.#held.get(key);
  }

  /** All own and dangling records, and the relevant ones of other owners. */
  records(): Iterable<StoredRecord> {
    return this.#held.all();
  }

  /** The records at the name of a path, under any of its keys. */
  at(path: string): Iterable<StoredRecord> {
    return this.#held.at(path);
  }

  /** The records below it; of other owners only the oldest few. */
  below(path: string): Iterable<StoredRecord> {
    return this.#held.below(path);
  }

  /** Keeps the records of other owners at, above and below these names, and drops the rest. */
  want(wanted: WantedNames, namespace: Namespace): RelevantNames {
    if (this.#relevant.isFor(wanted, namespace)) return this.#relevant;
    this.#relevant = new RelevantNames(wanted, namespace);
    this.#namespace = namespace;
    const dropped = this.#oldestBelow.clear();
    for (const record of [...this.#held.all()]) if (!isKept(record)) this.#reconsider(record);
    for (const [name, since] of dropped) {
      const relevance = this.#relevant.relevanceOf(name);
      if (relevance.kind === 'below') this.#oldestBelow.noteDropped(relevance.name, since);
      else if (relevance.kind === 'direct') this.#oldestBelow.noteDropped(name, since);
    }
    return this.#relevant;
  }

  /** Names below which the store has to be read again: a record that was dropped may be the oldest there. */
  takeIncomplete(): readonly string[] {
    return this.#oldestBelow.takeIncomplete();
  }

  apply(changes: readonly Change[]): void {
    let matters = false;
    for (const change of changes) {
      const key = change.kind === 'put' ? change.entry.key : change.key;
      const revision = change.kind === 'put' ? change.entry.modRevision : change.modRevision;
      const ahead = this.#ahead.get(key);
      if (ahead !== undefined && revision < ahead) continue;
      this.#ahead.delete(key);
      if (change.kind === 'delete' && this.#readings > 0) this.#deleted.set(key, revision);
      if (!this.#set(key, change.kind === 'put' ? change.entry : undefined)) continue;
      // With our own new record the mirror has also brought all earlier records of other owners around it.
      matters ||= ahead !== revision || this.#isAmongOtherOwners(key, revision);
    }
    if (matters) this.#onChange();
  }

  *revisions(): Generator<readonly [string, number]> {
    for (const [key, { entry }] of this.#held.entries()) yield [key, entry.modRevision];
  }

  /** Begins a read, whose results arrive through `learn`. Returns the function that ends it. */
  beginReading(): () => void {
    this.#readings++;
    return () => {
      if (--this.#readings === 0) this.#deleted.clear();
    };
  }

  /** Adds what one of our calls found under a key at a revision of the store. */
  learn(key: string, entry: Entry | undefined, revision: number): void {
    if (revision < Math.max(this.#listedAt, this.#deleted.get(key) ?? 0)) return;
    const seen = entry?.modRevision ?? revision;
    const known = Math.max(this.#held.get(key)?.entry.modRevision ?? 0, this.#ahead.get(key) ?? 0);
    if (seen < known) return;
    // The mirror brings no state twice, so a state that is held already is not marked as ahead.
    const isNew = this.#held.get(key)?.entry.modRevision !== seen;
    const isHeld = this.#set(key, entry);
    // An irrelevant record needs no mark: when the mirror brings it, it is dropped again.
    if (isNew && (isHeld || entry === undefined)) this.#ahead.set(key, seen);
  }

  /** Call it when the mirror has brought every change up to that revision. */
  onMirrored(revision: number): void {
    for (const [key, ahead] of this.#ahead) if (ahead <= revision) this.#ahead.delete(key);
  }

  /** Call it when the mirror has listed the whole store at a revision: earlier results of our own calls are dropped. */
  onRelisted(revision: number): void {
    this.#listedAt = revision;
    for (const key of this.#ahead.keys()) this.#remove(key);
    this.#ahead.clear();
  }

  /** Decides again about a record of another owner, after the wanted names changed. */
  #reconsider(record: StoredRecord): void {
    const { entry, owner } = record;
    const path = pathOf(entry.key);
    const relevance = this.#relevant.relevanceOf(path);
    if (!this.#admit(record, path, relevance)) this.#held.delete(entry.key);
    else if (owner === undefined) this.#held.set(entry.key, this.#recordOf(entry, relevance));
  }

  /** Returns whether a relevant record was set or removed. */
  #set(key: string, entry: Entry | undefined): boolean {
    if (entry === undefined) return this.#remove(key);
    const path = pathOf(key);
    const relevance = this.#relevant.relevanceOf(path);
    const record = this.#recordOf(entry, relevance);
    if (isKept(record)) this.#notOfOthers(key, relevance);
    else if (!this.#admit(record, path, relevance)) return this.#remove(key);
    this.#held.set(key, record);
    return true;
  }

  /** Whether a record was created at that revision while other owners have names above or below it. */
  #isAmongOtherOwners(key: string, revision: number): boolean {
    if (this.#held.get(key)?.entry.createRevision !== revision) return false;
    const path = pathOf(key);
    for (const above of this.#namespace.above(path))
      for (const at of keysOfName(above))
        for (const { isOwn } of this.#held.at(at)) if (!isOwn) return true;
    for (const { isOwn } of this.#held.below(path)) if (!isOwn) return true;
    return false;
  }

  #remove(key: string): boolean {
    this.#notOfOthers(key, this.#relevant.relevanceOf(pathOf(key)));
    return this.#held.delete(key);
  }

  /** The key has no record of another owner: there is none, or one that is kept anyway. */
  #notOfOthers(key: string, relevance: Relevance): void {
    if (relevance.kind === 'below') this.#oldestBelow.remove(relevance.name, key);
  }

  /** Whether to keep a record of another owner. */
  #admit({ entry, since }: StoredRecord, path: string, relevance: Relevance): boolean {
    const { key } = entry;
    if (key !== path) return this.#namespace.isNamed(entry);
    if (relevance.kind !== 'below') return relevance.kind === 'direct';
    if (!this.#namespace.isNamed(entry)) return false;
    const offered = this.#oldestBelow.offer(relevance.name, key, since);
    if (offered.kind === 'dropped') return false;
    if (offered.evicted !== undefined) this.#held.delete(offered.evicted);
    return true;
  }

  #recordOf(entry: Entry, relevance: Relevance): StoredRecord {
    // A zone may hold a million values of other owners. A search for the id's octets avoids parsing most of them.
    const octets = Buffer.from(entry.value.buffer, entry.value.byteOffset, entry.value.length);
    const mayBeOwn = octets.includes(this.#idOctets);
    const owner = mayBeOwn || relevance.kind !== 'none' ? ownerOf(entry.value) : undefined;
    const isOwn = owner?.id === this.#ownerId;
    const isOfEngine = owner !== undefined && identityOf(owner.id).engineId === this.#engineId;
    const isDangling = isOfEngine && !isOwn && entry.lease === undefined;
    const since = Math.min(entry.createRevision, owner?.since ?? entry.createRevision);
    return { entry, owner, since, isOwn, isDangling };
  }
}

/** Whether it is relevant at any name. */
function isKept({ isOwn, isDangling }: StoredRecord): boolean {
  return isOwn || isDangling;
}

/**
 * Whether a record that needs another one of this container (`onlyBeside`) may be written. The store has to hold that
 * one already: another container may hold the name, or instances below it.
 */
export function mayStand(
  { record, owner }: { readonly record: DesiredRecord; readonly owner: OwnerStamp },
  records: { get(key: string): StoredRecord | undefined },
): boolean {
  const { onlyBeside } = record;
  if (onlyBeside === undefined) return true;
  return keysOfName(onlyBeside).some((key) => {
    const stored = records.get(key);
    return stored?.isOwn === true && stored.owner?.shortId === owner.shortId;
  });
}
