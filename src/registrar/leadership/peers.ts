/**
 * Watches the peer registrars, whose engines have our engine's id: on cloned machines, or on this machine with other
 * zones. It challenges their holders to find out which are alive. If a dead peer left records of our own containers,
 * this registrar may take them over.
 */
import { isDeepStrictEqual } from 'node:util';
import { asStoreError } from '../../store/store.ts';
import { backoffMs } from '../../timing/backoff.ts';
import type { Clock } from '../../timing/clock.ts';
import { WakeableSleep } from '../../timing/sleep.ts';
import {
  identityOf,
  isSameIdentity,
  type Lock,
  ownerId,
  type Relation,
  relationOf,
  type SelfSource,
} from './identity.ts';
import type { Leadership } from './leadership.ts';
import type { Locks } from './locks.ts';

/** A peer that is alive. */
export interface PeerRegistrar {
  readonly kind: Exclude<Relation['whileAlive'], 'same'>;
  readonly lock: Lock;
}

export interface PeerRegistrarsOptions {
  readonly locks: Locks;
  readonly registrar: SelfSource;
  /** Its identity is the one under which we write, or would write. */
  readonly leadership: Pick<Leadership, 'identity'>;
  /** Owner ids of this run's former sessions. */
  readonly formerOwners: ReadonlySet<string>;
  readonly leaseTtlSeconds: number;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onChange: () => void;
  /** Called once for each run of a peer that is alive. */
  readonly onFound: (peer: PeerRegistrar) => void;
}

/** The last result for a lock. */
interface ProbedLock {
  readonly modRevision: number;
  /** `skipped`: it keeps our own records, so `Leadership` deals with it. */
  readonly state: 'alive' | 'dead' | 'skipped';
  /** A holder without an answer may only have been late, and our own facts may change. */
  readonly probeAgainAtMs: number;
}

/** A fraction of the lease's lifetime. */
const PROBE_AGAIN = 1 / 3;
const BACKOFF = { minMs: 200, maxMs: 5_000 };
const MAX_REPORTED = 1_000;
/** The most locks that are probed. */
const MAX_PEERS = 100;

export class PeerRegistrars {
  readonly #options: PeerRegistrarsOptions;
  readonly #sleep: WakeableSleep;
  /** After a failure; `wake` does not end it. */
  readonly #backoff: WakeableSleep;
  readonly #probed = new Map<string, ProbedLock>();
  readonly #reported = new Set<string>();
  #orphaned: ReadonlySet<string> = new Set();
  #clones: ReadonlySet<string> = new Set();
  /** Owner ids of earlier runs on this machine, when the engine had another id. */
  #ownersOfEarlierRuns: ReadonlySet<string> = new Set();
  #failures = 0;
  #isClosed = false;

