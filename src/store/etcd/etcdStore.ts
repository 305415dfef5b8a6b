/**
 * store/etcd/: The store on an etcd cluster. The only folder that uses gRPC.
 * Imports: service, store, timing.
 * Used by: app/process.
 *
 * This file implements the store's calls (API v3; etcd 3.4 or newer). Without a reachable member the calls reject with
 * `unavailable`.
 *
 * Each write is one transaction on etcd, which checks the condition and writes in one step. A put with a TTL gets a
 * lease of its own, which the store revokes if the put does not happen.
 */
import type { IKeyValue, IRequestOp, ITxnResponse } from 'etcd3';
import type { Entry, Lease } from '../../service/change.ts';
import {
  checkKey,
  checkLifetime,
  checkPath,
  checkPrefixPath,
  checkTtl,
  checkValue,
  noSuchLease,
} from '../limits.ts';
import {
  type Condition,
  type DeleteResult,
  type FollowedHistory,
  type KeyLocation,
  type LeaseStore,
  type PutOptions,
  type PutResult,
  type SnapshotOptions,
  type SnapshotPage,
  StoreError,
  type WatchBatch,
} from '../store.ts';
import { Cluster, type OpenedWatch } from './cluster.ts';
import { Endpoint } from './endpoint.ts';
import { isNoSuchLease } from './failure.ts';
import {
  abandonLease,
  EtcdLeases,
  grantLease,
  isLeaseId,
  keepLeaseAlive,
  lookUpLease,
  revokeLease,
} from './leases.ts';
import { locateKey } from './locate.ts';
import { type EtcdOptions, etcdTargetOf } from './options.ts';
import { checkEtcdHistory, etcdSnapshot } from './snapshot.ts';
import { comparisonsOf, entryOfKv, keyBytes, keyText, prefixEnd } from './translate.ts';
import { type WatchRequest, watchStream } from './watch.ts';

const CALL_TIMEOUT_MS = 5_000;
const PAGE_TIMEOUT_MS = 20_000;
const KEEPALIVE_TIME_MS = 8_000;
const KEEPALIVE_TIMEOUT_MS = 5_000;
const WATCH_SILENCE_MS = 3_000;
/**
 * A page with at most this many leases waits until their expiry is known. A page with more leases, such as a zone's,
 * does not wait.
 */
const AWAITED_LEASES = 64;

/** Connects at the first call. The constructor throws StoreError `invalid` for options that contradict each other. */
export class EtcdStore implements LeaseStore {
  readonly label: string;
  readonly #cluster: Cluster;
  readonly #leases: EtcdLeases;
  readonly #options: EtcdOptions;

  constructor(options: EtcdOptions) {
    const { addresses, tls, login } = etcdTargetOf(options);
    const callTimeoutMs = options.callTimeoutMs ?? CALL_TIMEOUT_MS;
    const endpoints = addresses.map(
      (address) =>
        new Endpoint({
          address,
          tls,
          keepaliveTimeMs: options.keepaliveTimeMs ?? KEEPALIVE_TIME_MS,
          keepaliveTimeoutMs: options.keepaliveTimeoutMs ?? KEEPALIVE_TIMEOUT_MS,
          connectTimeoutMs: callTimeoutMs,
        }),
    );
    const cluster = new Cluster(endpoints, { login, callTimeoutMs });
    const lookUp = (id: string) => lookUpLease(cluster, id);
    this.label = `${tls === undefined ? 'etcd' : 'etcds'}://${addresses.join(',')}`;
    this.#cluster = cluster;
    this.#leases = new EtcdLeases({ lookUp, nowMs: () => performance.now() });
    this.#options = options;
  }

  async get(key: string): Promise<{ entry: Entry | undefined; revision: number }> {
    checkPath(key);
    const { kvs, header } = await this.#cluster.call('range', { key: keyBytes(key) });
    const entry = this.#entry(kvs[0]);
    if (entry?.lease !== undefined) await this.#leases.lookUpUnknown([entry.lease.id]);
    return { entry, revision: Number(header.revision) };
  }

