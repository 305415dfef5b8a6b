/**
 * store/http/: The store of another soradns server, over its HTTP API.
 * Imports: service, store.
 * Used by: app/process, server/http, server/http/api.
 *
 * This file is the store `http://`, the client of `server/http/api/storeApi.ts`. Revisions, conditions and batches are
 * those of the server's store. Each call has a deadline, and a watch ends when its server has sent nothing for 15 s.
 * The store repeats a write only if the server refused it because of the token: a write whose answer was lost may have
 * taken effect.
 */
import type { Change, Entry, Lease } from '../../service/change.ts';
import { checkPath, checkPrefixPath, checkUnicode } from '../limits.ts';
import {
  type Condition,
  type DeleteResult,
  type FollowedHistory,
  type KeyLocation,
  type LeaseStore,
  type PutOptions,
  type PutResult,
  type SnapshotPage,
  StoreError,
  type WatchBatch,
} from '../store.ts';
import { jsonArray, jsonNumber, jsonObject, jsonString, optionalJson } from './json.ts';
import { RemoteLeases } from './remoteLeases.ts';
import {
  callPeer,
  type PeerCall,
  readJson,
  readLines,
  type StorePeer,
  unavailable,
} from './request.ts';
import {
  changeFromJson,
  conditionToJson,
  deleteResultFromJson,
  entryFromJson,
  followedHistoryToJson,
  type LeaseOf,
  leaseFromJson,
  putResultFromJson,
} from './wire.ts';

export interface HttpStoreOptions {
  /** `http://host:port` or `https://…`. */
  readonly url: string;
  readonly token?: string | undefined;
  /** Called for a token when the server refuses a write and `token` is undefined. */
  readonly findToken?: (() => Promise<string | undefined>) | undefined;
  readonly callTimeoutMs?: number | undefined;
  /** Three of the intervals at which the server reports that a watch is alive. */
  readonly silenceTimeoutMs?: number | undefined;
}

type PlainCall = Pick<PeerCall, 'method' | 'path' | 'body'>;

/** Connects at the first call. The constructor throws when `url` is not a URL. */
export class HttpStore implements LeaseStore {
  readonly label: string;
  #peer: StorePeer;
  readonly #findToken: () => Promise<string | undefined>;
  /** Whether the options have a token. Otherwise the store calls `findToken` after each refusal. */
  readonly #hasOptionToken: boolean;
  readonly #callTimeoutMs: number;
  readonly #silenceTimeoutMs: number;
  readonly #leases: RemoteLeases;
  /** Every request in flight. */
  readonly #calls = new Set<AbortController>();
  readonly #leaseOf = (lease: Lease, key: string): Lease => this.#leases.lease(lease, key);
  #closed = false;

