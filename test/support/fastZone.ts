/** A zone with its answer table, on one thread and on a clock of its own: what both paths answer to the same packet. */
import { counterBlock, newCounterMemory } from '../../src/dataplane/counters.ts';
import { REPLY_OCTETS } from '../../src/dataplane/fastPath.ts';
import { Publisher } from '../../src/dataplane/publish/publisher.ts';
import { openFastPath } from '../../src/dataplane/table/open.ts';
import { AnswerTable } from '../../src/dataplane/table/table.ts';
import { accept } from '../../src/dns/accept.ts';
import { encodeResponse } from '../../src/dns/encode.ts';
import { type Query, type Question, STALE } from '../../src/dns/message.ts';
import { replyLimit } from '../../src/dns/truncate.ts';
import { createResponder } from '../../src/server/responder.ts';
import type { Change, Lease } from '../../src/service/change.ts';
import { type Answer, answer } from '../../src/zone/answer.ts';
import { Catalog } from '../../src/zone/catalog.ts';
import { type External, externalKey } from '../../src/zone/external.ts';
import type { ZoneSettings } from '../../src/zone/view.ts';
import { settingsOf } from './zone.ts';

/** Rounds of asking others, as in `server/resolve.ts`. */
const MAX_ROUNDS = 4;

const CLIENT = { transport: 'udp', address: '192.0.2.99', port: 5353 } as const;
type Externals = ReadonlyMap<string, External>;

export class FastZone {
  nowMs = 1_000_500;
  unixSeconds = 7_300;
  settings: ZoneSettings;
  freshness: 'loading' | 'synced' | 'stale' = 'loading';
  readonly table: AnswerTable;
  readonly catalog: Catalog;
  readonly publisher: Publisher;
  readonly counters = counterBlock(newCounterMemory(1), 0);
  /** What others say, by `externalKey`; they fail at everything else. */
  readonly world = new Map<string, External>();
  readonly #fast;
  readonly #slow;
  #revision = 0;
  #random = 0.1;

  constructor(settings: Partial<ZoneSettings> = {}, capacityOctets = 64 << 20) {
    this.settings = settingsOf(settings);
    this.table = new AnswerTable(capacityOctets, 0x5eed);
    this.catalog = new Catalog({
      prefix: '/skydns/',
      onApplied: (nodes) => this.publisher.applied(nodes),
    });
    const clock = {
      monotonicMs: () => this.nowMs,
      unixSeconds: () => this.unixSeconds,
      random: () => this.#nextRandom(),
    };
    const zone = { root: this.catalog.root, settings: () => this.settings };
    this.publisher = new Publisher({ table: this.table, ...zone, ...clock });
    this.#fast = openFastPath(this.table.handle, 0, this.counters, () => this.nowMs);
    this.#slow = createResponder({
      ...zone,
      ...clock,
      freshness: () => this.freshness,
      forwarder: () => undefined,
      mayRecurse: () => false,
      onError: (error) => {
        throw error;
      },
    });
  }

  setStanding(standing: 'loading' | 'synced' | 'stale'): void {
    this.freshness = standing;
    this.publisher.setStanding(standing);
  }

  put(key: string, value: unknown, lease?: Lease): void {
    this.apply([this.change(key, value, lease)]);
  }

  delete(key: string): void {
    this.apply([this.change(key, undefined)]);
  }

  /** A put, or the delete of a key with `undefined` as its value. */
  change(key: string, value: unknown, lease?: Lease): Change {
    const modRevision = ++this.#revision;
    const previous = undefined;
    const path = `/skydns/${key}`;
    if (value === undefined) return { kind: 'delete', key: path, modRevision, previous };
    const octets = Buffer.from(JSON.stringify(value));
    const revisions = { createRevision: modRevision, modRevision };
    return { kind: 'put', entry: { key: path, value: octets, ...revisions, lease }, previous };
  }

  apply(changes: readonly Change[]): void {
    this.catalog.apply(changes);
  }

  /** The reply out of the table, or which `Outcome` there is instead. */
  fast(packet: Uint8Array): Buffer | number {
    const place = Buffer.alloc(Math.max(REPLY_OCTETS, packet.length) + 3);
    place.set(packet, 3);
    this.#fast.beginBatch();
    const outcome = this.#fast.answer(place, 3, packet.length, false);
    this.#fast.endBatch();
    return outcome > 0 ? place.subarray(3, 3 + outcome) : outcome;
  }

  /** The slow path's reply, `undefined` for none. */
  slow(packet: Uint8Array): Buffer | undefined {
    const query = this.#queryIn(packet);
    if (query !== undefined) {
      const { decided, externals } = this.#askedElsewhere(query.question);
      if (externals.size > 0) return this.#foreign(query, decided);
    }
    let reply: Buffer | undefined;
    this.#slow(packet, CLIENT, (octets) => {
      reply = Buffer.from(octets);
    });
    return reply;
  }

  /** What a miss leads to: nothing where others were asked in a way that is not everybody's. */
  publish(packet: Uint8Array): void {
    const query = this.#queryIn(packet);
    if (query === undefined) return;
    const { externals } = this.#askedElsewhere(query.question);
    const isForAll = !(query.checkingDisabled || query.edns?.dnssecOk === true);
    if (externals.size === 0 || isForAll) this.publisher.publish(query.question, externals);
  }

  #queryIn(packet: Uint8Array): Query | undefined {
    const accepted = accept(packet, CLIENT.port);
    return accepted.kind === 'query' ? accepted.query : undefined;
  }

  /** The answer with all that the world says to it. */
  #askedElsewhere(question: Question): { readonly decided: Answer; readonly externals: Externals } {
    const externals = new Map<string, External>();
    for (let round = 0; ; round++) {
      const view = {
        root: this.catalog.root,
        settings: this.settings,
        nowMs: this.nowMs,
        unixSeconds: this.unixSeconds,
        turn: this.#nextRandom(),
        random: () => this.#nextRandom(),
        externals: new Map(externals),
      };
      const decided = answer(view, question);
      if (decided.kind !== 'incomplete' || round === MAX_ROUNDS) return { decided, externals };
      for (const { question: missing } of decided.missing) {
        const key = externalKey(missing.qname, missing.qtype);
        externals.set(key, this.world.get(key) ?? { kind: 'failed' });
      }
    }
  }

  #foreign(query: Query, decided: Answer): Buffer | undefined {
    if (decided.kind !== 'response') return undefined;
    const { response } = decided;
    const isMarked = this.freshness === 'stale' && response.extendedError === undefined;
    const marked = isMarked ? { ...response, extendedError: STALE } : response;
    return Buffer.from(encodeResponse(query, marked, replyLimit(query, 'udp')));
  }

  #nextRandom(): number {
    this.#random = (this.#random * 7919 + 0.377) % 1;
    return this.#random;
  }
}
