/** Reads all locks of an engine's id, from a mirror and from the store, and challenges their holders. */
import type { Change, Entry } from '../../service/change.ts';
import { Mirror, type Replica } from '../../store/mirror.ts';
import type { LeaseStore } from '../../store/store.ts';
import type { Clock } from '../../timing/clock.ts';
import { WakeableSleep } from '../../timing/sleep.ts';
import {
  type Identity,
  isSameIdentity,
  type Lock,
  lockCandidates,
  newIdentity,
  type Self,
} from './identity.ts';
import { isLockKey, LOCKS, lockKeys, locksOf, parseHolder, parseLock } from './lock.ts';

export interface LocksOptions {
  readonly store: LeaseStore;
  readonly engineId: string;
  /** Ours; written into challenges. */
  readonly runId: string;
  /** How long a challenged holder has to answer. */
  readonly answerWithinMs: number;
  readonly clock: Clock;
  readonly random: () => number;
}

const CHALLENGE_TTL_SECONDS = 10;
/** A fraction of the lease's lifetime. */
const ANSWER_WITHIN = 1 / 15;
/** Less than the lifetime of a challenge, because its expiry would look like an answer. */
const MAX_ANSWER_MS = 5_000;

/** How long the holder of a lease with that lifetime has to answer a challenge. */
export function answerWithinMs(leaseTtlSeconds: number): number {
  return Math.min(leaseTtlSeconds * 1000 * ANSWER_WITHIN, MAX_ANSWER_MS);
}

export class Locks {
  readonly #options: LocksOptions;
  readonly #replica: LockReplica;
  readonly #mirror: Mirror;
  readonly #listeners = new Set<() => void>();
  #isClosed = false;

  constructor(options: LocksOptions) {
    this.#options = options;
    this.#replica = new LockReplica(() => this.#notify());
    const { store, engineId, clock, random } = options;
    const prefix = locksOf(engineId);
    this.#mirror = new Mirror({ store, prefix, replica: this.#replica, clock, random });
  }

  start(): void {
    this.#mirror.start();
  }

  close(): void {
    this.#isClosed = true;
    this.#mirror.close();
    this.#notify();
  }

  /** Calls the listener after every change and at the end. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** The mirror's entry under a key. */
  get(key: string): Entry | undefined {
    return this.#replica.get(key);
  }

