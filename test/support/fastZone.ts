/** A zone with its answer table, on one thread and on a clock of its own: what both paths answer to the same packet. */
import { counterBlock, newCounterMemory } from '../../src/dataplane/counters.ts';
import { REPLY_OCTETS } from '../../src/dataplane/fastPath.ts';
import { Publisher } from '../../src/dataplane/publish/publisher.ts';
import { openFastPath } from '../../src/dataplane/table/open.ts';
import { AnswerTable } from '../../src/dataplane/table/table.ts';
import { accept } from '../../src/dns/accept.ts';
import { createResponder } from '../../src/server/responder.ts';
import type { Change, Lease } from '../../src/service/change.ts';
import { Catalog } from '../../src/zone/catalog.ts';
import type { External } from '../../src/zone/external.ts';
import type { ZoneSettings } from '../../src/zone/view.ts';
import { settingsOf } from './zone.ts';

const CLIENT = { transport: 'udp', address: '192.0.2.99', port: 5353 } as const;
const NO_EXTERNALS: ReadonlyMap<string, External> = new Map();

export class FastZone {
  nowMs = 1_000_500;
  unixSeconds = 7_300;
  settings: ZoneSettings;
  freshness: 'loading' | 'synced' | 'stale' = 'loading';
  readonly table: AnswerTable;
  readonly catalog: Catalog;
  readonly publisher: Publisher;
  readonly counters = counterBlock(newCounterMemory(1), 0);
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
    let reply: Buffer | undefined;
    this.#slow(packet, CLIENT, (octets) => {
      reply = Buffer.from(octets);
    });
    return reply;
  }

  /** What a miss leads to. */
  publish(packet: Uint8Array): void {
    const accepted = accept(packet, CLIENT.port);
    if (accepted.kind === 'query') {
      this.publisher.publish(accepted.query.question, NO_EXTERNALS);
    }
  }

  #nextRandom(): number {
    this.#random = (this.#random * 7919 + 0.377) % 1;
    return this.#random;
  }
}