  constructor({ url, token, findToken, callTimeoutMs, silenceTimeoutMs }: HttpStoreOptions) {
    const parsed = new URL(url);
    this.label = parsed.origin;
    // The client closes idle connections before the server does; otherwise the server could close one during a call.
    const agentOptions = { keepAlive: true, maxFreeSockets: 8, timeout: 8_000 };
    const secure = parsed.protocol === 'https:';
    const { Agent } = process.getBuiltinModule(secure ? 'node:https' : 'node:http');
    const agent = new Agent(agentOptions);
    this.#peer = { label: this.label, url: parsed, agent, token };
    this.#hasOptionToken = token !== undefined;
    this.#findToken = findToken ?? (async () => undefined);
    this.#callTimeoutMs = callTimeoutMs ?? 5_000;
    this.#silenceTimeoutMs = silenceTimeoutMs ?? 15_000;
    this.#leases = new RemoteLeases(async (key) => {
      const { entry } = await this.#read(key, (lease) => lease);
      return entry?.lease;
    });
  }

  async get(key: string): Promise<{ entry: Entry | undefined; revision: number }> {
    checkPath(key);
    return this.#read(key, this.#leaseOf);
  }

  async locate(key: string): Promise<KeyLocation> {
    checkPath(key);
    checkUnicode(key);
    const path = `locate?key=${encodeURIComponent(key)}`;
    return this.#call({ method: 'GET', path }, (json) => {
      const nowMs = performance.now();
      const { revision, entry, end, endHasEntry } = jsonObject(json);
      return {
        revision: jsonNumber(revision),
        entry: optionalJson(entry, (one) => entryFromJson(one, nowMs, this.#leaseOf)),
        end: optionalJson(end, jsonString),
        endHasEntry: endHasEntry === true,
      };
    });
  }

  async *snapshot(prefix: string): AsyncGenerator<SnapshotPage, void, undefined> {
    checkPrefixPath(prefix);
    checkUnicode(prefix);
    const path = `snapshot?prefix=${encodeURIComponent(prefix)}`;
    for await (const page of this.#lines(path, this.#callTimeoutMs, this.#toPage)) {
      if (page === 'end') return;
      yield page;
    }
    throw unavailable(this.#peer, new Error('the snapshot ended early'));
  }

  async *watch(
    prefix: string,
    fromRevision: number,
    signal: AbortSignal,
    followed?: FollowedHistory,
  ): AsyncGenerator<WatchBatch, void, undefined> {
    checkPrefixPath(prefix);
    checkUnicode(prefix);
    if (signal.aborted) return;
    const query = new URLSearchParams({ prefix, from: String(fromRevision) });
    if (followed !== undefined) query.set('past', JSON.stringify(followedHistoryToJson(followed)));
    const path = `watch?${query}`;
    let changes: Change[] = [];
    let seenRevision = fromRevision - 1;
    let isEstablished = false;
    try {
      for await (const part of this.#lines(path, this.#silenceTimeoutMs, this.#toPart, signal)) {
        if (signal.aborted) return;
        if (part === 'alive') {
          // The server is alive, but the watch of its own store may not be established.
          if (isEstablished && changes.length === 0) yield { revision: seenRevision, changes: [] };
          continue;
        }
        changes.push(...part.changes);
        if (part.more) continue;
        seenRevision = part.revision;
        isEstablished ||= changes.length === 0;
        yield { revision: seenRevision, changes };
        changes = [];
      }
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    if (!signal.aborted) throw unavailable(this.#peer, new Error('the watch ended early'));
  }

  async put(key: string, value: Uint8Array, options: PutOptions = {}): Promise<PutResult> {
    checkPath(key);
    const octets = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    const body = {
      key,
      value: octets.toString('base64'),
      ttlSeconds: options.ttlSeconds,
      lease: options.lease,
      if: conditionToJson(options.if),
    };
    return this.#write('put', body, (json) =>
      putResultFromJson(json, performance.now(), this.#leaseOf),
    );
  }

  async delete(
    key: string,
    options: { readonly if?: Condition | undefined } = {},
  ): Promise<DeleteResult> {
    checkPath(key);
    const body = { key, if: conditionToJson(options.if) };
    return this.#write('delete', body, (json) =>
      deleteResultFromJson(json, performance.now(), this.#leaseOf),
    );
  }

  async deleteTree(prefix: string): Promise<{ deleted: number; revision: number }> {
    checkPrefixPath(prefix);
    return this.#write('deleteTree', { prefix }, (json) => {
      const { deleted, revision } = jsonObject(json);
      return { deleted: jsonNumber(deleted), revision: jsonNumber(revision) };
    });
  }

  async grantLease(ttlSeconds: number): Promise<Lease> {
    const sentAtMs = performance.now();
    return this.#write('lease/grant', { ttlSeconds }, (json) =>
      this.#leases.lease(leaseFromJson(jsonObject(json).lease, sentAtMs)),
    );
  }

  async renewLease(id: string): Promise<boolean> {
    const sentAtMs = performance.now();
    const renewed = await this.#write('lease/renew', { id }, (json) => jsonObject(json).renewed);
    if (renewed === true) this.#leases.renewed(id, sentAtMs);
    return renewed === true;
  }

  async revokeLease(id: string): Promise<void> {
    await this.#write('lease/revoke', { id }, jsonObject);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const call of this.#calls) call.abort(this.#closedError());
    this.#peer.agent.destroy();
  }

  async #read(
    key: string,
    leaseOf: LeaseOf,
  ): Promise<{ entry: Entry | undefined; revision: number }> {
    checkUnicode(key);
    const path = `entry?key=${encodeURIComponent(key)}`;
    return this.#call({ method: 'GET', path }, (json) => {
      const nowMs = performance.now();
      const { entry, revision } = jsonObject(json);
      return {
        entry: optionalJson(entry, (one) => entryFromJson(one, nowMs, leaseOf)),
        revision: jsonNumber(revision),
      };
    });
  }

  readonly #toPage = (json: unknown): SnapshotPage | 'end' => {
    const { end, revision, history, entries } = jsonObject(json);
    if (end === true) return 'end';
    const nowMs = performance.now();
    const toEntry = (one: unknown) => entryFromJson(one, nowMs, this.#leaseOf);
    return {
      revision: jsonNumber(revision),
      history: jsonString(history),
      entries: jsonArray(entries).map(toEntry),
    };
  };

  readonly #toPart = (json: unknown): (WatchBatch & { more: boolean }) | 'alive' => {
    const { revision, changes, more } = jsonObject(json);
    if (revision === undefined) return 'alive';
    const nowMs = performance.now();
    const toChange = (one: unknown) => changeFromJson(one, nowMs, this.#leaseOf);
    return {
      revision: jsonNumber(revision),
      changes: jsonArray(changes).map(toChange),
      more: more === true,
    };
  };

  /** The server has not executed a refused write, so the store tries it again with the token. */
  async #write<T>(path: string, body: object, read: (json: unknown) => T): Promise<T> {
    const call: PlainCall = { method: 'POST', path, body: JSON.stringify(body) };
    try {
      return await this.#call(call, read);
    } catch (error) {
      const isDenied = error instanceof StoreError && error.code === 'denied';
      if (!isDenied || this.#hasOptionToken) throw error;
      const token = await this.#findToken();
      if (token === undefined || token === this.#peer.token) throw error;
      this.#peer = { ...this.#peer, token };
      return this.#call(call, read);
    }
  }

  /** One call with one deadline for request and reply. */
  async #call<T>(call: PlainCall, read: (json: unknown) => T): Promise<T> {
    const { ending, leave } = this.#beginCall();
    const late = new Error(`no answer within ${this.#callTimeoutMs} ms`);
    const timer = setTimeout(() => ending.abort(late), this.#callTimeoutMs);
    try {
      const response = await callPeer(this.#peer, this.#toCall(call, ending.signal));
      return read(await readJson(this.#peer, response));
    } catch (cause) {
      throw unavailable(this.#peer, ending.signal.aborted ? ending.signal.reason : cause);
    } finally {
      clearTimeout(timer);
      leave();
    }
  }

  /** The lines of a reply. The head has the deadline of a call, and each line must arrive within `idleTimeoutMs`. */
  async *#lines<T>(
    path: string,
    idleTimeoutMs: number,
    read: (json: unknown) => T,
    signal?: AbortSignal,
  ): AsyncGenerator<T, void, undefined> {
    const { ending, leave } = this.#beginCall();
    const abort = () => ending.abort();
    signal?.addEventListener('abort', abort, { once: true });
    try {
      const call = this.#toCall({ method: 'GET', path }, ending.signal);
      yield* readLines(this.#peer, await callPeer(this.#peer, call), idleTimeoutMs, read);
    } finally {
      signal?.removeEventListener('abort', abort);
      leave();
    }
  }

  #toCall(call: PlainCall, signal: AbortSignal): PeerCall {
    const path = `/v1/store/${call.path}`;
    return { ...call, path, headTimeoutMs: this.#callTimeoutMs, signal };
  }

  #closedError(): StoreError {
    return new StoreError('unavailable', `${this.label}: the store is closed`);
  }

  #beginCall() {
    if (this.#closed) throw this.#closedError();
    const ending = new AbortController();
    this.#calls.add(ending);
    return { ending, leave: () => this.#calls.delete(ending) };
  }
}
