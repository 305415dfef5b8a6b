/**
 * registrar/leadership/: Which registrar may write an engine's records: identity, lock, lease.
 * Imports: dns, registrar/engine, service, store, timing.
 * Used by: app, registrar, registrar/observe, registrar/reconcile.
 *
 * `Leadership` holds the lease of all of an engine's records, and the lock that names the registrar that may write:
 *
 *   state   | meaning                                  | action                              | next state
 *   --------|------------------------------------------|-------------------------------------|----------------------
 *   seeking | the holder of our lock is not known      | choose an identity, read its lock   | held, standby, dryRun
 *   standby | another registrar holds it and is alive  | read it again, challenge it if late | held
 *   held    | the lock names us and our lease is valid | renew the lease, answer challenges  | seeking
 *   dryRun  | the identity is known, nothing is taken  | choose the identity again           | dryRun
 *
 * identity.ts says whose lock is ours, lock.ts how it is stored, locks.ts reads and challenges locks, peers.ts watches
 * the locks that are not ours. A registrar that ends releases the lock and leaves the lease: the next registrar takes
 * over the lease before it expires, so that no name disappears. Two registrars that both believe that they lead do no
 * harm: they write the same values under conditions, and the watch shows one of them that the lock does not name it.
 * Only the store decides that a lease is lost; no clock here does.
 */
import type { Entry } from '../../service/change.ts';
import { type LeaseStore, type PutResult, StoreError } from '../../store/store.ts';
import { backoffMs } from '../../timing/backoff.ts';
import type { Clock } from '../../timing/clock.ts';
import { WakeableSleep } from '../../timing/sleep.ts';
import {
  type Identity,
  isSameIdentity,
  type Lock,
  type LockHolder,
  newIdentity,
  relationOf,
  type SelfSource,
} from './identity.ts';
import { holderValue, type LockKeys, lockKeys, parseHolder } from './lock.ts';
import type { Locks } from './locks.ts';

export type LeadershipState =
  | { readonly kind: 'seeking'; readonly reason: string | undefined }
  | { readonly kind: 'standby'; readonly holder: LockHolder }
  | { readonly kind: 'held'; readonly leaseId: string; readonly renewedAtMs: number }
  | { readonly kind: 'dryRun' };

export type LeadershipEvent =
  | { readonly kind: 'leaseHeld'; readonly leaseId: string; readonly isAdopted: boolean }
  | { readonly kind: 'leaseLost'; readonly leaseId: string; readonly reason: string }
  | { readonly kind: 'standby'; readonly holder: LockHolder }
  | { readonly kind: 'leaseFailed'; readonly error: StoreError; readonly retryInMs: number };

export interface LeadershipOptions {
  readonly store: LeaseStore;
  readonly locks: Locks;
  readonly engineId: string;
  readonly registrar: SelfSource;
  /** Takes no lock and no lease. */
  readonly dryRun: boolean;
  readonly leaseTtlSeconds: number;
  readonly clock: Clock;
  readonly random: () => number;
  /** Called before the first call of the store under another identity. */
  readonly onIdentity: (identity: Identity) => void;
  readonly onChange: () => void;
  readonly onEvent: (event: LeadershipEvent) => void;
}

/**
 * Fractions of the lease's lifetime. The holder renews its lease every third. A standby reads the lock every sixth,
 * challenges the holder when less than a third is left, and gives it a fifteenth to answer (locks.ts). The rest is
 * enough to take over.
 */
const RENEW_EVERY = 1 / 3;
const CHALLENGE_BELOW = 1 / 3;
const READ_EVERY = 1 / 6;
const BACKOFF = { minMs: 200, maxMs: 5_000 };

/** Our own entry in the lock. */
interface HeldLock {
  readonly leaseId: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly value: Uint8Array;
  renewedAtMs: number;
}

export class Leadership {
  readonly #options: LeadershipOptions;
  readonly #sleep: WakeableSleep;
  /** The sleep after a failure, which no change of the locks ends. */
  readonly #backoff: WakeableSleep;
  #identity: Identity;
  #heldLock: HeldLock | undefined;
  #state: LeadershipState = { kind: 'seeking', reason: undefined };
  /** The run id of the holder that last proved to be alive. */
  #lastAliveHolder: string | undefined;
  #mustRenew = false;
  #failures = 0;
  #running: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: LeadershipOptions) {
    this.#options = options;
    this.#sleep = new WakeableSleep(options.clock);
    this.#backoff = new WakeableSleep(options.clock);
    this.#identity = newIdentity(options.engineId, options.registrar.self().profile);
    options.locks.onChange(() => this.#sleep.wake());
  }

