/**
 * registrar/leadership/: Which registrar may write an engine's records: identity, lock, lease.
 * Imports: dns, registrar/engine, service, store, timing.
 * Used by: app, registrar, registrar/observe, registrar/reconcile.
 *
 * Holds the lease that all records of an engine live with, and the lock that says which registrar may write them.
 *
 * A registrar that ends leaves both: the next one takes the lease over before it expires, so that no name is ever
 * gone. One that finds a living holder stands by. Which lock is ours is decided each time one is sought: that of a holder
 * that stands for the same engine, else one of our own. Two that both believe to hold it do no harm, as they write the
 * same values under conditions; the one whose name the lock has lost finds out by its watch. Only the store says that a
 * lease is lost, no clock here does.
 */
import type { Entry } from '../../service/change.ts';
import { type LeaseStore, type PutResult, StoreError } from '../../store/store.ts';
import { backoffMs } from '../../timing/backoff.ts';
import type { Clock } from '../../timing/clock.ts';
import { WakeableSleep } from '../../timing/sleep.ts';
import {
  type Holder,
  type Identity,
  isSameIdentity,
  type Lock,
  newIdentity,
  relationOf,
  type Self,
} from './identity.ts';
import { holderValue, type LockKeys, lockKeys, parseHolder } from './lock.ts';
import type { Locks } from './locks.ts';

export type LeadershipState =
  | { readonly kind: 'seeking'; readonly reason: string | undefined }
  | { readonly kind: 'standby'; readonly holder: Holder }
  | { readonly kind: 'held'; readonly leaseId: string; readonly renewedAtMs: number }
  /** In a dry run: the identity is known, and nothing is taken. */
  | { readonly kind: 'looking' };

export type LeadershipEvent =
  | { readonly kind: 'leaseHeld'; readonly leaseId: string; readonly isAdopted: boolean }
  | { readonly kind: 'leaseLost'; readonly leaseId: string; readonly reason: string }
  | { readonly kind: 'standby'; readonly holder: Holder }
  | { readonly kind: 'leaseFailed'; readonly error: StoreError; readonly retryInMs: number };

export interface LeadershipOptions {
  readonly store: LeaseStore;
  readonly locks: Locks;
  readonly engineId: string;
  /** What is known now. */
  readonly self: () => Self;
  /** Reads only. */
  readonly isDryRun: boolean;
  readonly ttlSeconds: number;
  readonly clock: Clock;
  readonly random: () => number;
  /** Called before anything is done under another identity than before. */
  readonly onIdentity: (identity: Identity) => void;
  readonly onChange: () => void;
  readonly onEvent: (event: LeadershipEvent) => void;
}

/**
 * In parts of the lease's time: a holder renews it every third, is doubted when less than a third is left, which is
 * looked at every sixth, and then has a fifteenth to show that it is alive. So the rest is enough to take over in.
 */
const RENEW_EVERY = 1 / 3;
const DOUBT_BELOW = 1 / 3;
const LOOK_EVERY = 1 / 6;
const ANSWER_WITHIN = 1 / 15;
/** Below the life of a challenge, whose end is not to be taken for an answer. */
const MAX_ANSWER_MS = 5_000;
const BACKOFF = { minMs: 200, maxMs: 5_000 };

/** How long a holder of such a lease has to show that it is alive. */
export function answerWithinMs(ttlSeconds: number): number {
  return Math.min(ttlSeconds * 1000 * ANSWER_WITHIN, MAX_ANSWER_MS);
}

/** What is known of our own entry in the lock. */
interface HeldLock {
  readonly leaseId: string;
  readonly createRevision: number;
  readonly modRevision: number;
  /** What the entry says. */
  readonly value: Uint8Array;
  renewedAtMs: number;
}

export class Leadership {
  readonly #options: LeadershipOptions;
  readonly #nap: WakeableSleep;
  /** After a failure. */
  readonly #backoff: WakeableSleep;
  #identity: Identity;
  #heldLock: HeldLock | undefined;
  #state: LeadershipState = { kind: 'seeking', reason: undefined };
  /** The holder that was last seen to be alive. */
  #lastAliveHolder: string | undefined;
  #mustRenew = false;
  #failures = 0;
  #running: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: LeadershipOptions) {
    this.#options = options;
    this.#nap = new WakeableSleep(options.clock);
    this.#backoff = new WakeableSleep(options.clock);
    this.#identity = newIdentity(options.engineId, options.self().profile);
    options.locks.onChange(() => this.#nap.wake());
  }

  start(): void {
    this.#running = this.#run();
  }

  state(): LeadershipState {
    return this.#state;
  }

  /** Whose lock is held, waited for or sought. */
  get identity(): Identity {
    return this.#identity;
  }

  /** The lease may be gone: asks the store now. */
  verifyLease(): void {
    this.#mustRenew = true;
    this.#nap.wake();
  }

