/**
 * What the store holds, as far as it concerns us: every record with our stamp, and others' records at, above and below
 * the names that we want. Records whose keys are not the canonical ones of their names are all kept, as no look at a
 * name's own key would find them.
 *
 * The mirror keeps it true. A write's result is learned at once, and so is ahead of the mirror: what the mirror then
 * says about an older state of that key is passed over.
 */
import type { Change, Entry } from '../../service/change.ts';
import type { Replica } from '../../store/mirror.ts';
import type { DesiredRecord } from '../describe/description.ts';
import {
  keysOfName,
  type OwnerStamp,
  ownerOf,
  type StoredOwner,
  storedKey,
} from '../describe/record.ts';
import { identityOf } from '../leadership/identity.ts';
import { Namespace, parentPath, pathOf } from './namespace.ts';
import { OldestBelow, type Relevance, RelevantNames, type WantedNames } from './relevance.ts';

export interface StoredRecord {
  readonly entry: Entry;
  /** `undefined`: not written by any registrar. */
  readonly owner: StoredOwner | undefined;
  /** The revision since which its owner has the name. */
  readonly since: number;
  /** Whether it has our identity's stamp: only then is it ours to delete. */
  readonly isOwn: boolean;
  /** Whether another registrar of an engine with our engine's id wrote it, and it has no lease to end with. */
  readonly isDangling: boolean;
}

/** What a record is looked up by: its key, for the container that wishes it. */
interface DesiredKey {
  readonly record: Pick<DesiredRecord, 'key' | 'family'>;
  readonly owner: OwnerStamp;
}