  start(): void {
    this.#running = this.#run();
  }

  state(): LeadershipState {
    return this.#state;
  }

  /** The identity whose lock it holds, waits for or seeks. */
  get identity(): Identity {
    return this.#identity;
  }

  /** Renews the lease at once, to find out whether it still exists. */
  verifyLease(): void {
    this.#mustRenew = true;
    this.#sleep.wake();
  }

  /** Compares our entry in the lock with our current facts. */
  refresh(): void {
    this.#sleep.wake();
  }

  /**
   * `keep`: the lease lives until it expires or the next registrar takes it over. `revoke` ends it with all its keys,
   * unless another registrar has taken it over.
   */
  async close(onExit: 'keep' | 'revoke'): Promise<void> {
    this.#isClosed = true;
    this.#sleep.wake();
    this.#backoff.wake();
    // `#run` may be about to get the lock.
    if (this.#heldLock === undefined) await this.#running;
    const heldLock = this.#heldLock;
    if (heldLock === undefined) return;
    const { store, locks } = this.#options;
    if (onExit === 'keep') await this.#release(heldLock);
    // A registrar that has taken over the lock may use its lease. Once the lock is gone, none can.
    else if (await locks.deleteOwn(this.#identity, heldLock.modRevision))
      await store.revokeLease(heldLock.leaseId);
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
          this.#heldLock === undefined ? await this.#seek() : await this.#hold(this.#heldLock);
        this.#failures = 0;
        if (!this.#isClosed) await this.#sleep.sleep(pauseMs);
      } catch (error) {
        const retryInMs = this.#onFailure(error);
        // A change that the watch brings must not end this sleep: the failed call itself may have caused it.
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

  // Each of the following methods does what is due now, and returns the delay until the next call.
  async #hold(heldLock: HeldLock): Promise<number> {
    await this.#options.locks.answerChallenge(this.#identity);
    const lockState = this.#lockState(heldLock);
    if (lockState === 'taken') return this.#lose(heldLock, 'another registrar has taken over');
    const older = this.#olderLockOfOurs(heldLock);
    if (older !== undefined) {
      await this.#release(heldLock);
      return this.#lose(heldLock, `the registrar on ${older.holder.host} keeps these records`);
    }
    const { clock, store } = this.#options;
    const { leaseId, modRevision, value } = heldLock;
    const isOutdated = lockState === 'ours' && !isEqual(value, this.#holderValue(leaseId, false));
    const renewEveryMs = this.#ttlMs * RENEW_EVERY;
    const dueInMs = heldLock.renewedAtMs + renewEveryMs - clock.monotonicMs();
    if (dueInMs <= 0 || this.#mustRenew || lockState === 'gone') {
      this.#mustRenew = false;
      const requestedAtMs = clock.monotonicMs();
      if (!(await store.renewLease(leaseId))) return this.#lose(heldLock, 'the store has ended it');
      if (lockState === 'gone') return this.#writeLock(leaseId, { kind: 'absent' }, false);
      heldLock.renewedAtMs = requestedAtMs;
      this.#state = { kind: 'held', leaseId, renewedAtMs: requestedAtMs };
    }
    if (isOutdated) return this.#writeLock(leaseId, { kind: 'modRevision', modRevision }, false);
    return heldLock.renewedAtMs + renewEveryMs - clock.monotonicMs();
  }

  /** The lock as of the last revision that the watch brought. `gone`: it has no entry. */
  #lockState({ modRevision }: HeldLock): 'ours' | 'taken' | 'gone' {
    const { locks, registrar } = this.#options;
    if (!locks.hasSeen(modRevision)) return 'ours';
    const entry = locks.get(this.#keys.holder);
    if (entry === undefined) return 'gone';
    const isOurs = parseHolder(entry.value)?.runId === registrar.self().runId;
    return isOurs || entry.modRevision < modRevision ? 'ours' : 'taken';
  }

  /** Two registrars that started together with different facts may each hold a lock. The older lock stays. */
  #olderLockOfOurs({ createRevision }: HeldLock): Lock | undefined {
    const { locks, registrar } = this.#options;
    const self = registrar.self();
    return locks
      .all()
      .filter(({ identity }) => !isSameIdentity(identity, this.#identity))
      .filter((lock) => lock.createRevision < createRevision && !lock.holder.isReleased)
      .find((lock) => relationOf(self, lock).whileAlive === 'same');
  }

  #lose({ leaseId }: HeldLock, reason: string): number {
    this.#heldLock = undefined;
    this.#lastAliveHolder = undefined;
    this.#options.onEvent({ kind: 'leaseLost', leaseId, reason });
    this.#setState({ kind: 'seeking', reason });
    return 0;
  }

  async #seek(): Promise<number> {
    const { store, locks, registrar, dryRun } = this.#options;
    const { identity, takeOverRevision } = await locks.chooseIdentity(registrar.self(), {
      mayChallenge: !dryRun,
    });
    if (this.#isClosed) return 0;
    if (!isSameIdentity(identity, this.#identity)) {
      this.#identity = identity;
      this.#options.onIdentity(identity);
    }
    if (dryRun) {
      this.#setState({ kind: 'dryRun' });
      return this.#ttlMs;
    }
    const { entry } = await store.get(this.#keys.holder);
    if (entry === undefined) return this.#takeFree();
    const holder = parseHolder(entry.value);
    const isOurs =
      holder === undefined || holder.isReleased || holder.runId === registrar.self().runId;
    if (isOurs || entry.modRevision === takeOverRevision) return this.#takeOver(entry, holder);
    if (!this.#hasRenewedInTime(entry, holder) && !(await locks.isHolderAlive(identity)))
      return this.#takeOver(entry, holder);
    this.#lastAliveHolder = holder.runId;
    if (this.#state.kind !== 'standby') this.#options.onEvent({ kind: 'standby', holder });
    this.#setState({ kind: 'standby', holder });
    return this.#ttlMs * READ_EVERY;
  }

  /** Whether the holder that last proved to be alive has renewed its lease in time since then. */
  #hasRenewedInTime({ lease }: Entry, { runId }: LockHolder): boolean {
    const { ttlSeconds, expiresAtMs } = lease ?? {};
    if (ttlSeconds === undefined || expiresAtMs === undefined) return false;
    if (runId !== this.#lastAliveHolder) return false;
    const leftMs = expiresAtMs - this.#options.clock.monotonicMs();
    return leftMs > ttlSeconds * 1000 * CHALLENGE_BELOW;
  }

  /** The lock has no entry. */
  async #takeFree(): Promise<number> {
    const { id } = await this.#options.store.grantLease(this.#options.leaseTtlSeconds);
    return this.#writeLock(id, { kind: 'absent' }, true);
  }

  /** Takes the lock of a holder that has ended, and its lease unless that lives longer or shorter than ours is to live. */
  async #takeOver({ lease, modRevision }: Entry, holder: LockHolder | undefined): Promise<number> {
    const { store, leaseTtlSeconds } = this.#options;
    if (this.#isClosed) return 0;
    const condition = { kind: 'modRevision', modRevision } as const;
    const isAlive =
      lease !== undefined && lease.id === holder?.lease && (await store.renewLease(lease.id));
    // The renewal leaves the reconciler time to attach the records to a new lease.
    if (isAlive && (lease.ttlSeconds ?? leaseTtlSeconds) === leaseTtlSeconds)
      return this.#writeLock(lease.id, condition, false);
    const { id } = await store.grantLease(leaseTtlSeconds);
    return this.#writeLock(id, condition, true);
  }

  async #writeLock(
    leaseId: string,
    condition: { kind: 'absent' } | { kind: 'modRevision'; modRevision: number },
    isNew: boolean,
  ): Promise<number> {
    const { store, clock } = this.#options;
    const requestedAtMs = clock.monotonicMs();
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
    this.#heldLock = { leaseId, createRevision, modRevision, value, renewedAtMs: requestedAtMs };
    this.#setState({ kind: 'held', leaseId, renewedAtMs: requestedAtMs });
    return 0;
  }

  get #ttlMs(): number {
    return this.#options.leaseTtlSeconds * 1000;
  }

  get #keys(): LockKeys {
    return lockKeys(this.#identity);
  }

  #holderValue(lease: string, isReleased: boolean): Uint8Array {
    const { runId, host, bootKey, profile } = this.#options.registrar.self();
    return holderValue({ runId, host, bootKey, lease, isReleased, profile });
  }

  #setState(state: LeadershipState): void {
    this.#state = state;
    this.#options.onChange();
  }
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
