/**
 * What the store holds, as far as it concerns us: every record with our stamp, and whoever stands where we want one.
 *
 * The mirror keeps it true. A write's result is learned at once, and so is ahead of the mirror: what the mirror then
 * says about an older state of that key is passed over.
 */
import type { Change, Entry } from '../service/change.ts';
import type { Replica } from '../store/mirror.ts';
import { nameKeyOf, storedKey } from './claim.ts';
import type { DesiredRecord } from './description.ts';
import { identityOf } from './identity.ts';
import { type Owner, ownerOf } from './record.ts';

export interface ActualRecord {
  readonly entry: Entry;
  /** `undefined`: not written by any registrar. */
  readonly owner: Owner | undefined;
  /** Whether it has our identity's stamp: only then is it ours to delete. */
  readonly isOwn: boolean;
  /** Whether another registrar of an engine with our engine's id wrote it, and it has no lease to end with. */
  readonly isDangling: boolean;
}

/** Names that are looked for: records at these keys, and below them for one family. */
export interface Wanted {
  readonly keys: ReadonlySet<string>;
  /** Keys under which numbers are claimed, without a slash at the end. */
  readonly bases: ReadonlySet<string>;
}

/** What a record is looked up by: its key, for the container that wishes it. */
interface WishedKey {
  readonly record: Pick<DesiredRecord, 'key' | 'family'>;
  readonly owner: Owner;
}

export class ActualRecords implements Replica {
  readonly #ownerId: string;
  readonly #engineId: string;
  readonly #idOctets: Buffer;
  readonly #onChange: () => void;
  readonly #held = new Map<string, ActualRecord>();
  /** Revisions that were learned from our own calls and that the mirror has not reached, deleted keys among them. */
  readonly #ahead = new Map<string, number>();
  #wanted: Wanted = { keys: new Set(), bases: new Set() };

  /** `onChange` is called when the mirror brought something that matters. */
  constructor(ownerId: string, onChange: () => void) {
    this.#ownerId = ownerId;
    this.#engineId = identityOf(ownerId).engineId;
    this.#idOctets = Buffer.from(this.#engineId);
    this.#onChange = onChange;
  }

  get(key: string): ActualRecord | undefined {
    return this.#held.get(key);
  }

  /** Whether a container has that key already, in the same life. */
  has({ record, owner }: WishedKey): boolean {
    const stored = this.#held.get(storedKey(record.key, record.family))?.owner;
    return stored?.containerId === owner.containerId && stored.startedAt === owner.startedAt;
  }

  /** All records with our stamp, all that dangle, and others' at the places that are wanted. */
  records(): Iterable<ActualRecord> {
    return this.#held.values();
  }

  /** From now on others' records are kept at these places, and only at these. */
  want(wanted: Wanted): void {
    this.#wanted = wanted;
    for (const [key, record] of this.#held)
      if (!isKept(record) && !this.#isWanted(key)) this.#held.delete(key);
  }

  apply(changes: readonly Change[]): void {
    let matters = false;
    for (const change of changes) {
      const key = change.kind === 'put' ? change.entry.key : change.key;
      const revision = change.kind === 'put' ? change.entry.modRevision : change.modRevision;
      const ahead = this.#ahead.get(key);
      if (ahead !== undefined && revision < ahead) continue;
      this.#ahead.delete(key);
      const isKnown = ahead === revision;
      if (this.#set(key, change.kind === 'put' ? change.entry : undefined) && !isKnown)
        matters = true;
    }
    if (matters) this.#onChange();
  }

  *revisions(): Generator<readonly [string, number]> {
    for (const [key, { entry }] of this.#held) yield [key, entry.modRevision];
  }

  /** What a call of ours saw under a key at a revision of the store. */
  learn(key: string, entry: Entry | undefined, revision: number): void {
    const seen = entry?.modRevision ?? revision;
    const known = Math.max(this.#held.get(key)?.entry.modRevision ?? 0, this.#ahead.get(key) ?? 0);
    if (seen < known) return;
    // A state that the mirror brought already will not come from it again.
    if (this.#held.get(key)?.entry.modRevision !== seen) this.#ahead.set(key, seen);
    this.#set(key, entry);
  }

  /** The mirror has brought everything up to that revision. */
  settle(revision: number): void {
    for (const [key, ahead] of this.#ahead) if (ahead <= revision) this.#ahead.delete(key);
  }

  /** After the mirror has listed all: what it does not have, we do not know. */
  forgetAhead(): void {
    for (const key of this.#ahead.keys()) this.#held.delete(key);
    this.#ahead.clear();
  }

  /** Gives whether it concerns us. */
  #set(key: string, entry: Entry | undefined): boolean {
    const record = entry === undefined ? undefined : this.#recordOf(entry);
    if (record !== undefined && (isKept(record) || this.#isWanted(key))) {
      this.#held.set(key, record);
      return true;
    }
    return this.#held.delete(key);
  }

  #recordOf(entry: Entry): ActualRecord {
    // A zone may hold a million values of others: most are told by their octets.
    const octets = Buffer.from(entry.value.buffer, entry.value.byteOffset, entry.value.length);
    const mayBeOwn = octets.includes(this.#idOctets);
    const owner = mayBeOwn || this.#isWanted(entry.key) ? ownerOf(entry.value) : undefined;
    const isOwn = owner?.id === this.#ownerId;
    const isOfEngine = owner !== undefined && identityOf(owner.id).engineId === this.#engineId;
    return { entry, owner, isOwn, isDangling: isOfEngine && !isOwn && entry.lease === undefined };
  }

  #isWanted(key: string): boolean {
    const { keys, bases } = this.#wanted;
    const name = nameKeyOf(key);
    if (keys.has(key) || keys.has(name)) return true;
    return bases.size > 0 && (bases.has(parentOf(key)) || bases.has(parentOf(name)));
  }
}

/** Whether it concerns us wherever it is. */
function isKept({ isOwn, isDangling }: ActualRecord): boolean {
  return isOwn || isDangling;
}

function parentOf(key: string): string {
  return key.slice(0, key.lastIndexOf('/'));
}
