/**
 * Decides what keeps a name from a container: another holder of that name, of a name above it, or of a name below it.
 * Answers do not contain a value with names below it. So a holder below another's name would take all of its clients,
 * and a holder with names below its own would have none. The holder that came first keeps its name.
 */
import { keysOfName } from '../describe/storedValue.ts';
import type { ShortId } from '../engine/containerId.ts';
import { type Claim, keyForRecord } from './claims.ts';
import { type Namespace, parentPath, pathOf } from './namespace.ts';
import type { StoredRecord } from './storedRecords.ts';

/** The state of other owners, by the owner ids in their records. */
export interface OwnerStates {
  /** Whether no registrar keeps that owner's records. If they belong to our own containers, we may write them. */
  isOrphaned(ownerId: string): boolean;
  /** Whether that owner has our engine's id and no lock, so that its records should have expired with their lease. */
  isUnlocked(ownerId: string): boolean;
  /** Whether it is a live registrar of another engine with our engine's id. Cloned containers have equal ids, too. */
  isClone(ownerId: string): boolean;
}

/** The position of a wanted name: at the holder's name, below it or above it. */
export type Position = 'at' | 'below' | 'above';

/** What keeps a name from a claim: the holder of a name at, above or below it. */
export interface Obstacle {
  readonly stands: Position;
  /** A key of the holder's name. */
  readonly key: string;
  /** In words; `undefined` for a record that was set by hand. */
  readonly holder: string | undefined;
}

export interface OccupancyInput {
  readonly stored: {
    get(key: string): StoredRecord | undefined;
    at(path: string): Iterable<StoredRecord>;
    below(path: string): Iterable<StoredRecord>;
  };
  readonly namespace: Namespace;
  /** The store's revision up to which records of other owners are known. Our own may be known up to a later one. */
  readonly mirroredRevision: number;
  /** Whether the desired records of that container are known. The records of other containers stay. */
  isDesiredKnown(shortId: ShortId): boolean;
  readonly owners: OwnerStates;
}

/** A name that has been assigned in this comparison. */
interface AssignedName {
  readonly claim: Claim;
  readonly name: string;
}

/** The names above a name, and the records at them. */
interface Ancestry {
  readonly paths: readonly string[];
  readonly records: readonly StoredRecord[];
}

export class Occupancy {
  readonly #input: OccupancyInput;
  /** By the path one label above the name, which many names share. */
  readonly #ancestries = new Map<string, Ancestry>();
  /** By the paths of all keys of the name. */
  readonly #assigned = new Map<string, AssignedName>();
  /** By path: an assigned name below it, and one of another container if there is one. */
  readonly #assignedBelow = new Map<string, [AssignedName, AssignedName?]>();

  constructor(input: OccupancyInput) {
    this.#input = input;
  }

