/**
 * Which engine a registrar stands for, and whether the holder of another lock stands for the same one. PURE.
 *
 * An engine's id alone does not tell: a cloned machine has the id of the machine that it was made from. So a lock, the
 * owner's mark in a record and with it the right to delete the record rest on an identity: the engine's id and a host
 * part. A registrar takes the identity of a lock whose holder stands for the same engine and does the same work. Where
 * there is none it makes one from what it knows, so that two which start at the same moment make the same one.
 */
import { createHash } from 'node:crypto';
import { isSubdomainOf, parseName } from '../../dns/name.ts';

export interface Identity {
  readonly engineId: string;
  /** Empty in the locks of versions that knew none. */
  readonly hostPart: string;
}

/** What a registrar says in its lock of its engine and of its work there. */
export interface Profile {
  /** The engine's name and folder. */
  readonly name: string | undefined;
  readonly rootDir: string | undefined;
  /** Of the engine's machine: another one after each boot. `undefined`: not known, or of another machine than ours. */
  readonly bootId: string | undefined;
  /** The address of an engine that is reached over a network. */
  readonly endpoint: string | undefined;
  /** Under which others reach the engine's host, as far as known. */
  readonly addresses: readonly string[];
  /** As in `DefaultBridge`; `undefined` also where it is not unique. */
  readonly bridgeId: string | undefined;
  readonly work: RegistrarWork;
}

/** Which names a registrar keeps. Other settings change values only, so they are not part of it. */
export interface RegistrarWork {
  /** Of the store's keys. */
  readonly prefix: string;
  /** Sorted. */
  readonly zones: readonly string[];
  /** The kind of metadata and its prefixes. */
  readonly metadata: string;
}

/** A registrar that looks at others' locks. */
export interface Self {
  readonly instance: string;
  readonly host: string;
  readonly bootKey: string | undefined;
  readonly profile: Profile;
  /** How long its machine has run. `undefined`: not known, or the engine is on another machine. */
  readonly uptimeMs: number | undefined;
}

/** What tells a registrar's current facts; they change while it runs. */
export interface SelfSource {
  self(): Self;
}

/** What a lock says. */
export interface Holder {
  /** Another one for every run of a registrar. */
  readonly instance: string;
  /** For people: where it runs. */
  readonly host: string;
  /** The same for every run on one machine that follows the same engine, until the machine starts anew. */
  readonly bootKey?: string | undefined;
  readonly lease: string;
  /** It has ended and left its records to the next registrar. */
  readonly isReleased: boolean;
  /** Versions without a host part wrote none. */
  readonly profile?: Profile | undefined;
}

export interface Lock {
  readonly identity: Identity;
  readonly holder: Holder;
  readonly createRevision: number;
  readonly modRevision: number;
  /** Since its lease was renewed last; `undefined`: not known. */
  readonly renewedAgoMs: number | undefined;
}

/** What a lock is to a registrar that does not hold it. */
export interface Relation {
  /**
   * While its holder answers. `same`: it keeps our records, so we stand by. `duplicate`: another engine has the id of
   * ours. `overlapping`, `neighbour`: a registrar of our engine with other names, some or none of which are ours too.
   */
  readonly whileAlive: 'same' | 'duplicate' | 'overlapping' | 'neighbour';
  /** Whether its identity, with all records, is ours to take over when its holder does not answer. */
  readonly mayTakeOver: boolean;
}

/** The mark of an owner in a record. */
export function ownerId({ engineId, hostPart }: Identity): string {
  return hostPart === '' ? engineId : `${engineId}/${hostPart}`;
}

/** What the mark of an owner names. */
export function identityOf(owner: string): Identity {
  const [, engineId = owner, hostPart = ''] = /^(.*)\/([0-9a-f]+)$/s.exec(owner) ?? [];
  return { engineId, hostPart };
}

export function isSameIdentity(a: Identity, b: Identity): boolean {
  return a.engineId === b.engineId && a.hostPart === b.hostPart;
}

const HOST_PART_DIGITS = 12;

/** The identity to take where no lock offers one. `salt`: makes another one, where the first is another's. */
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
      if (work === 'disjoint') return { whileAlive: 'neighbour', mayTakeOver: false };
      return { whileAlive: 'overlapping', mayTakeOver: work === 'covered' };
  }
}

export interface LockCandidates {
  /** The lock whose identity is ours, whether its holder answers or not. */
  readonly matching: Lock | undefined;
  /** Locks whose identities are ours if their holders do not answer, the eldest first. */
  readonly inheritable: readonly Lock[];
}

/** Which of the locks offer us an identity. Of several that keep our records the eldest one counts that has a holder. */
export function lockCandidates(self: Self, locks: readonly Lock[]): LockCandidates {
  const related = locks
    .map((lock) => ({ lock, relation: relationOf(self, lock) }))
    .sort((a, b) => a.lock.createRevision - b.lock.createRevision);
  const same = related.flatMap(({ lock, relation }) =>
    relation.whileAlive === 'same' ? [lock] : [],
  );
  const kept = same.find(({ holder }) => !holder.isReleased) ?? same[0];
  const left = related.flatMap(({ lock, relation }) => (relation.mayTakeOver ? [lock] : []));
  return { matching: kept, inheritable: left };
}

/** The lock of a version that told the place only: the boot id, the host and the engine's address, spaces between. */
function oldRelation(self: Self, { host, bootKey: place }: Holder): Relation {
  const isSame =
    self.bootKey === undefined || place === undefined
      ? host === self.host
      : isSameBootKey(self.bootKey, place);
  return { whileAlive: isSame ? 'same' : 'duplicate', mayTakeOver: isSame };
}

/** A container's host name may be another one after an upgrade. */
function isSameBootKey(a: string, b: string): boolean {
  const [[bootId, , ...engine], [otherBootId, , ...otherEngine]] = [a.split(' '), b.split(' ')];
  return bootId === otherBootId && engine.join(' ') === otherEngine.join(' ');
}

/** `rebooted`: it may be our machine before it booted, or another machine. */
function engineRelation(ours: Profile, theirs: Profile): 'same' | 'rebooted' | 'other' {
  // Proof, wherever the two registrars run, and whatever they take for the host's name or address.
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

/** Stores count the seconds of a lease. */
const TOLERANCE_MS = 2_000;

/** Our machine cannot have held a lock before it booted that was renewed since. */
function endedBeforeBoot({ uptimeMs }: Self, { renewedAgoMs }: Lock): boolean {
  if (uptimeMs === undefined || renewedAgoMs === undefined) return false;
  return renewedAgoMs + TOLERANCE_MS >= uptimeMs;
}

/** `covered`: all of their names are ours too. */
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
