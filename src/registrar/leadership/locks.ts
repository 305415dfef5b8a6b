/** All locks of an engine's id, as a mirror and the store itself have them, and whether their holders are alive. */
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
import { isLockKey, LOCKS, lockKeys, locksOf, parseLock } from './lock.ts';

export interface LocksOptions {
  readonly store: LeaseStore;
  readonly engineId: string;
  /** Ours, for those who look at a challenge. */
  readonly instance: string;
  /** How long a holder has to show that it is alive. */
  readonly answerWithinMs: number;
  readonly clock: Clock;
  readonly random: () => number;
}

const CHALLENGE_TTL_SECONDS = 10;

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

  /** Calls the listener after every change, and at the end. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** What the mirror has under a key. */
  get(key: string): Entry | undefined {
    return this.#replica.get(key);
  }

  /** What the mirror has. */
  all(): readonly Lock[] {
    return locksIn(this.#replica.entries(), this.#options.clock.monotonicMs());
  }

  /** Whether it is known that an identity of this engine's id has no lock. */
  isUnlocked(identity: Identity): boolean {
    if (identity.engineId !== this.#options.engineId || !this.hasSeen(0)) return false;
    return this.get(lockKeys(identity).holder) === undefined;
  }

  /** Whether the mirror has all that was written up to a revision of the store. */
  hasSeen(revision: number): boolean {
    const state = this.#mirror.state();
    return state.kind === 'synced' && state.revision >= revision;
  }

  /**
   * The identity of a lock which is ours to wait for, or whose holder has left it to us: at revision `leftAt`, as far as
   * is known; else a new one. Rejects with a `StoreError`.
   */
  async chooseIdentity(
    self: Self,
    { mayAsk }: { readonly mayAsk: boolean },
  ): Promise<{ readonly identity: Identity; readonly leftAt?: number }> {
    const locks = await this.#read();
    const { matching: kept, inheritable: left } = lockCandidates(self, locks);
    if (kept !== undefined) return { identity: kept.identity };
    for (const { identity, holder, modRevision: leftAt } of left) {
      if (holder.isReleased) return { identity, leftAt };
      if (mayAsk && !(await this.isHolderAlive(identity))) return { identity, leftAt };
    }
    const { profile, instance } = self;
    const own = newIdentity(this.#options.engineId, profile);
    const isTaken = locks.some(({ identity }) => isSameIdentity(identity, own));
    const identity = isTaken ? newIdentity(this.#options.engineId, profile, instance) : own;
    return { identity };
  }

  /** Identities of holders at a bootKey whose engines have other ids. Rejects with a `StoreError`. */
  async readOtherEngines(bootKey: string): Promise<readonly Identity[]> {
    const { store, engineId, clock } = this.#options;
    const found: Identity[] = [];
    for await (const { entries } of store.snapshot(LOCKS)) {
      for (const { identity, holder } of locksIn(entries, clock.monotonicMs()))
        if (holder.bootKey === bootKey && identity.engineId !== engineId) found.push(identity);
    }
    return found;
  }

  /** Asks a lock's holder whether it is alive. Rejects with a `StoreError`. */
  async isHolderAlive(identity: Identity): Promise<boolean> {
    const { store, instance, answerWithinMs, clock } = this.#options;
    const { challenge } = lockKeys(identity);
    const value = Buffer.from(JSON.stringify({ instance }));
    const asked = await store.put(challenge, value, { ttlSeconds: CHALLENGE_TTL_SECONDS });
    if (!asked.done) return true;
    const nap = new WakeableSleep(clock);
    const wake = (): void => nap.wake();
    this.#listeners.add(wake);
    try {
      const deadlineMs = clock.monotonicMs() + answerWithinMs;
      for (;;) {
        const leftMs = deadlineMs - clock.monotonicMs();
        if (leftMs <= 0 || this.#isClosed) break;
        if (this.hasSeen(asked.entry.modRevision + 1) && this.get(challenge) === undefined) break;
        await nap.sleep(leftMs);
      }
    } finally {
      this.#listeners.delete(wake);
    }
    return (await store.get(challenge)).entry === undefined;
  }

  /** What the store has now. */
  async #read(): Promise<readonly Lock[]> {
    const { store, engineId, clock } = this.#options;
    const keys: string[] = [];
    for await (const { entries } of store.snapshot(locksOf(engineId)))
      keys.push(...entries.map(({ key }) => key).filter(isLockKey));
    // Of single keys the leases' lives are known, which those of a listing need not be.
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