export class StoredRecords implements Replica {
  readonly #ownerId: string;
  readonly #engineId: string;
  readonly #idOctets: Buffer;
  readonly #onChange: () => void;
  readonly #held = new RecordTree<StoredRecord>();
  readonly #oldestBelow = new OldestBelow();
  /** Revisions that were learned from our own calls and that the mirror has not reached, deleted keys among them. */
  readonly #ahead = new Map<string, number>();
  /** Under way; what they bring may be older than what the mirror brings meanwhile. */
  #readings = 0;
  /** Keys that were deleted during these, with the revisions. */
  readonly #deleted = new Map<string, number>();
  #listedAt = 0;
  #namespace = new Namespace('/', []);
  #relevant = new RelevantNames(
    { names: new Set(), pointers: new Set(), bases: new Set() },
    this.#namespace,
  );

  /** `onChange` is called when the mirror brought something that matters. */
  constructor(ownerId: string, onChange: () => void) {
    this.#ownerId = ownerId;
    this.#engineId = identityOf(ownerId).engineId;
    this.#idOctets = Buffer.from(this.#engineId);
    this.#onChange = onChange;
  }

  get(key: string): StoredRecord | undefined {
    return this.#held.get(key);
  }

  /** Whether a container has that key already, in the same life. */
  has({ record, owner }: DesiredKey): boolean {
    const stored = this.#held.get(storedKey(record.key, record.family))?.owner;
    return stored?.shortId === owner.shortId && stored.startedAt === owner.startedAt;
  }

  /** All records with our stamp, all that dangle, and others' that concern what is wanted. */
  records(): Iterable<StoredRecord> {
    return this.#held.all();
  }

  /** Those at the name of a path, whichever of its keys they have. */
  at(path: string): Iterable<StoredRecord> {
    return this.#held.at(path);
  }

  /** Those below it; of others' the oldest few. */
  below(path: string): Iterable<StoredRecord> {
    return this.#held.below(path);
  }

  /** From now on others' records are kept that are at, above or below these names, and no others. */
  want(wanted: WantedNames, namespace: Namespace): RelevantNames {
    if (this.#relevant.isFor(wanted, namespace)) return this.#relevant;
    this.#relevant = new RelevantNames(wanted, namespace);
    this.#namespace = namespace;
    const partial = this.#oldestBelow.clear();
    for (const record of [...this.#held.all()]) if (!isKept(record)) this.#reconsider(record);
    for (const name of partial) {
      const concern = this.#relevant.relevanceOf(name);
      if (concern.kind === 'below') this.#oldestBelow.markIncomplete(concern.name);
      else if (concern.kind === 'direct') this.#oldestBelow.markIncomplete(name);
    }
    return this.#relevant;
  }

  /** Names of whose crowd none is left that was kept, although there were more: to be read again. */
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
      // With our own new record all is known of what others had around it by then.
      matters ||= ahead !== revision || this.#isAmongOthers(key, revision);
    }
    if (matters) this.#onChange();
  }

  *revisions(): Generator<readonly [string, number]> {
    for (const [key, { entry }] of this.#held.entries()) yield [key, entry.modRevision];
  }

  /** Calls of `learn` until `end` tell what was read meanwhile. Gives `end`. */
  beginReading(): () => void {
    this.#readings++;
    return () => {
      if (--this.#readings === 0) this.#deleted.clear();
    };
  }

  /** What a call of ours saw under a key at a revision of the store. */
  learn(key: string, entry: Entry | undefined, revision: number): void {
    if (revision < Math.max(this.#listedAt, this.#deleted.get(key) ?? 0)) return;
    const seen = entry?.modRevision ?? revision;
    const known = Math.max(this.#held.get(key)?.entry.modRevision ?? 0, this.#ahead.get(key) ?? 0);
    if (seen < known) return;
    // A state that the mirror brought already will not come from it again.
    const isNew = this.#held.get(key)?.entry.modRevision !== seen;
    const isHeld = this.#set(key, entry);
    // Of what is not kept a later look would keep nothing either.
    if (isNew && (isHeld || entry === undefined)) this.#ahead.set(key, seen);
  }

  /** The mirror has brought everything up to that revision. */
  onMirrored(revision: number): void {
    for (const [key, ahead] of this.#ahead) if (ahead <= revision) this.#ahead.delete(key);
  }

  /** After the mirror has listed all at a revision: what it does not have, we do not know. */
  onRelisted(revision: number): void {
    this.#listedAt = revision;
    for (const key of this.#ahead.keys()) this.#remove(key);
    this.#ahead.clear();
  }

  /** Another's, after something else is wanted. */
  #reconsider(record: StoredRecord): void {
    const { entry, owner } = record;
    const path = pathOf(entry.key);
    const concern = this.#relevant.relevanceOf(path);
    if (!this.#admit(record, path, concern)) this.#held.delete(entry.key);
    else if (owner === undefined) this.#held.set(entry.key, this.#recordOf(entry, concern));
  }

  /** Gives whether it concerns us. */
  #set(key: string, entry: Entry | undefined): boolean {
    if (entry === undefined) return this.#remove(key);
    const path = pathOf(key);
    const concern = this.#relevant.relevanceOf(path);
    const record = this.#recordOf(entry, concern);
    if (!isKept(record) && !this.#admit(record, path, concern)) return this.#remove(key);
    this.#held.set(key, record);
    return true;
  }

  /** Whether a record came into being at that revision where others have names above it or below. */
  #isAmongOthers(key: string, revision: number): boolean {
    if (this.#held.get(key)?.entry.createRevision !== revision) return false;
    const path = pathOf(key);
    for (const above of this.#namespace.above(path))
      for (const at of keysOfName(above))
        for (const { isOwn } of this.#held.at(at)) if (!isOwn) return true;
    for (const { isOwn } of this.#held.below(path)) if (!isOwn) return true;
    return false;
  }

  #remove(key: string): boolean {
    const concern = this.#relevant.relevanceOf(pathOf(key));
    if (concern.kind === 'below') this.#oldestBelow.remove(concern.name, key);
    return this.#held.delete(key);
  }

  /** Whether to keep what another has written. */
  #admit({ entry, since }: StoredRecord, path: string, concern: Relevance): boolean {
    const { key } = entry;
    if (key !== path) return this.#namespace.isNamed(entry);
    if (concern.kind !== 'below') return concern.kind === 'direct';
    if (!this.#namespace.isNamed(entry)) return false;
    const admission = this.#oldestBelow.offer(concern.name, key, since);
    if (admission.kind === 'out') return false;
    if (admission.evicted !== undefined) this.#held.delete(admission.evicted);
    return true;
  }

  #recordOf(entry: Entry, concern: Relevance): StoredRecord {
    // A zone may hold a million values of others: most are told by their octets.
    const octets = Buffer.from(entry.value.buffer, entry.value.byteOffset, entry.value.length);
    const mayBeOwn = octets.includes(this.#idOctets);
    const owner = mayBeOwn || concern.kind !== 'none' ? ownerOf(entry.value) : undefined;
    const isOwn = owner?.id === this.#ownerId;
    const isOfEngine = owner !== undefined && identityOf(owner.id).engineId === this.#engineId;
    const isDangling = isOfEngine && !isOwn && entry.lease === undefined;
    const since = Math.min(entry.createRevision, owner?.since ?? entry.createRevision);
    return { entry, owner, since, isOwn, isDangling };
  }
}

/** Whether it concerns us wherever it is. */
function isKept({ isOwn, isDangling }: StoredRecord): boolean {
  return isOwn || isDangling;
}

/**
 * Whether the store has the name beside which alone the record may stand, as this container's. To ask for that name is
 * not enough: another container may have it, or instances of it.
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

/** Records by key, and by the tree of the names that their keys stand for. A look or a change costs the name's depth. */

/** There is one for each name that has a record at it or below it. */
interface TreeNode {
  /** Several keys may stand for one name. */
  readonly keys: Set<string>;
  /** Paths one label longer. */
  readonly children: Set<string>;
}

export class RecordTree<T> {
  readonly #records = new Map<string, T>();
  readonly #nodes = new Map<string, TreeNode>();

  get(key: string): T | undefined {
    return this.#records.get(key);
  }

  entries(): Iterable<readonly [key: string, record: T]> {
    return this.#records;
  }

  all(): Iterable<T> {
    return this.#records.values();
  }

  set(key: string, record: T): void {
    if (!this.#records.has(key)) this.#nodeAt(pathOf(key)).keys.add(key);
    this.#records.set(key, record);
  }

  /** Gives whether there was one. */
  delete(key: string): boolean {
    if (!this.#records.delete(key)) return false;
    let path = pathOf(key);
    this.#nodes.get(path)?.keys.delete(key);
    for (;;) {
      const place = this.#nodes.get(path);
      if (place === undefined || place.keys.size > 0 || place.children.size > 0) return true;
      this.#nodes.delete(path);
      const parent = parentPath(path);
      this.#nodes.get(parent)?.children.delete(path);
      path = parent;
    }
  }

  /** Those whose keys stand for the name of that path. */
  *at(path: string): Generator<T, void, undefined> {
    for (const key of this.#nodes.get(path)?.keys ?? []) {
      const record = this.#records.get(key);
      if (record !== undefined) yield record;
    }
  }

  /** Those at all names below that of the path. */
  *below(path: string): Generator<T, void, undefined> {
    for (const child of this.#nodes.get(path)?.children ?? []) {
      yield* this.at(child);
      yield* this.below(child);
    }
  }

  #nodeAt(path: string): TreeNode {
    const known = this.#nodes.get(path);
    if (known !== undefined) return known;
    const place: TreeNode = { keys: new Set(), children: new Set() };
    this.#nodes.set(path, place);
    if (path !== '') this.#nodeAt(parentPath(path)).children.add(path);
    return place;
  }
}
