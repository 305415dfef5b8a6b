/**
 * The other registrars whose engines have our engine's id: those of cloned machines, and those of this engine that keep
 * other names. Finds out which of them are alive. Records that a dead one left of our own containers are ours to write.
 */
import { isDeepStrictEqual } from 'node:util';
import { asStoreError } from '../../store/store.ts';
import { backoffMs } from '../../timing/backoff.ts';
import type { Clock } from '../../timing/clock.ts';
import { WakeableSleep } from '../../timing/sleep.ts';
import {
  type Identity,
  identityOf,
  isSameIdentity,
  type Lock,
  ownerId,
  type Relation,
  relationOf,
  type Self,
} from './identity.ts';
import type { Locks } from './locks.ts';

/** Another registrar that is alive and whose lock may concern people. */
export interface PeerRegistrar {
  readonly kind: Exclude<Relation['whileAlive'], 'same'>;
  readonly lock: Lock;
}

export interface PeerRegistrarsOptions {
  readonly locks: Locks;
  readonly self: () => Self;
  /** Under which we write, or would. */
  readonly ownIdentity: () => Identity;
  readonly ttlSeconds: number;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onChange: () => void;
  /** One is alive; told once for each run of it. */
  readonly onFound: (peer: PeerRegistrar) => void;
}

/** What was found out about a lock. */
interface ProbedLock {
  readonly modRevision: number;
  /** `unasked`: it keeps our own records, which `Tenure` sees to. */
  readonly state: 'alive' | 'dead' | 'unasked';
  /** When this is looked into again: a dead holder may only have been late, and what we know of ourselves may change. */
  readonly probeAgainAtMs: number;
}

/** In parts of the lease's time. */
const ASK_AGAIN = 1 / 3;
const BACKOFF = { minMs: 200, maxMs: 5_000 };
const MAX_TOLD = 1_000;
/** Locks that are looked at. */
const MAX_OTHERS = 100;

export class PeerRegistrars {
  readonly #options: PeerRegistrarsOptions;
  readonly #nap: WakeableSleep;
  /** After a failure. */
  readonly #backoff: WakeableSleep;
  readonly #probed = new Map<string, ProbedLock>();
  readonly #reported = new Set<string>();
  #orphaned: ReadonlySet<string> = new Set();
  #clones: ReadonlySet<string> = new Set();
  /** Of an earlier run of ours, when the engine had another id. */
  #formerOwners: ReadonlySet<string> = new Set();
  #failures = 0;
  #isClosed = false;

