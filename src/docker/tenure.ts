/**
 * Holds the lease that all records of an engine live with, and the lock that says whose turn it is to write them.
 *
 * A registrar that ends leaves both: the next one takes the lease over before it expires, so that no name is ever
 * gone. One that finds a living holder stands by. Two that both believe to hold it do no harm, as they write the same
 * values under conditions; the one whose name the lock has lost finds out by its watch. Only the store says that a
 * lease is lost, no clock here does.
 */
import type { Entry } from '../service/change.ts';
import type { Clock } from '../store/clock.ts';
import { createMirror, type Mirror } from '../store/mirror.ts';
import { type LeaseStore, type PutResult, StoreError } from '../store/store.ts';
import { backoffMs } from './backoff.ts';
import {
  type Holder,
  holderValue,
  LockBoard,
  type LockKeys,
  lockKeys,
  parseHolder,
} from './lock.ts';
import { Nap } from './nap.ts';

export type TenureState =
  | { readonly kind: 'seeking'; readonly reason: string | undefined }
  | { readonly kind: 'standby'; readonly holder: Holder }
  | { readonly kind: 'held'; readonly leaseId: string; readonly renewedAtMs: number };

export type TenureEvent =
  | { readonly kind: 'leaseHeld'; readonly leaseId: string; readonly isAdopted: boolean }
  | { readonly kind: 'leaseLost'; readonly leaseId: string; readonly reason: string }
  | { readonly kind: 'standby'; readonly holder: Holder }
  | { readonly kind: 'leaseFailed'; readonly error: StoreError; readonly retryInMs: number };

export interface TenureOptions {
  readonly store: LeaseStore;
  readonly engineId: string;
  /** Unique to this run. */
  readonly instance: string;
  /** Where it runs, for people. */
  readonly host: string;
  /** As in a `Holder`. */
  readonly place?: string | undefined;
  readonly ttlSeconds: number;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onChange: () => void;
  readonly onEvent: (event: TenureEvent) => void;
}

/**
 * In parts of the lease's time: a holder renews it every third, is doubted when less than a third is left, which is
 * looked at every sixth, and then has a fifteenth to show that it is alive. So the rest is enough to take over in.
 */
const RENEW_EVERY = 1 / 3;
const DOUBT_BELOW = 1 / 3;
const LOOK_EVERY = 1 / 6;
const ANSWER_WITHIN = 1 / 15;
const CHALLENGE_TTL_SECONDS = 10;
const BACKOFF = { minMs: 200, maxMs: 5_000 };

/** What is known of our own entry in the lock. */
interface Tenancy {
  readonly leaseId: string;
  readonly modRevision: number;
  renewedAtMs: number;
}

export class Tenure {
  readonly #options: TenureOptions;
  readonly #keys: LockKeys;
  readonly #board: LockBoard;
  readonly #mirror: Mirror;
  readonly #nap: Nap;
  /** After a failure. */
  readonly #rest: Nap;
  #tenancy: Tenancy | undefined;
  #state: TenureState = { kind: 'seeking', reason: undefined };
  /** The holder that was last seen to be alive. */
  #living: string | undefined;
  #mustRenew = false;
  #failures = 0;
  #isClosed = false;

  constructor(options: TenureOptions) {
    this.#options = options;
    this.#keys = lockKeys(options.engineId);
    this.#nap = new Nap(options.clock);
    this.#rest = new Nap(options.clock);
    this.#board = new LockBoard(() => this.#nap.wake());
    const { store, clock, random } = options;
    const { prefix } = this.#keys;
    this.#mirror = createMirror({ store, prefix, replica: this.#board, clock, random });
  }

  start(): void {
    this.#mirror.start();
    void this.#run();
  }

  state(): TenureState {
    return this.#state;
  }

  /** The lease may be gone: asks the store now. */
  verify(): void {
    this.#mustRenew = true;
    this.#nap.wake();
  }

