/**
 * The mirrors of many hosts in one process. Each has its own connection to etcd, as the server of a host has, and keeps
 * of each key only the revision, so that one process has room for many mirrors of many keys. It records which keys it
 * lost, when a change arrived, and its least number of keys.
 */

import type { Change, Lease } from '../../src/service/change.ts';
import { EtcdStore } from '../../src/store/etcd/etcdStore.ts';
import { Mirror, type MirrorEvent, type Replica } from '../../src/store/mirror.ts';
import { type FollowedHistory, StoreError, type WatchBatch } from '../../src/store/store.ts';
import { untilCut } from './cutWatch.ts';
import { untilAnswered } from './untilAnswered.ts';

export const HOSTS_PREFIX = '/skydns/';
/** The changes of keys below this one are timed, and are not among the names that must stay. */
export const TIMED_PREFIX = '/skydns/local/timed/';

/** Milliseconds since 1970 with a fraction, to compare times of several processes of one machine. */
export const epochMs = (): number => performance.timeOrigin + performance.now();

/** The number of each key, which all mirrors of the process share. */
class KeyNumbers {
  readonly keys: string[] = [];
  readonly #numbers = new Map<string, number>();

  of(key: string): number {
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    this.#numbers.set(key, this.keys.length);
    return this.keys.push(key) - 1;
  }
}

class HostReplica implements Replica {
  readonly #numbers: KeyNumbers;
  /** By the key's number; 0: the mirror does not have the key. */
  #revisions = new Float64Array(1024);
  /** A server keeps the leases of its entries, so that the store keeps looking them up. */
  readonly #leases = new Map<string, Lease>();
  readonly arrivedAt = new Map<number, number>();
  isLoaded = false;
  size = 0;
  leastSize = Number.POSITIVE_INFINITY;
  /** Names that were deleted after the load. */
  losses = 0;

  constructor(numbers: KeyNumbers) {
    this.#numbers = numbers;
  }

  apply(changes: readonly Change[]): void {
    for (const change of changes) {
      if (change.kind === 'put') this.#put(change.entry.key, change.entry);
      else this.#delete(change.key);
    }
    if (this.isLoaded) this.leastSize = Math.min(this.leastSize, this.size);
  }