  /** What the lock says of us may be out of date. */
  refresh(): void {
    this.#nap.wake();
  }

  /** Stops. The lease lives on until it expires, or the next one takes it; `revoke` ends it with all its keys. */
  async close(end: 'keep' | 'revoke'): Promise<void> {
    this.#isClosed = true;
    this.#nap.wake();
    this.#backoff.wake();
    // It may be about to get the lock.
    if (this.#heldLock === undefined) await this.#running;
    const heldLock = this.#heldLock;
    if (heldLock === undefined) return;
    if (end === 'revoke') await this.#options.store.revokeLease(heldLock.leaseId);
    else await this.#release(heldLock);
  }

  async #release({ leaseId, modRevision }: HeldLock): Promise<void> {
    await this.#options.store.put(this.#keys.holder, this.#holderValue(leaseId, true), {
      lease: leaseId,
      if: { kind: 'modRevision', modRevision },
    });
  }

  async #run(): Promise<void> {
    while (!this.#isClosed) {
      try {
        const pauseMs =
          this.#heldLock === undefined ? await this.#seek() : await this.#keep(this.#heldLock);
        this.#failures = 0;
        if (!this.#isClosed) await this.#nap.sleep(pauseMs);
      } catch (error) {
        const retryInMs = this.#onFailure(error);
        // What the watch says does not cut this short: it may be what the failed call has done.
        if (!this.#isClosed) await this.#backoff.sleep(retryInMs);
      }
    }
  }

  #onFailure(error: unknown): number {
    if (!(error instanceof StoreError)) throw error;
    this.#mustRenew = this.#heldLock !== undefined;
    const retryInMs = backoffMs(++this.#failures, BACKOFF, this.#options.random);
    if (this.#isClosed) return retryInMs;
    this.#options.onEvent({ kind: 'leaseFailed', error, retryInMs });
    if (this.#state.kind === 'seeking') this.#setState({ kind: 'seeking', reason: error.message });
    return retryInMs;
  }

  // Each of these does what is due now, and gives the time until something may be due again.

  async #keep(heldLock: HeldLock): Promise<number> {
    await this.#answerChallenge();
    const standing = this.#lockState(heldLock);
    if (standing === 'taken') return this.#lose(heldLock, 'another registrar has taken over');
    const elder = this.#olderLockOfOurs(heldLock);
    if (elder !== undefined) {
      await this.#release(heldLock);
      return this.#lose(heldLock, `the registrar on ${elder.holder.host} keeps these records`);
    }
    const { clock, store } = this.#options;
    const { leaseId, modRevision, value } = heldLock;
    const isOutdated = standing === 'ours' && !isEqual(value, this.#holderValue(leaseId, false));
    const renewEveryMs = this.#ttlMs * RENEW_EVERY;
    const dueInMs = heldLock.renewedAtMs + renewEveryMs - clock.monotonicMs();
    if (dueInMs <= 0 || this.#mustRenew || standing === 'gone') {
      this.#mustRenew = false;
      const askedAtMs = clock.monotonicMs();
      if (!(await store.renewLease(leaseId))) return this.#lose(heldLock, 'the store has ended it');
      if (standing === 'gone') return this.#writeLock(leaseId, { kind: 'absent' }, false);
      heldLock.renewedAtMs = askedAtMs;
      this.#state = { kind: 'held', leaseId, renewedAtMs: askedAtMs };
    }
    if (isOutdated) return this.#writeLock(leaseId, { kind: 'modRevision', modRevision }, false);
    return heldLock.renewedAtMs + renewEveryMs - clock.monotonicMs();
  }

  /** Tells whoever asks that we are alive. */
  async #answerChallenge(): Promise<void> {
    const challenge = this.#options.locks.get(this.#keys.challenge);
    if (challenge === undefined) return;
    const { modRevision } = challenge;
    await this.#options.store.delete(this.#keys.challenge, {
      if: { kind: 'modRevision', modRevision },
    });
  }

  /** What the lock says, as far as the watch has come. */
  #lockState({ modRevision }: HeldLock): 'ours' | 'taken' | 'gone' {
    const { locks, self } = this.#options;
    if (!locks.hasSeen(modRevision)) return 'ours';
    const entry = locks.get(this.#keys.holder);
    if (entry === undefined) return 'gone';
    const isOurs = parseHolder(entry.value)?.instance === self().instance;
    return isOurs || entry.modRevision < modRevision ? 'ours' : 'taken';
  }

  /** Two that started at the same moment and knew different things may have taken a lock each: the elder one stays. */
  #olderLockOfOurs({ createRevision }: HeldLock): Lock | undefined {
    const { locks, self } = this.#options;
    const ourselves = self();
    return locks
      .all()
      .filter(({ identity }) => !isSameIdentity(identity, this.#identity))
      .filter((lock) => lock.createRevision < createRevision && !lock.holder.isReleased)
      .find((lock) => relationOf(ourselves, lock).whileAlive === 'same');
  }

  #lose({ leaseId }: HeldLock, reason: string): number {
    this.#heldLock = undefined;
    this.#lastAliveHolder = undefined;
    this.#options.onEvent({ kind: 'leaseLost', leaseId, reason });
    this.#setState({ kind: 'seeking', reason });
    return 0;
  }

  async #seek(): Promise<number> {
    const { store, locks, self, isDryRun } = this.#options;
    const { identity, leftAt } = await locks.chooseIdentity(self(), { mayAsk: !isDryRun });
    if (this.#isClosed) return 0;
    if (!isSameIdentity(identity, this.#identity)) {
      this.#identity = identity;
      this.#options.onIdentity(identity);
    }
    if (isDryRun) {
      this.#setState({ kind: 'looking' });
      return this.#ttlMs;
    }
    const { entry } = await store.get(this.#keys.holder);
    if (entry === undefined) return this.#takeFree();
    const holder = parseHolder(entry.value);
    const isOurs = holder === undefined || holder.isReleased || holder.instance === self().instance;
    if (isOurs || entry.modRevision === leftAt) return this.#takeOver(entry, holder);
    if (!this.#hasRenewedInTime(entry, holder) && !(await locks.isHolderAlive(identity)))
      return this.#takeOver(entry, holder);
    this.#lastAliveHolder = holder.instance;
    if (this.#state.kind !== 'standby') this.#options.onEvent({ kind: 'standby', holder });
    this.#setState({ kind: 'standby', holder });
    return this.#ttlMs * LOOK_EVERY;
  }

  /** Whether a holder that was alive has renewed its lease in time since. */
  #hasRenewedInTime({ lease }: Entry, { instance }: Holder): boolean {
    const { ttlSeconds, expiresAtMs } = lease ?? {};
    if (ttlSeconds === undefined || expiresAtMs === undefined) return false;
    if (instance !== this.#lastAliveHolder) return false;
    const leftMs = expiresAtMs - this.#options.clock.monotonicMs();
    return leftMs > ttlSeconds * 1000 * DOUBT_BELOW;
  }

  /** Nobody holds it. */
  async #takeFree(): Promise<number> {
    const { id } = await this.#options.store.grantLease(this.#options.ttlSeconds);
    return this.#writeLock(id, { kind: 'absent' }, true);
  }

  /** Takes over from one that has ended, with its lease as long as that is the one that the lock lives with. */
  async #takeOver({ lease, modRevision }: Entry, holder: Holder | undefined): Promise<number> {
    const { store } = this.#options;
    if (this.#isClosed) return 0;
    const condition = { kind: 'modRevision', modRevision } as const;
    if (lease !== undefined && lease.id === holder?.lease && (await store.renewLease(lease.id))) {
      return this.#writeLock(lease.id, condition, false);
    }
    const { id } = await store.grantLease(this.#options.ttlSeconds);
    return this.#writeLock(id, condition, true);
  }

  async #writeLock(
    leaseId: string,
    condition: { kind: 'absent' } | { kind: 'modRevision'; modRevision: number },
    isNew: boolean,
  ): Promise<number> {
    const { store, clock } = this.#options;
    const askedAtMs = clock.monotonicMs();
    const value = this.#holderValue(leaseId, false);
    let result: PutResult | undefined;
    try {
      result = await store.put(this.#keys.holder, value, { lease: leaseId, if: condition });
    } finally {
      if (isNew && result?.done !== true) void store.revokeLease(leaseId).catch(() => undefined);
    }
    if (!result.done) {
      if (this.#heldLock !== undefined) this.#lose(this.#heldLock, 'another registrar was faster');
      return BACKOFF.minMs;
    }
    const { createRevision, modRevision } = result.entry;
    const isAdopted = !isNew && this.#heldLock === undefined;
    if (this.#heldLock === undefined)
      this.#options.onEvent({ kind: 'leaseHeld', leaseId, isAdopted });
    this.#heldLock = { leaseId, createRevision, modRevision, value, renewedAtMs: askedAtMs };
    this.#setState({ kind: 'held', leaseId, renewedAtMs: askedAtMs });
    return 0;
  }

  get #ttlMs(): number {
    return this.#options.ttlSeconds * 1000;
  }

  get #keys(): LockKeys {
    return lockKeys(this.#identity);
  }

  #holderValue(lease: string, isReleased: boolean): Uint8Array {
    const { instance, host, bootKey: place, profile } = this.#options.self();
    return holderValue({ instance, host, bootKey: place, lease, isReleased, profile });
  }

  #setState(state: LeadershipState): void {
    this.#state = state;
    this.#options.onChange();
  }
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
