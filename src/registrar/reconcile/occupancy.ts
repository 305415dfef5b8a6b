/**
 * What keeps a name from a container: another holder of that name, of a name above it, or of one below it. A value with
 * names below it is hidden from answers, so whoever may stand below another's name can take all of its clients, and
 * whoever has names below its own has no clients. The one that was there first holds the name.
 */
import { keysOfName, nameKeyOf } from '../describe/record.ts';
import type { ShortId } from '../engine/containerId.ts';
import type { Assignment } from './assign.ts';
import { type Claim, keyForRecord } from './claims.ts';
import { type Namespace, parentPath, pathOf } from './namespace.ts';
import type { StoredRecord } from './storedRecords.ts';

/** What is known of the owners of others' records. */
export interface OwnerStates {
  /** Whether no registrar keeps that owner's records any more. Those of our own containers are ours to write. */
  isOrphaned(ownerId: string): boolean;
  /** Whether it is one of our engine's id that has no lock, so that its records should have ended with their lease. */
  isUnlocked(ownerId: string): boolean;
  /** Whether it is the registrar of another engine with our engine's id. Containers that were cloned have one id, too. */
  isClone(ownerId: string): boolean;
}

/** Where a wanted name stands: at the holder's name, below it or above it. */
export type Position = 'at' | 'below' | 'above';

/** What keeps a name from a claim. */
export interface Obstacle {
  readonly stands: Position;
  /** A key of the holder's name. */
  readonly key: string;
  /** In words. */
  readonly holder: string;
}

export interface OccupancyInput {
  readonly stored: {
    get(key: string): StoredRecord | undefined;
    at(path: string): Iterable<StoredRecord>;
    below(path: string): Iterable<StoredRecord>;
  };
  readonly namespace: Namespace;
  /** The store's revision up to which the records of others are known. Our own may be known up to a later one. */
  readonly mirroredRevision: number;
  /** Whether it is known what that container should have. Records of others stay as they are. */
  isDesiredKnown(shortId: ShortId): boolean;
  readonly owners: OwnerStates;
}

/** A name that was given away in this round. */
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
  /** By the path one label above the names: many names share it. */
  readonly #ancestries = new Map<string, Ancestry>();
  /** By the paths of all keys that a name may have records at. */
  readonly #assigned = new Map<string, AssignedName>();
  /** By paths above names: one below it, and one of another container if there is any. */
  readonly #assignedBelow = new Map<string, [AssignedName, AssignedName?]>();

  constructor(input: OccupancyInput) {
    this.#input = input;
  }

  /** The name is the claim's, with all its keys. */
  assign(claim: Claim, name: string): void {
    const given = { claim, name };
    const path = pathOf(name);
    for (const key of keysOfName(path)) this.#assigned.set(key, given);
    if (claim.isPointer) return;
    for (const above of this.#ancestryOf(path).paths) this.#noteBelow(above, given);
  }

  /** Since which revision the container has that name; `undefined`: it has no record of it. */
  heldSince(claim: Claim, name: string): number | undefined {
    const records = keysOfName(name).flatMap((key) => this.#input.stored.get(key) ?? []);
    const held = records.filter(
      (record) =>
        isSameContainer(record, claim) && (record.isOwn || this.#isInherited(record, claim)),
    );
    return held.length === 0 ? undefined : Math.min(...held.map(({ since }) => since));
  }

  /** What keeps a name from the claim; `undefined`: it may have it. */
  obstacle(claim: Claim, name: string): Obstacle | undefined {
    const path = pathOf(name);
    return this.#amongAssigned(claim, path) ?? this.#amongStored(claim, name, path);
  }

  /** Whether another registrar of this engine keeps a record of the same container under that name. */
  isKeptByPeer(name: string, claim: Claim): boolean {
    return keysOfName(name).some((key) => {
      const { owner, isOwn } = this.#sameContainerAt(key, claim) ?? {};
      if (owner === undefined || isOwn === true) return false;
      return !this.#input.owners.isOrphaned(owner.id) && !this.#input.owners.isClone(owner.id);
    });
  }

  /** Whether a container with the same id, on another engine, has the name. */
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
      const given = this.#assigned.get(above);
      if (given !== undefined && isOther(given, claim)) return obstacleOf('below', given);
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
   * Whether a name that is held since then was there before a record of another. Two that race may both have written;
   * then the later one withdraws. What is known from before our own write may have gone by then, so it has to be seen.
   */
  #wasFirst(since: number | undefined, other: StoredRecord): boolean {
    if (since === undefined) return false;
    return since < other.since || since > this.#input.mirroredRevision;
  }

  /** The stored records that may be in the way. */
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
    // What another container of ours left is ours to reuse, if we know that it no longer wants it.
    if (isOwn) return isSameContainer(record, claim) || this.#input.isDesiredKnown(owner.shortId);
    if (this.#isInherited(record, claim)) return true;
    // Two names of one container are in each other's way only where they are the same.
    return (
      stands !== 'at' && isSameContainer(record, claim) && !this.#input.owners.isClone(owner.id)
    );
  }

  /** Whether an abandoned owner wrote it for the same life of the container, so that it cannot be a cloned one's. */
  #isInherited({ owner, isOwn }: StoredRecord, claim: Claim): boolean {
    if (owner === undefined || isOwn) return false;
    const isSameLife = owner.shortId === claim.shortId && owner.startedAt === claim.owner.startedAt;
    return isSameLife && this.#input.owners.isOrphaned(owner.id);
  }

  #sameContainerAt(key: string, claim: Claim): StoredRecord | undefined {
    const stored = this.#input.stored.get(key);
    return stored !== undefined && isSameContainer(stored, claim) ? stored : undefined;
  }

  #noteBelow(above: string, given: AssignedName): void {
    const noted = this.#assignedBelow.get(above);
    if (noted === undefined) this.#assignedBelow.set(above, [given]);
    else if (noted[1] === undefined && isOther(noted[0], given.claim)) noted[1] = given;
  }
}