  constructor(options: PeerRegistrarsOptions) {
    this.#options = options;
    this.#sleep = new WakeableSleep(options.clock);
    this.#backoff = new WakeableSleep(options.clock);
    options.locks.onChange(() => this.#sleep.wake());
  }

  start(): void {
    void this.#run();
  }

  close(): void {
    this.#isClosed = true;
    this.#sleep.wake();
    this.#backoff.wake();
  }

  /** Call it when our own facts have changed. */
  refresh(): void {
    this.#sleep.wake();
  }

  /** Whether no registrar keeps that owner's records. */
  isOrphaned(owner: string): boolean {
    return (
      this.#options.formerOwners.has(owner) ||
      this.#ownersOfEarlierRuns.has(owner) ||
      this.#orphaned.has(owner) ||
      this.isUnlocked(owner)
    );
  }

  /** Whether that owner has our engine's id and no lock. */
  isUnlocked(owner: string): boolean {
    return this.#options.locks.isUnlocked(identityOf(owner));
  }

  /** Whether a live registrar of another engine has that owner id. */
  isClone(owner: string): boolean {
    return this.#clones.has(owner);
  }

  /** The peers that are alive. */
  alive(): readonly PeerRegistrar[] {
    const self = this.#options.registrar.self();
    return this.#others().flatMap((lock) => {
      const kind = relationOf(self, lock).whileAlive;
      return kind === 'same' || !this.#isAlive(lock) ? [] : [{ kind, lock }];
    });
  }

  async #run(): Promise<void> {
    let isFirst = true;
    while (!this.#isClosed) {
      try {
        if (isFirst) await this.#readEarlierRuns();
        isFirst = false;
        const pauseMs = await this.#probeAll();
        this.#failures = 0;
        await this.#sleep.sleep(pauseMs);
      } catch (error) {
        asStoreError(error);
        // A change that the watch brings must not end this sleep: the failed call itself may have caused it.
        await this.#backoff.sleep(backoffMs(++this.#failures, BACKOFF, this.#options.random));
      }
    }
  }

  async #readEarlierRuns(): Promise<void> {
    const { locks, registrar, onChange } = this.#options;
    const { bootKey } = registrar.self();
    if (bootKey === undefined) return;
    try {
      this.#ownersOfEarlierRuns = new Set((await locks.readOtherEngines(bootKey)).map(ownerId));
    } catch (error) {
      // A store may forbid a registrar to read the locks of other engines.
      if (asStoreError(error).code !== 'denied') throw error;
    }
    if (this.#ownersOfEarlierRuns.size > 0) onChange();
  }

  /** Probes the locks that are due. Returns the delay until the next one is due. */
  async #probeAll(): Promise<number | undefined> {
    let pauseMs: number | undefined;
    for (const lock of this.#others()) {
      const { probeAgainAtMs } = await this.#probe(lock);
      if (this.#isClosed) return undefined;
      const leftMs = Math.max(probeAgainAtMs - this.#options.clock.monotonicMs(), BACKOFF.minMs);
      if (probeAgainAtMs < Number.POSITIVE_INFINITY) pauseMs = Math.min(pauseMs ?? leftMs, leftMs);
    }
    this.#update();
    return pauseMs;
  }

  async #probe(lock: Lock): Promise<ProbedLock> {
    const { clock, leaseTtlSeconds } = this.#options;
    const id = ownerId(lock.identity);
    const before = this.#probed.get(id);
    const { modRevision } = lock;
    const isCurrent =
      before?.modRevision === modRevision && clock.monotonicMs() < before.probeAgainAtMs;
    if (before !== undefined && isCurrent) return before;
    const state = await this.#stateOf(lock, before);
    const probeAgainAtMs = clock.monotonicMs() + leaseTtlSeconds * 1000 * PROBE_AGAIN;
    const probed = {
      modRevision,
      state,
      probeAgainAtMs: state === 'alive' ? Number.POSITIVE_INFINITY : probeAgainAtMs,
    };
    this.#probed.set(id, probed);
    return probed;
  }

  async #stateOf(lock: Lock, before: ProbedLock | undefined): Promise<ProbedLock['state']> {
    const { locks, registrar } = this.#options;
    if (lock.holder.isReleased) return 'dead';
    if (relationOf(registrar.self(), lock).whileAlive === 'same') return 'skipped';
    // A holder that writes is alive.
    if (before !== undefined && before.modRevision !== lock.modRevision) return 'alive';
    return (await locks.isHolderAlive(lock.identity)) ? 'alive' : 'dead';
  }

  #update(): void {
    const ids = new Set(this.#others().map(({ identity }) => ownerId(identity)));
    for (const id of this.#probed.keys()) if (!ids.has(id)) this.#probed.delete(id);
    const orphaned = new Set([...ids].filter((id) => this.#probed.get(id)?.state === 'dead'));
    const alive = this.alive();
    const clones = new Set(
      alive.flatMap(({ kind, lock }) => (kind === 'duplicate' ? [ownerId(lock.identity)] : [])),
    );
    const isChanged = !isDeepStrictEqual([orphaned, clones], [this.#orphaned, this.#clones]);
    this.#orphaned = orphaned;
    this.#clones = clones;
    for (const peer of alive) this.#report(peer);
    if (isChanged) this.#options.onChange();
  }

  #report(peer: PeerRegistrar): void {
    const { runId } = peer.lock.holder;
    if (this.#reported.has(runId)) return;
    if (this.#reported.size >= MAX_REPORTED) this.#reported.clear();
    this.#reported.add(runId);
    this.#options.onFound(peer);
  }

  #isAlive({ identity }: Lock): boolean {
    return this.#probed.get(ownerId(identity))?.state === 'alive';
  }

  #others(): readonly Lock[] {
    const { locks, leadership } = this.#options;
    const own = leadership.identity;
    const others = locks.all().filter(({ identity }) => !isSameIdentity(identity, own));
    return others.slice(0, MAX_PEERS);
  }
}
