/** One client's connection to a shared store: a test can interrupt it, make it refuse calls, or cut it for good. */
import {
  type FollowedHistory,
  type LeaseStore,
  type SnapshotPage,
  type Store,
  StoreError,
  type StoreErrorCode,
  type WatchBatch,
} from '../../src/store/store.ts';
import { untilCut } from './cutWatch.ts';

type Operation = 'get' | 'snapshot' | 'watch' | 'put' | 'delete' | 'lease';

export class StoreLink implements LeaseStore {
  readonly label = 'link';
  /** Called before each operation. The operation rejects with the returned error code, if there is one. */
  fault: ((operation: Operation, key: string) => StoreErrorCode | undefined) | undefined;
  /** The write happens, but its answer is lost. */
  loseAnswer: ((operation: Operation, key: string) => boolean) | undefined;
  /** A call waits for this promise before it reaches the store. */
  delay: ((operation: Operation, key: string) => Promise<void> | undefined) | undefined;
  /** Calls that reached the store. */
  readonly counts = { get: 0, snapshot: 0, watch: 0, put: 0, delete: 0, lease: 0 };
  readonly #store: LeaseStore;
  readonly #cuts = new Set<(error: StoreError) => void>();
  #isDead = false;

  constructor(store: LeaseStore) {
    this.#store = store;
  }

  /** Makes every later call fail at once. */
  lose(): void {
    this.fault = () => 'unavailable';
    this.cutWatches();
  }

  restore(): void {
    this.fault = undefined;
  }

  cutWatches(): void {
    for (const cut of this.#cuts) cut(new StoreError('unavailable', 'the link was cut'));
    this.#cuts.clear();
  }

  /** Cuts the client off as if its process were killed: no later call reaches the store, and no call returns. */
  kill(): void {
    this.#isDead = true;
    this.cutWatches();
  }

  get: Store['get'] = (key) => this.#call('get', key, () => this.#store.get(key));
  locate: Store['locate'] = (key) => this.#call('get', key, () => this.#store.locate(key));
  put: Store['put'] = (key, value, options) =>
    this.#call('put', key, () => this.#store.put(key, value, options));
  delete: Store['delete'] = (key, options) =>
    this.#call('delete', key, () => this.#store.delete(key, options));
  deleteTree: Store['deleteTree'] = (prefix) =>
    this.#call('delete', prefix, () => this.#store.deleteTree(prefix));
  grantLease: LeaseStore['grantLease'] = (ttl) =>
    this.#call('lease', 'grant', () => this.#store.grantLease(ttl));
  renewLease: LeaseStore['renewLease'] = (id) =>
    this.#call('lease', 'renew', () => this.#store.renewLease(id));
  revokeLease: LeaseStore['revokeLease'] = (id) =>
    this.#call('lease', 'revoke', () => this.#store.revokeLease(id));

  async *snapshot(prefix: string): AsyncGenerator<SnapshotPage> {
    await this.#call('snapshot', prefix, async () => undefined);
    for await (const page of this.#store.snapshot(prefix)) yield page;
  }

  async *watch(
    prefix: string,
    from: number,
    signal: AbortSignal,
    followed?: FollowedHistory,
  ): AsyncGenerator<WatchBatch> {
    await this.#call('watch', prefix, async () => undefined);
    const cut = new Promise<never>((_, reject) => this.#cuts.add(reject));
    yield* untilCut((ends) => this.#store.watch(prefix, from, ends, followed), signal, cut);
  }

  /** The test that created the store closes it. */
  async close(): Promise<void> {}

  async #call<T>(operation: Operation, key: string, run: () => Promise<T>): Promise<T> {
    if (this.#isDead) return new Promise<never>(() => undefined);
    const code = this.fault?.(operation, key);
    if (code !== undefined) throw new StoreError(code, `a fault of the link: ${code}`);
    await this.delay?.(operation, key);
    this.counts[operation]++;
    const answer = await run();
    if (this.#isDead) return new Promise<never>(() => undefined);
    if (this.loseAnswer?.(operation, key) === true) {
      throw new StoreError('unavailable', 'the answer was lost');
    }
    return answer;
  }
}