function isSameContainer({ owner }: StoredRecord, { shortId }: Claim): boolean {
  return owner?.shortId === shortId;
}

function isOther(given: AssignedName, { shortId }: Claim): boolean {
  return given.claim.shortId !== shortId;
}

function obstacleOf(stands: Position, { claim, name }: AssignedName): Obstacle {
  return { stands, key: name, holder: `container ${claim.shortId} of this engine` };
}

function holderOf({ owner, isOwn }: StoredRecord): string {
  if (owner === undefined) return 'a record that no registrar wrote';
  const engine = isOwn ? 'this engine' : `engine ${owner.id}`;
  return `container ${owner.shortId} of ${engine}`;
}

/** Why a container does not get a name, and what the operator can do about it, in words. PURE. */

export interface Conflict {
  /** Continues "it is" or the name to a sentence. */
  readonly reason: string;
  /** How the container gets into DNS all the same. */
  readonly hint?: string;
}

export function conflictOf(
  { stamped, key, obstacle }: Extract<Assignment, { kind: 'taken' }>,
  namespace: Namespace,
): Conflict {
  const { holder } = obstacle;
  switch (obstacle.stands) {
    case 'at': {
      const { hintIfTaken: hint } = stamped.record;
      return { reason: `held by ${holder}`, ...(hint === undefined ? {} : { hint }) };
    }
    case 'below': {
      // A name with both families has its records below it.
      const above = namespace.print(nameKeyOf(obstacle.key));
      const hint = `choose a name beside it, such as ${nameBeside(namespace.print(key), above)}`;
      return { reason: `stands below ${above}, which ${holder} holds`, hint };
    }
    case 'above':
      return {
        reason: `would be hidden by ${namespace.print(obstacle.key)}, which ${holder} holds`,
      };
  }
}

/** `replica.db.skydns.local` beside `db.skydns.local` is `replica-db.skydns.local`. */
function nameBeside(name: string, above: string): string {
  const front = name.slice(0, name.length - above.length - 1);
  return `${front.replaceAll('.', '-')}-${above}`;
}