  constructor(options: PeerRegistrarsOptions) {
    this.#options = options;
    this.#nap = new WakeableSleep(options.clock);
    this.#backoff = new WakeableSleep(options.clock);
    options.locks.onChange(() => this.#nap.wake());
  }

  start(): void {
    void this.#run();
  }

  close(): void {
    this.#isClosed = true;
    this.#nap.wake();
    this.#backoff.wake();
  }

  /** What is known of ourselves has changed. */
  refresh(): void {
    this.#nap.wake();
  }

  /** Whether nobody keeps the records of an owner any more. */
  isOrphaned(owner: string): boolean {
    return this.#orphaned.has(owner) || this.#formerOwners.has(owner) || this.isUnlocked(owner);
  }

  /** Whether it is known that an owner of our engine's id has no lock. */
  isUnlocked(owner: string): boolean {
    return this.#options.locks.isUnlocked(identityOf(owner));
  }

  /** Whether an owner is the living registrar of another engine. */
  isClone(owner: string): boolean {
    return this.#clones.has(owner);
  }

  /** Those that are alive. */
  alive(): readonly PeerRegistrar[] {
    const self = this.#options.self();
    return this.#others().flatMap((lock) => {
      const kind = relationOf(self, lock).whileAlive;
      return kind === 'same' || !this.#isAlive(lock) ? [] : [{ kind, lock }];
    });
  }

  async #run(): Promise<void> {
    let isFirst = true;
    while (!this.#isClosed) {
      try {
        if (isFirst) await this.#readFormerOwners();
        isFirst = false;
        const pauseMs = await this.#probeAll();
        this.#failures = 0;
        await this.#nap.sleep(pauseMs);
      } catch (error) {
        asStoreError(error);
        // What the watch says does not cut this short: it may be what the failed call has done.
        await this.#backoff.sleep(backoffMs(++this.#failures, BACKOFF, this.#options.random));
      }
    }
  }

  async #readFormerOwners(): Promise<void> {
    const { locks, self, onChange } = this.#options;
    const { bootKey: place } = self();
    if (place === undefined) return;
    try {
      this.#formerOwners = new Set((await locks.readOtherEngines(place)).map(ownerId));
    } catch (error) {
      // Some stores let a registrar read no other engine's locks.
      if (asStoreError(error).code !== 'denied') throw error;
    }
    if (this.#formerOwners.size > 0) onChange();
  }

  /** Asks the holders of whom nothing is known. Gives the time until one must be asked again, if there is any. */
  async #probeAll(): Promise<number | undefined> {
    let pauseMs: number | undefined;
    for (const lock of this.#others()) {
      const { probeAgainAtMs: againAtMs } = await this.#probe(lock);
      if (this.#isClosed) return undefined;
      const leftMs = Math.max(againAtMs - this.#options.clock.monotonicMs(), BACKOFF.minMs);
      if (againAtMs < Number.POSITIVE_INFINITY) pauseMs = Math.min(pauseMs ?? leftMs, leftMs);
    }
    this.#update();
    return pauseMs;
  }

  async #probe(lock: Lock): Promise<ProbedLock> {
    const { clock, ttlSeconds } = this.#options;
    const id = ownerId(lock.identity);
    const before = this.#probed.get(id);
    const { modRevision } = lock;
    const isCurrent =
      before?.modRevision === modRevision && clock.monotonicMs() < before.probeAgainAtMs;
    if (before !== undefined && isCurrent) return before;
    const state = await this.#stateOf(lock, before);
    const probeAgainAtMs = clock.monotonicMs() + ttlSeconds * 1000 * ASK_AGAIN;
    const known = {
      modRevision,
      state,
      probeAgainAtMs: state === 'alive' ? Number.POSITIVE_INFINITY : probeAgainAtMs,
    };
    this.#probed.set(id, known);
    return known;
  }

  async #stateOf(lock: Lock, before: ProbedLock | undefined): Promise<ProbedLock['state']> {
    const { locks, self } = this.#options;
    if (lock.holder.isReleased) return 'dead';
    if (relationOf(self(), lock).whileAlive === 'same') return 'unasked';
    // One that writes is alive.
    if (before !== undefined && before.modRevision !== lock.modRevision) return 'alive';
    return (await locks.isHolderAlive(lock.identity)) ? 'alive' : 'dead';
  }

  /** From what is known of the locks that there are. */
  #update(): void {
    const ids = new Set(this.#others().map(({ identity }) => ownerId(identity)));
    for (const id of this.#probed.keys()) if (!ids.has(id)) this.#probed.delete(id);
    const abandoned = new Set([...ids].filter((id) => this.#probed.get(id)?.state === 'dead'));
    const living = this.alive();
    const clones = new Set(
      living.flatMap(({ kind, lock }) => (kind === 'duplicate' ? [ownerId(lock.identity)] : [])),
    );
    const isNews = !isDeepStrictEqual([abandoned, clones], [this.#orphaned, this.#clones]);
    this.#orphaned = abandoned;
    this.#clones = clones;
    for (const peer of living) this.#report(peer);
    if (isNews) this.#options.onChange();
  }

  #report(peer: PeerRegistrar): void {
    const { instance } = peer.lock.holder;
    if (this.#reported.has(instance)) return;
    if (this.#reported.size >= MAX_TOLD) this.#reported.clear();
    this.#reported.add(instance);
    this.#options.onFound(peer);
  }

  #isAlive({ identity }: Lock): boolean {
    return this.#probed.get(ownerId(identity))?.state === 'alive';
  }

  #others(): readonly Lock[] {
    const { locks, ownIdentity } = this.#options;
    const others = locks.all().filter(({ identity }) => !isSameIdentity(identity, ownIdentity()));
    return others.slice(0, MAX_OTHERS);
  }
}
