/**
 * Decides whether the holder of another lock follows the same engine as this registrar. Pure.
 *
 * The engine's id alone is not enough, because a cloned machine has the id of its original. So locks, owner stamps and
 * the right to delete a record depend on an identity: the engine's id and a host part. A registrar takes the identity
 * of a lock whose holder follows the same engine and has the same work. Without such a lock it derives one from its own
 * facts, so that two registrars that start together derive the same one.
 */
import { createHash } from 'node:crypto';
import { isSubdomainOf, parseName } from '../../dns/name.ts';

export interface Identity {
  readonly engineId: string;
  /** Empty in the locks of older versions. */
  readonly hostPart: string;
}

/** What a registrar's lock states about its engine and its work. */
export interface Profile {
  /** The engine's host name and folder. */
  readonly name: string | undefined;
  readonly rootDir: string | undefined;
  /** Of the engine's machine; changes with each boot. `undefined`: unknown, or the engine is on another machine. */
  readonly bootId: string | undefined;
  /** The address of an engine that the registrar reaches over a network. */
  readonly endpoint: string | undefined;
  /** The known addresses under which other hosts reach the engine's host. */
  readonly addresses: readonly string[];
  /** The id of the default bridge; `undefined` also for engines whose id is the same on every host. */
  readonly bridgeId: string | undefined;
  readonly work: RegistrarWork;
}

/**
 * The settings by which registrars tell whether they keep the same records. Settings that only select containers are
 * left out, so that a registrar keeps its identity when they change.
 */
export interface RegistrarWork {
  /** The prefix of the store's keys. */
  readonly prefix: string;
  /** Sorted. */
  readonly zones: readonly string[];
  /** The kind of metadata and its prefixes. */
  readonly metadata: string;
}

/** This registrar's own facts, to compare with other locks. */
export interface Self {
  readonly runId: string;
  readonly host: string;
  readonly bootKey: string | undefined;
  readonly profile: Profile;
  /** The uptime of its machine. `undefined`: unknown, or the engine is on another machine. */
  readonly uptimeMs: number | undefined;
}

/** Returns a registrar's current facts, which change while it runs. */
export interface SelfSource {
  self(): Self;
}

/** The content of a lock. */
export interface LockHolder {
  /** Unique to one run of a registrar. `instance` in the lock's JSON. */
  readonly runId: string;
  /** The host on which it runs, for people. */
  readonly host: string;
  /**
   * Boot id, host name and engine address: equal for all runs on one machine that follow the same engine, until that
   * machine boots again. `place` in the lock's JSON.
   */
  readonly bootKey?: string | undefined;
  readonly lease: string;
  /** The holder has ended and left its records to the next registrar. */
  readonly isReleased: boolean;
  /** Absent in the locks of versions without a host part. */
  readonly profile?: Profile | undefined;
}

export interface Lock {
  readonly identity: Identity;
  readonly holder: LockHolder;
  readonly createRevision: number;
  readonly modRevision: number;
  /** Time since the last renewal of its lease; `undefined`: unknown. */
  readonly renewedAgoMs: number | undefined;
}

/** What another registrar's lock means to this one. */
export interface Relation {
  /**
   * While its holder is alive. `same`: it keeps our records, so we stand by. `duplicate`: another engine has our
   * engine's id. `overlapping`, `disjoint`: a registrar of our engine with other zones, some or none of which are ours
   * too.
   */
  readonly whileAlive: 'same' | 'duplicate' | 'overlapping' | 'disjoint';
  /** Whether we may take over its identity with all records once its holder is dead. */
  readonly mayTakeOver: boolean;
}

/** The owner id in a record's stamp. */
export function ownerId({ engineId, hostPart }: Identity): string {
  return hostPart === '' ? engineId : `${engineId}/${hostPart}`;
}

/** The identity in an owner id. */
export function identityOf(owner: string): Identity {
  const [, engineId = owner, hostPart = ''] = /^(.*)\/([0-9a-f]+)$/s.exec(owner) ?? [];
  return { engineId, hostPart };
}

export function isSameIdentity(a: Identity, b: Identity): boolean {
  return a.engineId === b.engineId && a.hostPart === b.hostPart;
}

const HOST_PART_DIGITS = 12;

/** The identity of a registrar that finds none in a lock. Another `salt` gives another one, if the first is taken. */
export function newIdentity(engineId: string, profile: Profile, salt = ''): Identity {
  const { name, rootDir, bootId, endpoint, addresses, work } = profile;
  const { prefix, zones, metadata } = work;
  const parts = [name, rootDir, bootId, endpoint, addresses, prefix, zones, metadata, salt];
  const hash = createHash('sha256').update(JSON.stringify(parts)).digest('hex');
  return { engineId, hostPart: hash.slice(0, HOST_PART_DIGITS) };
}

