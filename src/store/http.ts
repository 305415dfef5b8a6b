/**
 * The store `http://`: another soradns server's store, through the calls of `server/http/storeApi.ts`. Revisions,
 * conditions and batches are that store's own. Each call has a deadline; a watch whose server falls silent ends within
 * 15 s. Nothing is retried: a write whose answer was lost may have happened.
 */
import { Agent } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import type { Change, Entry, Lease } from '../service/change.ts';
import { Renewals } from './httpLease.ts';
import { type Call, callPeer, type Peer, readJson, readLines, unavailable } from './httpRequest.ts';
import {
  changeFromJson,
  conditionToJson,
  deleteResultFromJson,
  entryFromJson,
  type LeaseOf,
  list,
  number,
  optional,
  putResultFromJson,
  record,
} from './httpWire.ts';
import {
  type Condition,
  type DeleteResult,
  type PutOptions,
  type PutResult,
  type SnapshotPage,
  type Store,
  StoreError,
  type WatchBatch,
} from './store.ts';

export interface HttpStoreOptions {
  /** `http://host:port` or `https://…`. */
  readonly url: string;
  readonly token?: string | undefined;
  readonly callTimeoutMs?: number | undefined;
  /** Three of the server's signs of life. */
  readonly silenceTimeoutMs?: number | undefined;
}

/** Connects with the first call. Throws when `url` is no URL. */
export function openHttpStore(options: HttpStoreOptions): Store {
  return new HttpStore(options);
}

class HttpStore implements Store {
  readonly label: string;
  readonly #peer: Peer;
  readonly #callTimeoutMs: number;
  readonly #silenceTimeoutMs: number;
  readonly #renewals: Renewals;
  /** Every request in flight. */
  readonly #calls = new Set<AbortController>();
  readonly #leaseOf = (lease: Lease, key: string): Lease => this.#renewals.lease(lease, key);
  #closed = false;

  constructor({ url, token, callTimeoutMs, silenceTimeoutMs }: HttpStoreOptions) {
    const parsed = new URL(url);
    this.label = parsed.origin;
    const agentOptions = { keepAlive: true, maxFreeSockets: 8 };
    const secure = parsed.protocol === 'https:';
    const agent = secure ? new TlsAgent(agentOptions) : new Agent(agentOptions);
    this.#peer = { label: this.label, url: parsed, agent, token };
    this.#callTimeoutMs = callTimeoutMs ?? 5_000;
    this.#silenceTimeoutMs = silenceTimeoutMs ?? 15_000;
    this.#renewals = new Renewals(async (key) => {
      const { entry } = await this.#read(key, (lease) => lease);
      return entry?.lease;
    });
  }

  async get(key: string): Promise<{ entry: Entry | undefined; revision: number }> {
    return this.#read(key, this.#leaseOf);
  }

  async *snapshot(prefix: string): AsyncGenerator<SnapshotPage, void, undefined> {
    const path = `snapshot?prefix=${encodeURIComponent(prefix)}`;
    for await (const json of this.#lines(path, this.#callTimeoutMs)) {
      const fields = record(json);
      if (fields.end === true) return;
      const nowMs = performance.now();
      const entries = list(fields.entries).map((one) => entryFromJson(one, nowMs, this.#leaseOf));
      yield { revision: number(fields.revision), entries };
    }
    throw unavailable(this.#peer, new Error('the snapshot broke off'));
  }

  async *watch(
    prefix: string,
    fromRevision: number,
    signal: AbortSignal,
  ): AsyncGenerator<WatchBatch, void, undefined> {
    if (signal.aborted) return;
    const path = `watch?prefix=${encodeURIComponent(prefix)}&from=${fromRevision}`;
    let changes: Change[] = [];
    try {
      for await (const json of this.#lines(path, this.#silenceTimeoutMs, signal)) {
        if (signal.aborted) return;
        const fields = record(json);
        if (fields.revision === undefined) continue;
        const nowMs = performance.now();
        for (const one of list(fields.changes))
          changes.push(changeFromJson(one, nowMs, this.#leaseOf));
        if (fields.more === true) continue;
        yield { revision: number(fields.revision), changes };
        changes = [];
      }
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    if (!signal.aborted) throw unavailable(this.#peer, new Error('the watch broke off'));
  }

  async put(key: string, value: Uint8Array, options: PutOptions = {}): Promise<PutResult> {
    const octets = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    const json = await this.#write('put', {
      key,
      value: octets.toString('base64'),
      ttlSeconds: options.ttlSeconds,
      if: conditionToJson(options.if),
    });
    return putResultFromJson(json, performance.now(), this.#leaseOf);
  }

  async delete(
    key: string,
    options: { readonly if?: Condition | undefined } = {},
  ): Promise<DeleteResult> {
    const json = await this.#write('delete', { key, if: conditionToJson(options.if) });
    return deleteResultFromJson(json, performance.now(), this.#leaseOf);
  }

  async deleteTree(prefix: string): Promise<{ deleted: number; revision: number }> {
    const json = await this.#write('deleteTree', { prefix });
    const { deleted, revision } = record(json);
    return { deleted: number(deleted), revision: number(revision) };
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const call of this.#calls) call.abort();
    this.#peer.agent.destroy();
  }

  async #read(
    key: string,
    leaseOf: LeaseOf,
  ): Promise<{ entry: Entry | undefined; revision: number }> {
    const json = await this.#ask({ method: 'GET', path: `entry?key=${encodeURIComponent(key)}` });
    const nowMs = performance.now();
    const { entry, revision } = record(json);
    return {
      entry: optional(entry, (one) => entryFromJson(one, nowMs, leaseOf)),
      revision: number(revision),
    };
  }

  #write(path: string, body: object): Promise<unknown> {
    return this.#ask({ method: 'POST', path, body: JSON.stringify(body) });
  }

  /** One call with one deadline for all of it. */
  async #ask(call: Pick<Call, 'method' | 'path' | 'body'>): Promise<unknown> {
    const { ending, leave } = this.#enter();
    const late = new Error(`no answer within ${this.#callTimeoutMs} ms`);
    const timer = setTimeout(() => ending.abort(late), this.#callTimeoutMs);
    try {
      const response = await callPeer(this.#peer, this.#toCall(call, ending.signal));
      return await readJson(this.#peer, response);
    } finally {
      clearTimeout(timer);
      leave();
    }
  }

  /** The lines of a reply; the head has the deadline of a call, each line that of the silence. */
  async *#lines(path: string, idleTimeoutMs: number, signal?: AbortSignal) {
    const { ending, leave } = this.#enter();
    const abort = () => ending.abort();
    signal?.addEventListener('abort', abort, { once: true });
    try {
      const call = this.#toCall({ method: 'GET', path }, ending.signal);
      yield* readLines(this.#peer, await callPeer(this.#peer, call), idleTimeoutMs);
    } finally {
      signal?.removeEventListener('abort', abort);
      leave();
    }
  }

  #toCall(call: Pick<Call, 'method' | 'path' | 'body'>, signal: AbortSignal): Call {
    const path = `/v1/store/${call.path}`;
    return { ...call, path, headTimeoutMs: this.#callTimeoutMs, signal };
  }

  #enter() {
    if (this.#closed) throw new StoreError('unavailable', `${this.label}: the store is closed`);
    const ending = new AbortController();
    this.#calls.add(ending);
    return { ending, leave: () => this.#calls.delete(ending) };
  }
}