  /** The mirror's locks. */
  all(): readonly Lock[] {
    return locksIn(this.#replica.entries(), this.#options.clock.monotonicMs());
  }

  /** Whether the mirror shows that an identity of this engine's id has no lock. */
  isUnlocked(identity: Identity): boolean {
    if (identity.engineId !== this.#options.engineId || !this.hasSeen(0)) return false;
    return this.get(lockKeys(identity).holder) === undefined;
  }

  /** Whether the mirror holds every change up to that revision. */
  hasSeen(revision: number): boolean {
    const state = this.#mirror.state();
    return state.kind === 'synced' && state.revision >= revision;
  }

  /**
   * The identity of a lock that matches this registrar; else that of a lock whose holder has ended and whose records
   * are ours to take over; else a new one. `takeOverRevision`: the lock's revision at which its holder had ended.
   * Rejects with a `StoreError`.
   */
  async chooseIdentity(
    self: Self,
    { mayChallenge }: { readonly mayChallenge: boolean },
  ): Promise<{ readonly identity: Identity; readonly takeOverRevision?: number }> {
    const locks = await this.#read();
    const { matching, inheritable } = lockCandidates(self, locks);
    if (matching !== undefined) return { identity: matching.identity };
    for (const { identity, holder, modRevision: takeOverRevision } of inheritable) {
      const hasEnded = holder.isReleased || (mayChallenge && !(await this.isHolderAlive(identity)));
      if (hasEnded) return { identity, takeOverRevision };
    }
    const { profile, runId } = self;
    const own = newIdentity(this.#options.engineId, profile);
    const isTaken = locks.some(({ identity }) => isSameIdentity(identity, own));
    const identity = isTaken ? newIdentity(this.#options.engineId, profile, runId) : own;
    return { identity };
  }

  /** Identities of holders with that boot key whose engines have other ids. Rejects with a `StoreError`. */
  async readOtherEngines(bootKey: string): Promise<readonly Identity[]> {
    const { store, engineId, clock } = this.#options;
    const found: Identity[] = [];
    for await (const { entries } of store.snapshot(LOCKS)) {
      for (const { identity, holder } of locksIn(entries, clock.monotonicMs()))
        if (holder.bootKey === bootKey && identity.engineId !== engineId) found.push(identity);
    }
    return found;
  }

  /** Challenges the lock's holder and waits for its answer. Rejects with a `StoreError`. */
  async isHolderAlive(identity: Identity): Promise<boolean> {
    const { store, runId, answerWithinMs, clock } = this.#options;
    const { challenge } = lockKeys(identity);
    const value = Buffer.from(JSON.stringify({ instance: runId }));
    const written = await store.put(challenge, value, { ttlSeconds: CHALLENGE_TTL_SECONDS });
    if (!written.done) return true;
    const sleep = new WakeableSleep(clock);
    const wake = (): void => sleep.wake();
    this.#listeners.add(wake);
    try {
      const deadlineMs = clock.monotonicMs() + answerWithinMs;
      for (;;) {
        const leftMs = deadlineMs - clock.monotonicMs();
        if (leftMs <= 0 || this.#isClosed) break;
        if (this.hasSeen(written.entry.modRevision + 1) && this.get(challenge) === undefined) break;
        await sleep.sleep(leftMs);
      }
    } finally {
      this.#listeners.delete(wake);
    }
    return (await store.get(challenge)).entry === undefined;
  }

  /** Deletes a challenge, which shows the challenger that we are alive. Rejects with a `StoreError`. */
  async answerChallenge(identity: Identity): Promise<void> {
    const { challenge } = lockKeys(identity);
    const written = this.get(challenge);
    if (written === undefined) return;
    const { modRevision } = written;
    await this.#options.store.delete(challenge, { if: { kind: 'modRevision', modRevision } });
  }

  /** Returns whether the lock was still ours, so that it was deleted. Rejects with a `StoreError`. */
  async deleteOwn(identity: Identity, modRevision: number): Promise<boolean> {
    const { store, runId } = this.#options;
    const { holder } = lockKeys(identity);
    const result = await store.delete(holder, { if: { kind: 'modRevision', modRevision } });
    if (result.done) return true;
    // The answer to our last write of the lock may be missing.
    const { current } = result;
    const isOurs = current !== undefined && parseHolder(current.value)?.runId === runId;
    return isOurs && this.deleteOwn(identity, current.modRevision);
  }

  /** The store's locks. */
  async #read(): Promise<readonly Lock[]> {
    const { store, engineId, clock } = this.#options;
    const keys: string[] = [];
    for await (const { entries } of store.snapshot(locksOf(engineId)))
      keys.push(...entries.map(({ key }) => key).filter(isLockKey));
    // Every store gives the lifetime of a lease with a single key, but not every store gives it in a listing.
    const read = await Promise.all(keys.map((key) => store.get(key)));
    const entries = read.flatMap(({ entry }) => entry ?? []);
    return locksIn(entries, clock.monotonicMs());
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }
}

function locksIn(entries: Iterable<Entry>, nowMs: number): readonly Lock[] {
  return [...entries].flatMap((entry) => parseLock(entry, nowMs) ?? []);
}

class LockReplica implements Replica {
  readonly #entries = new Map<string, Entry>();
  readonly #onChange: () => void;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  entries(): Iterable<Entry> {
    return this.#entries.values();
  }

  apply(changes: readonly Change[]): void {
    for (const change of changes) {
      if (change.kind === 'put') this.#entries.set(change.entry.key, change.entry);
      else this.#entries.delete(change.key);
    }
    this.#onChange();
  }

  *revisions(): Generator<readonly [string, number]> {
    for (const [key, { modRevision }] of this.#entries) yield [key, modRevision];
  }
}