  /** Stops. The lease lives on until it expires, or the next one takes it; `revoke` ends it with all its keys. */
  async close(end: 'keep' | 'revoke'): Promise<void> {
    this.#stop();
    const tenancy = this.#tenancy;
    if (tenancy === undefined) return;
    const { store } = this.#options;
    if (end === 'revoke') {
      await store.revokeLease(tenancy.leaseId);
      return;
    }
    const { leaseId, modRevision } = tenancy;
    const value = this.#value(leaseId, true);
    await store.put(this.#keys.holder, value, {
      lease: leaseId,
      if: { kind: 'modRevision', modRevision },
    });
  }

  #stop(): void {
    this.#isClosed = true;
    this.#mirror.close();
    this.#nap.wake();
    this.#rest.wake();
  }

  async #run(): Promise<void> {
    while (!this.#isClosed) {
      try {
        const pauseMs =
          this.#tenancy === undefined ? await this.#seek() : await this.#keep(this.#tenancy);
        this.#failures = 0;
        if (!this.#isClosed) await this.#nap.sleep(pauseMs);
      } catch (error) {
        const retryInMs = this.#onFailure(error);
        // What the watch says does not cut this short: it may be what the failed call has done.
        if (!this.#isClosed) await this.#rest.sleep(retryInMs);
      }
    }
  }

  #onFailure(error: unknown): number {
    if (!(error instanceof StoreError)) throw error;
    this.#mustRenew = this.#tenancy !== undefined;
    const retryInMs = backoffMs(++this.#failures, BACKOFF, this.#options.random);
    if (this.#isClosed) return retryInMs;
    this.#options.onEvent({ kind: 'leaseFailed', error, retryInMs });
    if (this.#state.kind === 'seeking') this.#become({ kind: 'seeking', reason: error.message });
    return retryInMs;
  }

  // Each of these does what is due now, and gives the time until something may be due again.

  async #keep(tenancy: Tenancy): Promise<number> {
    await this.#answer();
    const standing = this.#standing(tenancy);
    if (standing === 'taken') return this.#lose(tenancy, 'another registrar has taken over');
    const { clock, store } = this.#options;
    const renewEveryMs = this.#ttlMs * RENEW_EVERY;
    const dueInMs = tenancy.renewedAtMs + renewEveryMs - clock.monotonicMs();
    if (dueInMs > 0 && !this.#mustRenew && standing === 'ours') return dueInMs;
    this.#mustRenew = false;
    const askedAtMs = clock.monotonicMs();
    if (!(await store.renewLease(tenancy.leaseId))) {
      return this.#lose(tenancy, 'the store has ended it');
    }
    if (standing === 'gone') return this.#lock(tenancy.leaseId, { kind: 'absent' }, false);
    tenancy.renewedAtMs = askedAtMs;
    this.#state = { kind: 'held', leaseId: tenancy.leaseId, renewedAtMs: askedAtMs };
    return renewEveryMs;
  }

  /** Tells whoever asks that we are alive. */
  async #answer(): Promise<void> {
    const challenge = this.#board.get(this.#keys.challenge);
    if (challenge === undefined) return;
    const { modRevision } = challenge;
    await this.#options.store.delete(this.#keys.challenge, {
      if: { kind: 'modRevision', modRevision },
    });
  }

  /** What the lock says, as far as the watch has come. */
  #standing({ modRevision }: Tenancy): 'ours' | 'taken' | 'gone' {
    const state = this.#mirror.state();
    if (state.kind !== 'synced' || state.revision < modRevision) return 'ours';
    const entry = this.#board.get(this.#keys.holder);
    if (entry === undefined) return 'gone';
    const isOurs = parseHolder(entry.value)?.instance === this.#options.instance;
    return isOurs || entry.modRevision < modRevision ? 'ours' : 'taken';
  }

  #lose({ leaseId }: Tenancy, reason: string): number {
    this.#tenancy = undefined;
    this.#living = undefined;
    this.#options.onEvent({ kind: 'leaseLost', leaseId, reason });
    this.#become({ kind: 'seeking', reason });
    return 0;
  }

  async #seek(): Promise<number> {
    const { store, instance } = this.#options;
    const { entry } = await store.get(this.#keys.holder);
    if (entry === undefined) return this.#found();
    const holder = parseHolder(entry.value);
    if (holder === undefined || holder.isReleased || holder.instance === instance) {
      return this.#adopt(entry, holder);
    }
    if (!this.#isFresh(entry, holder) && !(await this.#isAnswered()))
      return this.#adopt(entry, holder);
    this.#living = holder.instance;
    if (this.#state.kind !== 'standby') this.#options.onEvent({ kind: 'standby', holder });
    this.#become({ kind: 'standby', holder });
    return this.#ttlMs * LOOK_EVERY;
  }

  /** Whether a holder that was alive has renewed its lease in time since. */
  #isFresh({ lease }: Entry, { instance }: Holder): boolean {
    const { ttlSeconds, expiresAtMs } = lease ?? {};
    if (ttlSeconds === undefined || expiresAtMs === undefined) return false;
    if (instance !== this.#living) return false;
    const leftMs = expiresAtMs - this.#options.clock.monotonicMs();
    return leftMs > ttlSeconds * 1000 * DOUBT_BELOW;
  }

  async #isAnswered(): Promise<boolean> {
    const { store, instance, clock } = this.#options;
    const value = Buffer.from(JSON.stringify({ instance }));
    const asked = await store.put(this.#keys.challenge, value, {
      ttlSeconds: CHALLENGE_TTL_SECONDS,
    });
    if (!asked.done) return true;
    const deadlineMs = clock.monotonicMs() + this.#ttlMs * ANSWER_WITHIN;
    for (;;) {
      const leftMs = deadlineMs - clock.monotonicMs();
      if (leftMs <= 0 || this.#isClosed) break;
      await this.#nap.sleep(leftMs);
      const state = this.#mirror.state();
      const isSeen = state.kind === 'synced' && state.revision > asked.entry.modRevision;
      if (isSeen && this.#board.get(this.#keys.challenge) === undefined) break;
    }
    return (await store.get(this.#keys.challenge)).entry === undefined;
  }

  /** Nobody holds it. */
  async #found(): Promise<number> {
    const { id } = await this.#options.store.grantLease(this.#options.ttlSeconds);
    return this.#lock(id, { kind: 'absent' }, true);
  }

  /** Takes over from one that has ended, with its lease as long as that is the one that the lock lives with. */
  async #adopt({ lease, modRevision }: Entry, holder: Holder | undefined): Promise<number> {
    const { store } = this.#options;
    if (this.#isClosed) return 0;
    const condition = { kind: 'modRevision', modRevision } as const;
    if (lease !== undefined && lease.id === holder?.lease && (await store.renewLease(lease.id))) {
      return this.#lock(lease.id, condition, false);
    }
    const { id } = await store.grantLease(this.#options.ttlSeconds);
    return this.#lock(id, condition, true);
  }

  async #lock(
    leaseId: string,
    condition: { kind: 'absent' } | { kind: 'modRevision'; modRevision: number },
    isNew: boolean,
  ): Promise<number> {
    const { store, clock } = this.#options;
    const askedAtMs = clock.monotonicMs();
    let result: PutResult | undefined;
    try {
      const value = this.#value(leaseId, false);
      result = await store.put(this.#keys.holder, value, { lease: leaseId, if: condition });
    } finally {
      if (isNew && result?.done !== true) void store.revokeLease(leaseId).catch(() => undefined);
    }
    if (!result.done) {
      if (this.#tenancy !== undefined) this.#lose(this.#tenancy, 'another registrar was faster');
      return BACKOFF.minMs;
    }
    const { modRevision } = result.entry;
    const isAdopted = !isNew && this.#tenancy === undefined;
    if (this.#tenancy === undefined)
      this.#options.onEvent({ kind: 'leaseHeld', leaseId, isAdopted });
    this.#tenancy = { leaseId, modRevision, renewedAtMs: askedAtMs };
    this.#become({ kind: 'held', leaseId, renewedAtMs: askedAtMs });
    return 0;
  }

  get #ttlMs(): number {
    return this.#options.ttlSeconds * 1000;
  }

  #value(lease: string, isReleased: boolean): Uint8Array {
    const { instance, host, place } = this.#options;
    return holderValue({ instance, host, place, lease, isReleased });
  }

  #become(state: TenureState): void {
    this.#state = state;
    this.#options.onChange();
  }
}