  async locate(key: string): Promise<KeyLocation> {
    checkPath(key);
    const { kv, ...location } = await locateKey(this.#cluster, key);
    const entry = this.#entry(kv);
    if (entry?.lease !== undefined) await this.#leases.lookUpUnknown([entry.lease.id]);
    return { ...location, entry };
  }

  async *snapshot(prefix: string, options: SnapshotOptions = {}): AsyncGenerator<SnapshotPage> {
    checkPrefixPath(prefix);
    const timeoutMs = this.#options.pageTimeoutMs ?? PAGE_TIMEOUT_MS;
    for await (const page of etcdSnapshot(this.#cluster, prefix, { ...options, timeoutMs })) {
      const { revision, history, kvs } = page;
      const entries = kvs.map((kv) => entryOfKv(ownKv(kv), this.#leaseOf));
      const leases = new Set<string>();
      for (const { lease } of entries) if (lease !== undefined) leases.add(lease.id);
      if (leases.size <= AWAITED_LEASES) await this.#leases.lookUpUnknown(leases);
      yield { revision, history, entries };
    }
  }

  watch(
    prefix: string,
    fromRevision: number,
    signal: AbortSignal,
    followed?: FollowedHistory,
  ): AsyncGenerator<WatchBatch> {
    return this.#watch({ prefix, fromRevision, signal, isMerged: false }, followed);
  }

  watchMerged(
    prefix: string,
    fromRevision: number,
    signal: AbortSignal,
    followed?: FollowedHistory,
  ): AsyncGenerator<WatchBatch> {
    return this.#watch({ prefix, fromRevision, signal, isMerged: true }, followed);
  }

  async *#watch(
    wanted: Pick<WatchRequest, 'prefix' | 'fromRevision' | 'signal' | 'isMerged'>,
    followed: FollowedHistory | undefined,
  ): AsyncGenerator<WatchBatch> {
    const { prefix, fromRevision, signal } = wanted;
    checkPrefixPath(prefix);
    const opened = await this.#openWatch(prefix, fromRevision, signal, followed);
    if (opened === undefined) return;
    const { stream, endpoint, revision } = opened;
    try {
      yield* watchStream(stream, {
        ...wanted,
        memberRevision: revision,
        leaseOf: this.#leaseOf,
        createTimeoutMs: this.#options.callTimeoutMs ?? CALL_TIMEOUT_MS,
        silenceMs: this.#options.watchSilenceMs ?? WATCH_SILENCE_MS,
      });
    } catch (error) {
      if (error instanceof StoreError && error.code !== 'compacted') {
        this.#cluster.failOver(endpoint);
        await endpoint.reconnect();
      }
      throw error;
    }
  }

  async checkHistory(
    prefix: string,
    seenRevision: number,
    followed: FollowedHistory,
  ): Promise<void> {
    await checkEtcdHistory(
      (request) => this.#cluster.call('range', request),
      prefix,
      seenRevision,
      followed,
    );
  }

  async put(key: string, value: Uint8Array, options: PutOptions = {}): Promise<PutResult> {
    checkKey(key);
    checkValue(value);
    checkLifetime(options);
    const octets = keyBytes(key);
    const own = Buffer.from(value);
    const { ttlSeconds, lease } = options;
    if (ttlSeconds !== undefined) return this.#putWithTtl(octets, own, options.if, ttlSeconds);
    if (lease !== undefined) return this.#putOnLease(octets, own, options.if, lease);
    return this.#put(octets, own, options.if, undefined);
  }

  async delete(
    key: string,
    options: { readonly if?: Condition | undefined } = {},
  ): Promise<DeleteResult> {
    checkPath(key);
    const octets = keyBytes(key);
    const { succeeded, responses, header } = await this.#transact(octets, options.if, {
      request_delete_range: { key: octets, prev_kv: true },
    });
    const revision = Number(header.revision);
    if (!succeeded) return { done: false, current: this.#readBack(responses), revision };
    const deleted = this.#entry(responses[0]?.response_delete_range?.prev_kvs[0]);
    if (deleted === undefined) return { done: false, current: undefined, revision };
    return { done: true, deleted, revision };
  }

  async deleteTree(prefix: string): Promise<{ deleted: number; revision: number }> {
    checkPrefixPath(prefix);
    const range = { key: keyBytes(prefix), range_end: prefixEnd(prefix) };
    const { deleted, header } = await this.#cluster.call('deleteRange', range);
    return { deleted: Number(deleted), revision: Number(header.revision) };
  }

  async grantLease(ttlSeconds: number): Promise<Lease> {
    checkTtl(ttlSeconds);
    const grantedAtMs = performance.now();
    const granted = await grantLease(this.#cluster, ttlSeconds);
    return this.#leases.granted(granted.id, granted.ttlSeconds, grantedAtMs);
  }

  async renewLease(id: string): Promise<boolean> {
    if (!isLeaseId(id)) return false;
    const renewedAtMs = performance.now();
    const ttlSeconds = await keepLeaseAlive(this.#cluster, id);
    if (ttlSeconds === undefined) return false;
    this.#leases.renewed(id, ttlSeconds, renewedAtMs);
    return true;
  }

  async revokeLease(id: string): Promise<void> {
    if (isLeaseId(id)) await revokeLease(this.#cluster, id);
  }

  async close(): Promise<void> {
    this.#leases.close();
    this.#cluster.close();
  }

  /** An opened watch; undefined when the signal is aborted first. */
  #openWatch(
    prefix: string,
    fromRevision: number,
    signal: AbortSignal,
    followed: FollowedHistory | undefined,
  ): Promise<OpenedWatch | undefined> {
    return new Promise((resolve, reject) => {
      const abort = (): void => resolve(undefined);
      if (signal.aborted) return abort();
      signal.addEventListener('abort', abort, { once: true });
      this.#cluster
        .openWatch((read) => checkEtcdHistory(read, prefix, fromRevision - 1, followed))
        .then((opened) => {
          if (signal.aborted) opened.stream.cancel();
          resolve(opened);
        }, reject)
        .finally(() => signal.removeEventListener('abort', abort));
    });
  }

  readonly #leaseOf = (id: string): Lease => this.#leases.of(id);

  #entry(kv: IKeyValue | null | undefined): Entry | undefined {
    return kv === null || kv === undefined ? undefined : entryOfKv(kv, this.#leaseOf);
  }

  async #putWithTtl(
    key: Buffer,
    value: Buffer,
    condition: Condition | undefined,
    ttlSeconds: number,
  ): Promise<PutResult> {
    const lease = await this.grantLease(ttlSeconds);
    try {
      const result = await this.#put(key, value, condition, lease);
      if (!result.done) await abandonLease(this.#cluster, lease.id);
      return result;
    } catch (error) {
      // Revoking the lease removes the key if the put arrived.
      void abandonLease(this.#cluster, lease.id);
      if (!isNoSuchLease(error)) throw error;
      throw new StoreError('unavailable', 'the put took longer than its TTL', { cause: error });
    }
  }

  async #putOnLease(
    key: Buffer,
    value: Buffer,
    condition: Condition | undefined,
    id: string,
  ): Promise<PutResult> {
    if (!isLeaseId(id)) throw noSuchLease(id);
    const lease = this.#leases.of(id);
    try {
      const result = await this.#put(key, value, condition, lease);
      await this.#leases.lookUpUnknown([id]);
      return result;
    } catch (error) {
      throw isNoSuchLease(error) ? noSuchLease(id) : error;
    }
  }

  async #put(
    key: Buffer,
    value: Buffer,
    condition: Condition | undefined,
    lease: Lease | undefined,
  ): Promise<PutResult> {
    const put = { key, value, lease: lease?.id ?? '0', prev_kv: true };
    const response = await this.#transact(key, condition, { request_put: put });
    const revision = Number(response.header.revision);
    if (!response.succeeded) {
      return { done: false, current: this.#readBack(response.responses), revision };
    }
    const previous = this.#entry(response.responses[0]?.response_put?.prev_kv);
    const createRevision = previous?.createRevision ?? revision;
    const entry = { key: keyText(key), value, createRevision, modRevision: revision, lease };
    return { done: true, entry, previous };
  }

  /** Writes if the condition holds, else reads the key. */
  #transact(
    key: Buffer,
    condition: Condition | undefined,
    write: IRequestOp,
  ): Promise<ITxnResponse> {
    return this.#cluster.call('txn', {
      compare: comparisonsOf(key, condition),
      success: [write],
      failure: [{ request_range: { key } }],
    });
  }

  #readBack(responses: ITxnResponse['responses']): Entry | undefined {
    return this.#entry(responses[0]?.response_range?.kvs[0]);
  }
}

/** Copies the value. A page's values are views of one large buffer, which a single view would keep in memory. */
const ownKv = (kv: IKeyValue): IKeyValue => ({ ...kv, value: Buffer.from(kv.value) });