  *revisions(): Generator<readonly [string, number]> {
    for (const [number, revision] of this.#revisions.entries())
      if (revision > 0) yield [this.#numbers.keys[number] as string, revision];
  }

  revisionOf(key: string): number {
    return this.#revisions[this.#numbers.of(key)] ?? 0;
  }

  #put(key: string, entry: { modRevision: number; lease: Lease | undefined }): void {
    const number = this.#numbers.of(key);
    if (number >= this.#revisions.length) this.#grow(number + 1);
    if (this.#revisions[number] === 0) this.size++;
    this.#revisions[number] = entry.modRevision;
    if (entry.lease !== undefined) this.#leases.set(entry.lease.id, entry.lease);
    if (key.startsWith(TIMED_PREFIX)) this.arrivedAt.set(entry.modRevision, epochMs());
  }

  #delete(key: string): void {
    const number = this.#numbers.of(key);
    if ((this.#revisions[number] ?? 0) === 0) return;
    this.#revisions[number] = 0;
    this.size--;
    if (this.isLoaded) this.losses++;
  }

  #grow(least: number): void {
    const larger = new Float64Array(Math.max(least, this.#revisions.length * 2));
    larger.set(this.#revisions);
    this.#revisions = larger;
  }
}

/** A store whose watches can be cut, and stay cut until they are restored. */
class CuttableStore extends EtcdStore {
  #isCut = false;
  #cut: (error: StoreError) => void = () => undefined;

  cut(): void {
    this.#isCut = true;
    this.#cut(lost());
  }

  restore(): void {
    this.#isCut = false;
  }

  override async *watchMerged(
    prefix: string,
    from: number,
    signal: AbortSignal,
    followed?: FollowedHistory,
  ): AsyncGenerator<WatchBatch> {
    if (this.#isCut) throw lost();
    const cut = new Promise<never>((_, reject) => {
      this.#cut = reject;
    });
    yield* untilCut((ends) => super.watchMerged(prefix, from, ends, followed), signal, cut);
  }
}

const lost = (): StoreError => new StoreError('unavailable', 'the connection was cut');

interface OneMirror {
  readonly store: CuttableStore;
  readonly mirror: Mirror;
  readonly replica: HostReplica;
}

/** What the mirrors have in comparison with etcd, and what they had since their load. */
export interface MirrorCheck {
  readonly mirrors: number;
  readonly keys: number;
  /** Keys with another revision, or that etcd does not have; summed over all mirrors. */
  readonly wrong: number;
  readonly missing: number;
  /** Deletes of names since the load. */
  readonly losses: number;
  /** The least number of keys of a mirror since its load. */
  readonly leastSize: number;
  readonly relists: number;
  readonly failures: number;
  /** The number of failures by reason. */
  readonly reasons: Readonly<Record<string, number>>;
}

export class HostMirrors {
  readonly #endpoint: string;
  readonly #mirrorsPerHost: number;
  readonly #numbers = new KeyNumbers();
  #mirrors: OneMirror[] = [];
  readonly #reasons: Record<string, number> = {};

  /** The mirrors of one host share a watch. */
  constructor(endpoint: string, mirrorsPerHost = 1) {
    this.#endpoint = endpoint;
    this.#mirrorsPerHost = mirrorsPerHost;
  }

  start(hosts: number): void {
    for (let i = 0; i < hosts; i++) this.#open();
  }

  /** Resolves with the times at which the mirrors had every change up to the revision. */
  agree(revision: number): Promise<number[]> {
    return Promise.all(
      this.#mirrors.map(async ({ mirror }) => {
        await mirror.waitFor(revision);
        return epochMs();
      }),
    );
  }

  /** For each revision of a timed key, when each mirror received it. */
  arrivals(revisions: readonly number[]): number[][] {
    return revisions.map((revision) =>
      this.#mirrors.flatMap(({ replica }) => replica.arrivedAt.get(revision) ?? []),
    );
  }

  /** Ends the watches of all mirrors until `restore`. */
  cut(): void {
    for (const { store } of this.#mirrors) store.cut();
  }

  restore(): void {
    for (const { store } of this.#mirrors) store.restore();
  }

  /** Compares every mirror with etcd, while nothing is written. */
  async check(): Promise<MirrorCheck> {
    const stored = await untilAnswered(() => this.#stored());
    const sums = { wrong: 0, missing: 0, losses: 0, relists: 0, failures: 0 };
    let leastSize = Number.POSITIVE_INFINITY;
    for (const { replica, mirror } of this.#mirrors) {
      const difference = compare(replica, stored);
      sums.wrong += difference.wrong;
      sums.missing += difference.missing;
      sums.losses += replica.losses;
      sums.relists += mirror.counters().resyncs;
      sums.failures += mirror.counters().failures;
      leastSize = Math.min(leastSize, replica.leastSize);
    }
    return {
      mirrors: this.#mirrors.length,
      keys: stored.size,
      leastSize,
      reasons: this.#reasons,
      ...sums,
    };
  }

  /** The revisions of all keys in etcd. */
  async #stored(): Promise<ReadonlyMap<string, number>> {
    const stored = new Map<string, number>();
    const store = new EtcdStore({ endpoints: [this.#endpoint] });
    try {
      for await (const { entries } of store.snapshot(HOSTS_PREFIX, { bulk: true }))
        for (const { key, modRevision } of entries) stored.set(key, modRevision);
    } finally {
      await store.close();
    }
    return stored;
  }

  async close(): Promise<void> {
    const closing = this.#mirrors;
    this.#mirrors = [];
    for (const { mirror } of closing) mirror.close();
    await Promise.all(
      [...new Set(closing.map(({ store }) => store))].map((store) => store.close()),
    );
  }

  #note(error: unknown): void {
    const reason = String(error).replaceAll(/\d+/g, 'N');
    this.#reasons[reason] = (this.#reasons[reason] ?? 0) + 1;
  }

  #open(): void {
    const store = new CuttableStore({ endpoints: [this.#endpoint] });
    let first: Mirror | undefined;
    for (let i = 0; i < this.#mirrorsPerHost; i++) {
      const replica = new HostReplica(this.#numbers);
      const onEvent = (event: MirrorEvent): void => {
        if (event.kind === 'lost') this.#note(event.error);
        if (event.kind !== 'loaded') return;
        replica.isLoaded = true;
        replica.leastSize = replica.size;
      };
      const following = { replica, onEvent };
      const mirror: Mirror =
        first?.beside(following) ?? new Mirror({ store, prefix: HOSTS_PREFIX, ...following });
      first ??= mirror;
      mirror.start();
      this.#mirrors.push({ store, mirror, replica });
    }
  }
}

function compare(
  replica: HostReplica,
  stored: ReadonlyMap<string, number>,
): { wrong: number; missing: number } {
  let missing = 0;
  let wrong = 0;
  let found = 0;
  for (const [key, revision] of stored) {
    const held = replica.revisionOf(key);
    if (held > 0) found++;
    if (held === 0) missing++;
    else if (held !== revision) wrong++;
  }
  return { missing, wrong: wrong + replica.size - found };
}