  /** Assigns the name with all its keys to the claim. */
  assign(claim: Claim, name: string): void {
    const assigned = { claim, name };
    const path = pathOf(name);
    for (const key of keysOfName(path)) this.#assigned.set(key, assigned);
    if (claim.isPointer) return;
    for (const above of this.#ancestryOf(path).paths) this.#noteBelow(above, assigned);
  }

  /** The revision since which the container holds that name; `undefined`: it has no record there. */
  heldSince(claim: Claim, name: string): number | undefined {
    const records = keysOfName(name).flatMap((key) => this.#input.stored.get(key) ?? []);
    const held = records.filter(
      (record) =>
        isSameContainer(record, claim) && (record.isOwn || this.#isInherited(record, claim)),
    );
    return held.length === 0 ? undefined : Math.min(...held.map(({ since }) => since));
  }

  /** `undefined`: the claim may have the name. */
  obstacle(claim: Claim, name: string): Obstacle | undefined {
    const path = pathOf(name);
    return this.#amongAssigned(claim, path) ?? this.#amongStored(claim, name, path);
  }

  /** Whether a peer registrar of this engine keeps a record of the same container under that name. */
  isKeptByPeer(name: string, claim: Claim): boolean {
    return keysOfName(name).some((key) => {
      const { owner, isOwn } = this.#sameContainerAt(key, claim) ?? {};
      if (owner === undefined || isOwn === true) return false;
      return !this.#input.owners.isOrphaned(owner.id) && !this.#input.owners.isClone(owner.id);
    });
  }

  /** Whether a container with the same id on another engine holds the name. */
  isHeldByClone(name: string, claim: Claim): boolean {
    return keysOfName(name).some((key) => {
      const { owner, isOwn } = this.#sameContainerAt(key, claim) ?? {};
      return owner !== undefined && isOwn !== true && this.#input.owners.isClone(owner.id);
    });
  }

  #amongAssigned(claim: Claim, path: string): Obstacle | undefined {
    const [, v4, v6] = keysOfName(path);
    const same = this.#assigned.get(path) ?? this.#assigned.get(v4) ?? this.#assigned.get(v6);
    if (same !== undefined) return obstacleOf('at', same);
    if (claim.isPointer) return undefined;
    for (const above of this.#ancestryOf(path).paths) {
      const assigned = this.#assigned.get(above);
      if (assigned !== undefined && isOther(assigned, claim)) return obstacleOf('below', assigned);
    }
    const below = this.#assignedBelow.get(path)?.find((each) => each && isOther(each, claim));
    return below && obstacleOf('above', below);
  }

  #amongStored(claim: Claim, name: string, path: string): Obstacle | undefined {
    for (const [stands, record] of this.#around(claim, path)) {
      if (this.#isFree(record, claim, stands)) continue;
      const { key } = record.entry;
      const isNeeded = claim.records.some((stamped) => keyForRecord(name, stamped) === key);
      if (isNeeded || !this.#wasFirst(this.heldSince(claim, name), record))
        return { stands, key, holder: holderOf(record) };
    }
    return undefined;
  }

  /**
   * Whether our name, held since that revision, precedes the other record. If two registrars raced and both wrote, the
   * later one removes. A record that we know from before our own write may be gone, so the mirror has to reach that
   * write first.
   */
  #wasFirst(since: number | undefined, other: StoredRecord): boolean {
    if (since === undefined) return false;
    return since < other.since || since > this.#input.mirroredRevision;
  }

  /** The stored records at, above and below a name. */
  *#around(
    { isPointer }: Claim,
    path: string,
  ): Generator<readonly [Position, StoredRecord], void, undefined> {
    const { stored } = this.#input;
    for (const key of keysOfName(path)) for (const record of stored.at(key)) yield ['at', record];
    if (isPointer) return;
    for (const record of this.#ancestryOf(path).records) yield ['below', record];
    for (const record of stored.below(path)) yield ['above', record];
  }

  #ancestryOf(path: string): Ancestry {
    const parent = parentPath(path);
    const known = this.#ancestries.get(parent);
    if (known !== undefined) return known;
    const { stored, namespace } = this.#input;
    const paths = [...namespace.above(path)];
    const records = paths.flatMap(keysOfName).flatMap((key) => [...stored.at(key)]);
    const ancestry = { paths, records };
    this.#ancestries.set(parent, ancestry);
    return ancestry;
  }

  #isFree(record: StoredRecord, claim: Claim, stands: Position): boolean {
    const { owner, isOwn } = record;
    if (owner === undefined) return false;
    // We may reuse the record of another of our containers, once that container's desired records are known.
    if (isOwn) return isSameContainer(record, claim) || this.#input.isDesiredKnown(owner.shortId);
    if (this.#isInherited(record, claim)) return true;
    // Two names of one container conflict only if they are equal.
    return (
      stands !== 'at' && isSameContainer(record, claim) && !this.#input.owners.isClone(owner.id)
    );
  }

  /** Whether an orphaned owner wrote it for the same life of the container, so that it is not a clone's. */
  #isInherited({ owner, isOwn }: StoredRecord, claim: Claim): boolean {
    if (owner === undefined || isOwn) return false;
    const isSameLife = owner.shortId === claim.shortId && owner.startedAt === claim.owner.startedAt;
    return isSameLife && this.#input.owners.isOrphaned(owner.id);
  }

  #sameContainerAt(key: string, claim: Claim): StoredRecord | undefined {
    const stored = this.#input.stored.get(key);
    return stored !== undefined && isSameContainer(stored, claim) ? stored : undefined;
  }

  #noteBelow(above: string, assigned: AssignedName): void {
    const noted = this.#assignedBelow.get(above);
    if (noted === undefined) this.#assignedBelow.set(above, [assigned]);
    else if (noted[1] === undefined && isOther(noted[0], assigned.claim)) noted[1] = assigned;
  }
}

function isSameContainer({ owner }: StoredRecord, { shortId }: Claim): boolean {
  return owner?.shortId === shortId;
}

function isOther(assigned: AssignedName, { shortId }: Claim): boolean {
  return assigned.claim.shortId !== shortId;
}

function obstacleOf(stands: Position, { claim, name }: AssignedName): Obstacle {
  return { stands, key: name, holder: `container ${claim.shortId} of this engine` };
}

/** `undefined` for a record that was set by hand. */
function holderOf({ owner, isOwn }: StoredRecord): string | undefined {
  if (owner === undefined) return undefined;
  const engine = isOwn ? 'this engine' : `engine ${owner.id}`;
  return `container ${owner.shortId} of ${engine}`;
}
