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
export interface Neighbour {
  readonly kind: Exclude<Relation['living'], 'same'>;
  readonly lock: Lock;
}

export interface NeighboursOptions {
  readonly locks: Locks;
  readonly self: () => Self;
  /** Under which we write, or would. */
  readonly ownIdentity: () => Identity;
  readonly ttlSeconds: number;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onChange: () => void;
  /** One is alive; told once for each run of it. */
  readonly onFound: (neighbour: Neighbour) => void;
}

/** What was found out about a lock. */
interface Known {
  readonly modRevision: number;
  /** `unasked`: it keeps our own records, which `Tenure` sees to. */
  readonly state: 'alive' | 'dead' | 'unasked';
  /** When this is looked into again: a dead holder may only have been late, and what we know of ourselves may change. */
  readonly againAtMs: number;
}

/** In parts of the lease's time. */
const ASK_AGAIN = 1 / 3;
const BACKOFF = { minMs: 200, maxMs: 5_000 };
const MAX_TOLD = 1_000;
/** Locks that are looked at. */
const MAX_OTHERS = 100;

export class Neighbours {
  readonly #options: NeighboursOptions;
  readonly #nap: WakeableSleep;
  /** After a failure. */
  readonly #rest: WakeableSleep;
  readonly #known = new Map<string, Known>();
  readonly #told = new Set<string>();
  #abandoned: ReadonlySet<string> = new Set();
  #clones: ReadonlySet<string> = new Set();
  /** Of an earlier run of ours, when the engine had another id. */
  #formerOwners: ReadonlySet<string> = new Set();
  #failures = 0;
  #isClosed = false;

  constructor(options: NeighboursOptions) {
    this.#options = options;
    this.#nap = new WakeableSleep(options.clock);
    this.#rest = new WakeableSleep(options.clock);
    options.locks.onChange(() => this.#nap.wake());
  }

  start(): void {
    void this.#run();
  }

  close(): void {
    this.#isClosed = true;
    this.#nap.wake();
    this.#rest.wake();
  }

  /** What is known of ourselves has changed. */
  refresh(): void {
    this.#nap.wake();
  }

  /** Whether nobody keeps the records of an owner any more. */
  isAbandoned(owner: string): boolean {
    return this.#abandoned.has(owner) || this.#formerOwners.has(owner) || this.isGone(owner);
  }

  /** Whether it is known that an owner of our engine's id has no lock. */
  isGone(owner: string): boolean {
    return this.#options.locks.isUnlocked(identityOf(owner));
  }

  /** Whether an owner is the living registrar of another engine. */
  isClone(owner: string): boolean {
    return this.#clones.has(owner);
  }

  /** Those that are alive. */
  living(): readonly Neighbour[] {
    const self = this.#options.self();
    return this.#others().flatMap((lock) => {
      const kind = relationOf(self, lock).living;
      return kind === 'same' || !this.#isAlive(lock) ? [] : [{ kind, lock }];
    });
  }

  async #run(): Promise<void> {
    let isFirst = true;
    while (!this.#isClosed) {
      try {
        if (isFirst) await this.#readFormerOwners();
        isFirst = false;
        const pauseMs = await this.#look();
        this.#failures = 0;
        await this.#nap.sleep(pauseMs);
      } catch (error) {
        asStoreError(error);
        // What the watch says does not cut this short: it may be what the failed call has done.
        await this.#rest.sleep(backoffMs(++this.#failures, BACKOFF, this.#options.random));
      }
    }
  }

  async #readFormerOwners(): Promise<void> {
    const { locks, self, onChange } = this.#options;
    const { place } = self();
    if (place === undefined) return;
    try {
      this.#formerOwners = new Set((await locks.readElsewhere(place)).map(ownerId));
    } catch (error) {
      // Some stores let a registrar read no other engine's locks.
      if (asStoreError(error).code !== 'denied') throw error;
    }
    if (this.#formerOwners.size > 0) onChange();
  }

  /** Asks the holders of whom nothing is known. Gives the time until one must be asked again, if there is any. */
  async #look(): Promise<number | undefined> {
    let pauseMs: number | undefined;
    for (const lock of this.#others()) {
      const { againAtMs } = await this.#find(lock);
      if (this.#isClosed) return undefined;
      const leftMs = Math.max(againAtMs - this.#options.clock.monotonicMs(), BACKOFF.minMs);
      if (againAtMs < Number.POSITIVE_INFINITY) pauseMs = Math.min(pauseMs ?? leftMs, leftMs);
    }
    this.#conclude();
    return pauseMs;
  }

  async #find(lock: Lock): Promise<Known> {
    const { clock, ttlSeconds } = this.#options;
    const id = ownerId(lock.identity);
    const before = this.#known.get(id);
    const { modRevision } = lock;
    const isCurrent = before?.modRevision === modRevision && clock.monotonicMs() < before.againAtMs;
    if (before !== undefined && isCurrent) return before;
    const state = await this.#stateOf(lock, before);
    const againAtMs = clock.monotonicMs() + ttlSeconds * 1000 * ASK_AGAIN;
    const known = {
      modRevision,
      state,
      againAtMs: state === 'alive' ? Number.POSITIVE_INFINITY : againAtMs,
    };
    this.#known.set(id, known);
    return known;
  }

  async #stateOf(lock: Lock, before: Known | undefined): Promise<Known['state']> {
    const { locks, self } = this.#options;
    if (lock.holder.isReleased) return 'dead';
    if (relationOf(self(), lock).living === 'same') return 'unasked';
    // One that writes is alive.
    if (before !== undefined && before.modRevision !== lock.modRevision) return 'alive';
    return (await locks.isAnswered(lock.identity)) ? 'alive' : 'dead';
  }

  /** From what is known of the locks that there are. */
  #conclude(): void {
    const ids = new Set(this.#others().map(({ identity }) => ownerId(identity)));
    for (const id of this.#known.keys()) if (!ids.has(id)) this.#known.delete(id);
    const abandoned = new Set([...ids].filter((id) => this.#known.get(id)?.state === 'dead'));
    const living = this.living();
    const clones = new Set(
      living.flatMap(({ kind, lock }) => (kind === 'duplicate' ? [ownerId(lock.identity)] : [])),
    );
    const isNews = !isDeepStrictEqual([abandoned, clones], [this.#abandoned, this.#clones]);
    this.#abandoned = abandoned;
    this.#clones = clones;
    for (const neighbour of living) this.#tell(neighbour);
    if (isNews) this.#options.onChange();
  }

  #tell(neighbour: Neighbour): void {
    const { instance } = neighbour.lock.holder;
    if (this.#told.has(instance)) return;
    if (this.#told.size >= MAX_TOLD) this.#told.clear();
    this.#told.add(instance);
    this.#options.onFound(neighbour);
  }

  #isAlive({ identity }: Lock): boolean {
    return this.#known.get(ownerId(identity))?.state === 'alive';
  }

  #others(): readonly Lock[] {
    const { locks, ownIdentity } = this.#options;
    const others = locks.all().filter(({ identity }) => !isSameIdentity(identity, ownIdentity()));
    return others.slice(0, MAX_OTHERS);
  }
}