export function relationOf(self: Self, lock: Lock): Relation {
  const { profile } = lock.holder;
  if (profile === undefined) return oldRelation(self, lock.holder);
  const work = workRelation(self.profile.work, profile.work);
  switch (engineRelation(self.profile, profile)) {
    case 'other':
      return { whileAlive: 'duplicate', mayTakeOver: false };
    case 'rebooted': {
      const isOurs = (work === 'equal' || work === 'covered') && endedBeforeBoot(self, lock);
      return { whileAlive: 'duplicate', mayTakeOver: isOurs };
    }
    case 'same':
      if (work === 'equal') return { whileAlive: 'same', mayTakeOver: true };
      if (work === 'disjoint') return { whileAlive: 'disjoint', mayTakeOver: false };
      return { whileAlive: 'overlapping', mayTakeOver: work === 'covered' };
  }
}

export interface LockCandidates {
  /** The lock that keeps our records, whether its holder is alive or dead. */
  readonly matching: Lock | undefined;
  /** Locks that we may take over once their holders are dead, the oldest first. */
  readonly inheritable: readonly Lock[];
}

/** The locks that offer us an identity. If several keep our records, the oldest one with a holder counts. */
export function lockCandidates(self: Self, locks: readonly Lock[]): LockCandidates {
  const related = locks
    .map((lock) => ({ lock, relation: relationOf(self, lock) }))
    .sort((a, b) => a.lock.createRevision - b.lock.createRevision);
  const same = related.flatMap(({ lock, relation }) =>
    relation.whileAlive === 'same' ? [lock] : [],
  );
  const matching = same.find(({ holder }) => !holder.isReleased) ?? same[0];
  const inheritable = related.flatMap(({ lock, relation }) => (relation.mayTakeOver ? [lock] : []));
  return { matching, inheritable };
}

/** The relation to a lock that an older version wrote without a profile. Only the boot key decides it. */
function oldRelation(self: Self, { host, bootKey }: LockHolder): Relation {
  const isSame =
    self.bootKey === undefined || bootKey === undefined
      ? host === self.host
      : isSameBootKey(self.bootKey, bootKey);
  return { whileAlive: isSame ? 'same' : 'duplicate', mayTakeOver: isSame };
}

/** Ignores the host name, because a container may have another one after an upgrade. */
function isSameBootKey(a: string, b: string): boolean {
  const [[bootId, , ...engine], [otherBootId, , ...otherEngine]] = [a.split(' '), b.split(' ')];
  return bootId === otherBootId && engine.join(' ') === otherEngine.join(' ');
}

/** `rebooted`: it is our machine before its last boot, or another machine. */
function engineRelation(ours: Profile, theirs: Profile): 'same' | 'rebooted' | 'other' {
  // The bridge's id is unique, so it proves that the engine is the same. Host names and addresses may differ.
  if (ours.bridgeId !== undefined && ours.bridgeId === theirs.bridgeId) return 'same';
  if (differ(ours.rootDir, theirs.rootDir) || differ(ours.name, theirs.name)) return 'other';
  if (differ(ours.bootId, theirs.bootId))
    return sharesAny(ours.addresses, theirs.addresses) ? 'rebooted' : 'other';
  const isElsewhere =
    differ(ours.endpoint, theirs.endpoint) || areApart(ours.addresses, theirs.addresses);
  return isElsewhere ? 'other' : 'same';
}

function differ(a: string | undefined, b: string | undefined): boolean {
  return a !== undefined && b !== undefined && a !== b;
}

function sharesAny(a: readonly string[], b: readonly string[]): boolean {
  return a.some((address) => b.includes(address));
}

function areApart(a: readonly string[], b: readonly string[]): boolean {
  return a.length > 0 && b.length > 0 && !sharesAny(a, b);
}

/** Stores count leases in whole seconds. */
const TOLERANCE_MS = 2_000;

/** Whether the lock was last renewed before our machine booted, so that it may come from our machine's former boot. */
function endedBeforeBoot({ uptimeMs }: Self, { renewedAgoMs }: Lock): boolean {
  if (uptimeMs === undefined || renewedAgoMs === undefined) return false;
  return renewedAgoMs + TOLERANCE_MS >= uptimeMs;
}

/** `covered`: all of their zones lie in ours. */
function workRelation(
  ours: RegistrarWork,
  theirs: RegistrarWork,
): 'equal' | 'covered' | 'overlapping' | 'disjoint' {
  if (ours.prefix !== theirs.prefix || ours.metadata !== theirs.metadata) return 'disjoint';
  const isCovered = theirs.zones.every((zone) => isInOneOf(zone, ours.zones));
  if (isCovered && ours.zones.every((zone) => isInOneOf(zone, theirs.zones))) return 'equal';
  if (isCovered) return 'covered';
  const isShared =
    theirs.zones.some((zone) => isInOneOf(zone, ours.zones)) ||
    ours.zones.some((zone) => isInOneOf(zone, theirs.zones));
  return isShared ? 'overlapping' : 'disjoint';
}

function isInOneOf(zone: string, zones: readonly string[]): boolean {
  const name = parseName(zone);
  return zones.some((other) => {
    const parent = parseName(other);
    return name !== undefined && parent !== undefined && isSubdomainOf(name, parent);
  });
}
